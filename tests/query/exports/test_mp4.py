"""Pictures leave as films and as files, each at its time."""

from __future__ import annotations

from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from fleetbox.errors import InputError
from fleetbox_query.exports import mp4, picture_files
from fleetbox_query.exports.exporting import export
from fleetbox_query.exports.job import Options
from fleetbox_query.fleet import Fleet

from ..conftest import Tiers, blob

START_US = 1_700_000_000_000_000


def _jpeg(level: int, size: tuple[int, int] = (48, 64)) -> bytes:
    done, data = cv2.imencode(".jpg", np.full((*size, 3), level, np.uint8))
    assert done
    return data.tobytes()


def _put(tiers: Tiers, stream: str, offsets_us: list[int]) -> list[int]:
    """Record a picture per offset, each ten levels brighter than the one before."""
    levels = [20 + 10 * at for at in range(len(offsets_us))]
    drafts = [
        blob(stream, START_US + at, _jpeg(level), robot=tiers.robot, kind="images")
        for at, level in zip(offsets_us, levels, strict=True)
    ]
    tiers.put("edge", "media", drafts)
    return levels


def _frames(path: Path) -> list[tuple[int, int]]:
    """Return (µs, brightness) of every frame."""
    with av.open(str(path)) as file:
        return [
            (round(frame.pts * frame.time_base * 1_000_000), round(float(frame.to_ndarray(format="gray").mean())))
            for frame in file.decode(video=0)
        ]


@pytest.mark.parametrize("segment", [1800, 2])
def test_a_film_at_the_pictures_own_times(
    tiers: Tiers, fleet: Fleet, stream: str, tmp_path: Path, segment: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a rate each frame is a picture at its own time, to the µs, across segments too."""
    monkeypatch.setattr(mp4, "SEGMENT", segment)
    offsets = [0, 33_000, 70_000, 500_000, 533_333]
    levels = _put(tiers, stream, offsets)
    export(fleet.select(f"{tiers.robot}/{stream}"), "mp4", tmp_path / "x.mp4")
    found = _frames(tmp_path / "x.mp4")
    assert [at for at, _ in found] == offsets
    assert [level for _, level in found] == pytest.approx(levels, abs=3)


@pytest.mark.parametrize("segment", [1800, 2])
def test_a_film_at_a_constant_rate(
    tiers: Tiers, fleet: Fleet, stream: str, tmp_path: Path, segment: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a rate every frame shows the latest picture of its time; none is of the future, none is skipped."""
    monkeypatch.setattr(mp4, "SEGMENT", segment)
    a, b, c, d = _put(tiers, stream, [0, 90_000, 210_000, 480_000])
    export(fleet.select(f"{tiers.robot}/{stream}"), "mp4", tmp_path / "x.mp4", Options(fps=10))
    found = _frames(tmp_path / "x.mp4")
    assert [at for at, _ in found] == [at * 100_000 for at in range(6)]
    assert [level for _, level in found] == pytest.approx([a, b, b, c, c, d], abs=3)


def test_goes_on_with_the_picture_it_held(
    tiers: Tiers, fleet: Fleet, stream: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Interrupted between segments, a film at a constant rate comes out the same."""
    monkeypatch.setattr(mp4, "SEGMENT", 1)
    _put(tiers, stream, [0, 90_000, 210_000, 480_000])
    asked = fleet.select(f"{tiers.robot}/{stream}").between(START_US, START_US + 1_000_000)

    def interrupt(_done: float, _text: str) -> None:
        raise KeyboardInterrupt

    export(asked, "mp4", tmp_path / "whole.mp4", Options(fps=10))
    with pytest.raises(KeyboardInterrupt):
        export(asked, "mp4", tmp_path / "x.mp4", Options(fps=10), advance=interrupt)
    export(asked, "mp4", tmp_path / "x.mp4", Options(fps=10))
    assert _frames(tmp_path / "x.mp4") == _frames(tmp_path / "whole.mp4")


def test_films_of_several_streams(tiers: Tiers, fleet: Fleet, stream: str, tmp_path: Path) -> None:
    """A folder gets a film for each stream; one file cannot hold them."""
    _put(tiers, f"cam/{stream}a", [0, 100_000])
    _put(tiers, f"cam/{stream}b", [0, 100_000, 200_000])
    asked = fleet.select(f"{tiers.robot}/cam/{stream}*")
    export(asked, "mp4", tmp_path / "out")
    sizes = {path.stem[-1]: len(_frames(path)) for path in (tmp_path / "out").rglob("*.mp4")}
    assert sizes == {"a": 2, "b": 3}
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["_manifest.json", tiers.robot]
    with pytest.raises(InputError, match="do not fit one file"):
        export(asked, "mp4", tmp_path / "x.mp4")


def test_the_time_is_burnt_in(tiers: Tiers, fleet: Fleet, stream: str, tmp_path: Path) -> None:
    """The lower left corner holds white letters on black; the rest is as it was."""
    tiers.put("edge", "media", [blob(stream, START_US, _jpeg(128, (240, 640)), robot=tiers.robot, kind="images")])
    export(fleet.select(f"{tiers.robot}/{stream}"), "png", tmp_path / "out", Options(burn_time=True))
    (path,) = (tmp_path / "out").rglob("*.png")
    picture = cv2.imread(str(path))
    assert picture is not None
    assert picture[:200].min() > 120
    assert picture[-20:, :100].min() < 10
    assert picture[-20:].max() > 245


def test_picture_files(
    tiers: Tiers, fleet: Fleet, stream: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """JPEG files have the recorded bytes and say their times; one that does not decode is named."""
    monkeypatch.setattr(picture_files, "BATCH", 2)
    _put(tiers, stream, [0, 100_000, 200_000])
    tiers.put("edge", "media", [blob(stream, START_US + 300_000, b"\xff\xd8\xff", robot=tiers.robot, kind="images")])
    asked = fleet.select(f"{tiers.robot}/{stream}")
    export(asked.between(None, START_US + 250_000), "jpeg", tmp_path / "jpeg")
    done = export(asked, "png", tmp_path / "png")
    names = [path.name for path in sorted((tmp_path / "jpeg").rglob("*.jpg"))]
    assert names == [f"20231114T221320.{at}00000Z.jpg" for at in range(3)]
    assert next((tmp_path / "jpeg").rglob("*.jpg")).read_bytes()[:3] == b"\xff\xd8\xff"
    assert len(list((tmp_path / "png").rglob("*.png"))) == 3
    assert not done.complete
    assert "do not decode" in done.lines()[0]

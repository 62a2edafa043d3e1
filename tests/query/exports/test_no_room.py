"""A disk that takes no more, for what holds films: one clear error, the old output, and with room it goes on."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from fleetbox_query.lerobot.checking import check_dataset

from ..conftest import Tiers, blob, chunk

T0 = 1_760_000_000_000_000
SECOND = 1_000_000
FRAMES = 10
MOST_BYTES = 20_000


@pytest.fixture
def recorded(tiers: Tiers, stream: str) -> str:
    """A second of pictures that compress badly, and of numbers beside them; the beginning of their names."""
    noise = np.random.default_rng(3).integers(0, 255, (FRAMES, 96, 128, 3), np.uint8)
    times = [T0 + at * SECOND // FRAMES for at in range(FRAMES)]
    jpegs = [cv2.imencode(".jpg", one)[1].tobytes() for one in noise]
    shots = [
        blob(f"{stream}/cam", at, one, robot=tiers.robot, kind="images") for at, one in zip(times, jpegs, strict=True)
    ]
    tiers.put("edge", "media", shots)
    tiers.put("edge", "sensor", [chunk(f"{stream}/joints", times, {"x": [0.5] * FRAMES}, robot=tiers.robot)])
    return stream


@pytest.mark.parametrize("format_", ["mp4"])
def test_no_room(tiers: Tiers, recorded: str, tmp_path: Path, format_: str) -> None:
    """A film that does not fit."""
    (path := tmp_path / "lerobot.toml").write_text(
        f'fps = 10\nreference = "{recorded}/cam"\ntask = "go"\n[features]\n'
        f'"observation.state" = "{recorded}/joints:x"\n"observation.images.cam" = "{recorded}/cam"\n'
    )
    out = tmp_path / ("x.mp4" if format_ == "mp4" else "x")
    words = [f"{tiers.robot}/{recorded}/cam", "--start", str(T0), "--stop", str(T0 + SECOND), "-o", str(out)]
    words += ["--map", str(path)] if format_ == "lerobot" else []
    environment = {**os.environ, "FLEETBOX_FLEET": str(tiers.write_fleet(tmp_path)), "PYTHONDONTWRITEBYTECODE": "1"}
    if format_ == "mp4":
        out.write_text("old")

    def small_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (MOST_BYTES, MOST_BYTES))

    def export(limit: Callable[[], None] | None) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "fleetbox", "export", format_, *words]
        return subprocess.run(
            command, env=environment, preexec_fn=limit, capture_output=True, text=True, timeout=170, check=False
        )

    refused = export(small_files)
    assert refused.returncode == 1, refused.stderr
    assert f"cannot write {out}" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert out.read_text() == "old" if format_ == "mp4" else not out.exists()
    done = export(None)
    assert done.returncode == 0, done.stderr
    if format_ == "lerobot":
        assert check_dataset(out) == []
        return
    with av.open(str(out)) as film:
        assert sum(1 for _ in film.decode(video=0)) == FRAMES

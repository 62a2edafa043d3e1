"""Bad input at every door of the command line: what is wrong, where, what there is instead, and the exit code."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from fleetbox import events
from fleetbox.events import Event
from fleetbox_local.ports import free_port
from fleetbox_query.fleet import Fleet
from fleetbox_query.live.printing import Printer
from fleetbox_query.live.tailing import Tail, without_end
from fleetbox_query.reading import Piece

from .conftest import Tiers, blob, chunk
from .test_cli import run

pytest.importorskip("rerun", reason="needs fleetbox[view]")

T0 = 1_700_000_000_000_000
SECOND = 1_000_000
WINDOW = ("--start", str(T0), "--stop", str(T0 + 100 * SECOND))
DOORS = {
    "query": ("query",),
    "mcap": ("export", "mcap", "-o", "x.mcap"),
    "parquet": ("export", "parquet", "-o", "x"),
    "csv": ("export", "csv", "-o", "x"),
    "hdf5": ("export", "hdf5", "-o", "x.h5"),
    "safetensors": ("export", "safetensors", "-o", "x.safetensors"),
    "mp4": ("export", "mp4", "-o", "x"),
    "png": ("export", "png", "-o", "x"),
    "jpeg": ("export", "jpeg", "-o", "x"),
    "lerobot": ("export", "lerobot", "-o", "x", "--map", "lerobot.toml", "--task", "go"),
    "view": ("view", "-o", "x.rrd"),
    "replay": ("replay", "--to", "text", "--rate", "100"),
}
MAP = 'fps = 10\n[features]\n"observation.state" = "{}:x"\n'
Ask = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def ask(tiers: Tiers, stream: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ask:
    """Say a verb's words in a folder of its own, with a map of the stream for LeRobot."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "lerobot.toml").write_text(MAP.format(stream))
    fleet = tiers.write_fleet(tmp_path)
    return lambda door, *words: run(fleet, *DOORS[door], *words)


@pytest.fixture
def name(tiers: Tiers, stream: str) -> str:
    """Ten rows of a stream with a label, and its full name."""
    times = [T0 + at * SECOND // 10 for at in range(10)]
    tiers.put("edge", "sensor", [chunk(stream, times, {"x": [0.5] * 10}, robot=tiers.robot, shift="night")])
    return f"{tiers.robot}/{stream}"


@pytest.mark.parametrize("door", DOORS)
def test_a_time_that_ends_before_it_starts(ask: Ask, name: str, tmp_path: Path, door: str) -> None:
    """Both ends are shown, and nothing is made."""
    done = ask(door, name, "--start", str(T0 + 9 * SECOND), "--stop", str(T0))
    assert done.returncode == 2, done.stderr
    assert "ends before it starts" in done.stderr
    assert "2023-11-14T22:13:29" in done.stderr
    assert not list(tmp_path.glob("x*"))


@pytest.mark.parametrize("door", [door for door in DOORS if door != "lerobot"])  # whose map names the streams
def test_a_stream_that_is_not_there(ask: Ask, name: str, tmp_path: Path, door: str) -> None:
    """The one that is nearly called so is offered."""
    done = ask(door, f"{name}q", *WINDOW)
    assert done.returncode == 1, done.stderr
    assert f"did you mean {name}?" in done.stderr
    assert not list(tmp_path.glob("x*"))


@pytest.mark.parametrize("door", DOORS)
def test_a_selector_that_is_empty(ask: Ask, door: str) -> None:
    """A shell's variable that is not set chooses nothing, and not everything."""
    done = ask(door, "", *WINDOW)
    assert done.returncode == 2, done.stderr
    assert "a selector is empty" in done.stderr
    assert "'*' is everything" in done.stderr


@pytest.mark.parametrize("words", [("--text",), ("--port", "0")], ids=" ".join)
@pytest.mark.parametrize(("name", "code", "why"), [("", 2, "a selector is empty"), ("nosuch", 1, "no stream matches")])
def test_live_of_nothing(tiers: Tiers, tmp_path: Path, words: tuple[str, ...], name: str, code: int, why: str) -> None:
    """It does not wait for what will never come, and serves nobody."""
    done = run(tiers.write_fleet(tmp_path), "live", name and f"{tiers.robot}/{name}", *words)
    assert done.returncode == code, done.stderr
    assert why in done.stderr


def test_get_without_a_time(tiers: Tiers, name: str, tmp_path: Path) -> None:
    """How to say one is shown by examples."""
    done = run(tiers.write_fleet(tmp_path), "get", name)
    assert done.returncode == 2, done.stderr
    assert "--at -1m" in done.stderr


def test_events_of_no_such_kind(tiers: Tiers, tmp_path: Path) -> None:
    """Kinds there are, are named."""
    brake = Event("e1", "brake", tiers.robot, T0, T0, T0 + SECOND, ("**",))
    tiers.put("edge", "meta", [events.draft(brake, T0)])
    done = run(tiers.write_fleet(tmp_path), "event", "ls", "brakes", "--robot", tiers.robot)
    assert done.returncode == 0, done.stderr
    assert "no event of kind 'brakes' is like that; in that time there are brake (1)" in done.stderr


LABELS = [("nope=1", "a label `nope`; labels there are shift"), ("shift=day", "some have shift=night")]


@pytest.mark.parametrize("door", ["query", "mcap", "parquet", "lerobot", "view", "replay"])
@pytest.mark.parametrize(("label", "why"), LABELS)
def test_a_label_that_no_record_has(ask: Ask, name: str, door: str, label: str, why: str) -> None:
    """Labels there are, or values of that one, are named; a dataset cannot be without frames."""
    done = ask(door, name, *WINDOW, "--label", label)
    assert done.returncode == (1 if door == "lerobot" else 0), done.stderr
    assert why in done.stderr


@pytest.mark.parametrize("door", ["mp4", "png", "jpeg"])
@pytest.mark.parametrize(("label", "why"), LABELS)
def test_a_label_that_no_picture_has(
    tiers: Tiers, ask: Ask, stream: str, tmp_path: Path, door: str, label: str, why: str
) -> None:
    """The same of pictures: no film and no file is made of nothing."""
    picture = cv2.imencode(".jpg", np.full((48, 64, 3), 90, np.uint8))[1].tobytes()
    shots = [blob(stream, T0 + at, picture, robot=tiers.robot, kind="images", shift="night") for at in range(3)]
    tiers.put("edge", "media", shots)
    done = ask(door, f"{tiers.robot}/{stream}", *WINDOW, "--label", label)
    assert done.returncode == 0, done.stderr
    assert why in done.stderr
    assert not [*tmp_path.rglob("*.mp4"), *tmp_path.rglob("*.png"), *tmp_path.rglob("*.jpg")]
    assert ask(door, f"{tiers.robot}/{stream}", *WINDOW, "--label", "shift=night").returncode == 0
    assert [*tmp_path.rglob("*.mp4"), *tmp_path.rglob("*.png"), *tmp_path.rglob("*.jpg")]


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("label", ["shift", "=night"])
def test_a_label_that_is_none(ask: Ask, name: str, door: str, label: str) -> None:
    """How it is written is said, before anything is read."""
    done = ask(door, name, *WINDOW, "--label", label)
    assert done.returncode == 2, done.stderr
    assert f"--label {label!r} is not NAME=VALUE" in done.stderr
    assert "write it like --label site=edge-1" in done.stderr


def test_an_expression_about_no_name(ask: Ask, name: str) -> None:
    """Fields and labels there are, are named."""
    done = ask("query", name, *WINDOW, "--when", 'nope == "1"')
    assert "fields there are x; labels shift" in done.stderr


def test_a_beginning_outside_of_what_is_played(ask: Ask, name: str) -> None:
    """From when to when there is something is said."""
    done = ask("replay", name, *WINDOW, "--seek", str(T0 + 50 * SECOND))
    assert done.returncode == 2, done.stderr
    assert "what is played lies from 2023-11-14T22:13:20" in done.stderr


# -- records that do not open ------------------------------------------------------------------------------------------


@pytest.fixture
def torn(tiers: Tiers, stream: str) -> str:
    """A stream whose middle chunk was cut off."""
    good = [chunk(stream, [T0 + at * SECOND], {"x": [float(at)]}, robot=tiers.robot) for at in range(3)]
    cut = replace(good[1], data=good[1].data[: len(good[1].data) // 2])
    tiers.put("edge", "sensor", [good[0], cut, good[2]])
    return f"{tiers.robot}/{stream}"


@pytest.mark.parametrize("door", ["query", "view", "replay"])
def test_a_record_that_does_not_open(ask: Ask, torn: str, door: str) -> None:
    """It is left out, named with its time, and the rest is there."""
    done = ask(door, torn, *WINDOW)
    assert done.returncode == 3, done.stderr
    assert f"at {T0 + SECOND}" in done.stderr
    assert done.stdout


def test_the_nearest_record_does_not_open(tiers: Tiers, torn: str, tmp_path: Path) -> None:
    """The nearest that does is shown, and the other one named."""
    done = run(tiers.write_fleet(tmp_path), "get", torn, "--at", str(T0 + SECOND + 10))
    assert done.returncode == 3, done.stderr
    assert f"at {T0 + SECOND}" in done.stderr
    assert done.stdout.split() == ["x", "2.0"]


def _tailed(fleet: Fleet, name: str, times_us: Sequence[int]) -> tuple[list[str], list[str]]:
    """Let `live` print these records; return what it said, and what went wrong."""
    said: list[str] = []
    heard: list[str] = []
    prepared = without_end(fleet.select(name).prepared())
    tail = Tail(fleet.session, Printer(said.append, heard.append), lambda: None)
    tail.learn(prepared)
    (source,) = prepared.sources

    async def read() -> None:
        store = await fleet.session.stores.at(source.holdings[0].place)
        for time_us in times_us:
            record = await store.read(source.holdings[0].bucket, source.stream, time_us)
            tail._pass(Piece(source, record))

    fleet.session.run(read())
    return said, heard


def test_live_names_it(fleet: Fleet, torn: str) -> None:
    """A viewer goes on and hears of it."""
    said, heard = _tailed(fleet, torn, [T0 + at * SECOND for at in range(3)])
    assert [line.rpartition("x=")[2] for line in said] == ["0", "2"]
    assert len(heard) == 1
    assert f"at {T0 + SECOND}" in heard[0]


def test_a_picture_that_was_cut_off(tiers: Tiers, ask: Ask, stream: str, tmp_path: Path) -> None:
    """No file is made of it, and it is named."""
    whole = cv2.imencode(".jpg", np.full((48, 64, 3), 90, np.uint8))[1].tobytes()
    shots = [blob(stream, T0 + at, whole[: 200 if at else None], robot=tiers.robot, kind="images") for at in range(2)]
    tiers.put("edge", "media", shots)
    done = ask("jpeg", f"{tiers.robot}/{stream}", *WINDOW)
    assert done.returncode == 3, done.stderr
    assert "2023-11-14T22:13:20.000001Z: 200 bytes do not decode as a picture" in done.stderr
    assert len(list(tmp_path.rglob("*.jpg"))) == 1


# -- a schema that changed midway, times that run back, gaps -----------------------------------------------------------


def test_a_schema_that_changed_midway(tiers: Tiers, fleet: Fleet, ask: Ask, stream: str) -> None:
    """A number that became text, a field that went, one that came: played, shown and watched as each row has them."""
    parts: list[dict[str, list[Any]]] = [{"x": [1], "gone": [True]}, {"x": ["on"], "new": [2.5]}, {"x": [3.5]}]
    drafts = [chunk(stream, [T0 + at], columns, robot=tiers.robot) for at, columns in enumerate(parts)]
    tiers.put("edge", "sensor", drafts)
    played = ask("replay", f"{tiers.robot}/{stream}", *WINDOW)
    viewed = ask("view", f"{tiers.robot}/{stream}", *WINDOW)
    assert played.returncode == 0, played.stderr
    rows = [line.split("  ")[-1] for line in played.stdout.splitlines()]
    assert rows == ["x=1, gone=True", "x=on, new=2.5", "x=3.5"]
    said, heard = _tailed(fleet, f"{tiers.robot}/{stream}", [T0 + at for at in range(3)])
    assert ([line.split("  ")[-1] for line in said], heard) == (rows, [])
    assert viewed.returncode == 0, viewed.stderr
    assert "3 items of 1 streams" in viewed.stdout


def test_times_that_run_back(tiers: Tiers, ask: Ask, stream: str) -> None:
    """Rows that came out of order are played in order of time, each once."""
    times = [T0 + at * 1000 for at in (0, 3, 1, 9, 2)]
    tiers.put("edge", "sensor", [chunk(stream, times, {"x": list(range(5))}, robot=tiers.robot)])
    played = ask("replay", f"{tiers.robot}/{stream}", *WINDOW)
    assert [line.rpartition("=")[2] for line in played.stdout.splitlines()] == ["0", "2", "4", "1", "3"]


BACK = (0, 3, 1, 2, 9, 2)  # seconds, as a source stamped them: back, and twice the same
IN_ORDER = [0, 2, 3, 5, 1, 4]  # numbers of its rows by time, equals as they came


@pytest.fixture
def back(tiers: Tiers, stream: str) -> str:
    """A stream whose source's time runs back, within a chunk and from one to the next, and its full name."""
    for first in (0, 3):
        rows = range(first, first + 3)
        columns = {"x": [float(at) for at in rows]}
        drafted = chunk(stream, [T0 + BACK[at] * SECOND for at in rows], columns, robot=tiers.robot)
        tiers.put("edge", "sensor", [drafted])
    return f"{tiers.robot}/{stream}"


def test_queries_and_views_of_times_that_run_back(ask: Ask, back: str, tmp_path: Path) -> None:
    """Tables, CSV, ndjson and a view have each row once, in order of time."""
    told = ask("query", back, *WINDOW)
    as_csv = ask("query", back, *WINDOW, "--format", "csv")
    as_json = ask("query", back, *WINDOW, "--format", "ndjson")
    assert [int(line.split()[-1]) for line in told.stdout.splitlines()[1:]] == IN_ORDER
    assert [int(float(line.split(",")[-1])) for line in as_csv.stdout.splitlines()[1:]] == IN_ORDER
    assert [int(json.loads(line)["fields"]["x"]) for line in as_json.stdout.splitlines()] == IN_ORDER
    viewed = ask("view", back, *WINDOW)
    assert viewed.returncode == 0, viewed.stderr
    assert "6 items of 1 streams" in viewed.stdout


def test_frames_of_times_that_run_back(fleet: Fleet, back: str, tmp_path: Path) -> None:
    """What the SDK makes of them goes by time: frames, a grid, fewer points, roll-ups, samples of a dataset."""
    asked = fleet.select(back).between(T0, T0 + 10 * SECOND)
    assert asked.frames()["x"].tolist() == IN_ORDER
    assert asked.frames().index.is_monotonic_increasing
    assert asked.align("1 Hz", max_age="2s").frames()["x"].tolist()[:6] == [0, 2, 5, 1, 1, 1]
    rolled = asked.rollup("5s")
    assert rolled["x.count"].tolist() == [5, 1]
    assert (rolled["x.last"].tolist(), rolled["x.max"].tolist()) == ([1, 4], [5, 4])
    for method in ("minmax", "lttb", "average", "rms"):
        fewer = asked.decimate(4, method=method)
        assert fewer.index.is_monotonic_increasing
        assert 2 <= len(fewer) <= 6
    (tmp_path / "map.toml").write_text('fps = 1\nmax_age = "2s"\ntask = "go"\n' + MAP.format(back.split("/")[1])[9:])
    samples = asked.torch(tmp_path / "map.toml")
    assert [float(one["observation.state"][0]) for one in samples][:4] == [0, 2, 5, 1]


def test_a_gap_is_no_frame_of_a_dataset(tiers: Tiers, fleet: Fleet, stream: str, tmp_path: Path) -> None:
    """What align leaves missing, torch's samples leave out: no value is older than asked."""
    for start in (T0, T0 + 20 * SECOND):
        times = [start + at * SECOND // 10 for at in range(10)]
        tiers.put("edge", "sensor", [chunk(stream, times, {"x": [0.5] * 10}, robot=tiers.robot)])
    (path := tmp_path / "lerobot.toml").write_text(f'max_age = "100ms"\ntask = "go"\n{MAP.format(stream)}')
    asked = fleet.select(f"{tiers.robot}/{stream}").between(T0, T0 + 21 * SECOND)
    aligned = asked.align("10 Hz", max_age="100ms").frames()
    samples = asked.torch(path)
    there = {int(at) for at in aligned.index[aligned["x"].notna()].as_unit("ns").asi8}
    assert len(aligned) > len(there) >= 20
    assert all(0 <= int(sample["ts_ns"]) - T0 * 1000 < 1.2e9 or int(sample["ts_ns"]) >= (T0 + 20 * SECOND) * 1000
               for sample in samples)  # fmt: skip
    assert 20 <= len(samples) <= 24


# -- a tier that is down -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("door", ["query", "mcap", "lerobot", "view", "replay"])
def test_a_tier_that_is_down(
    tiers: Tiers, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, door: str, stream: str
) -> None:
    """What the others hold comes; who did not answer is named; it is no success."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "lerobot.toml").write_text(MAP.format(stream))
    fleet = tiers.write_fleet(tmp_path, urls={"cloud": f"http://127.0.0.1:{free_port()}"})
    done = run(fleet, *DOORS[door], name, "--start", str(T0), "--stop", str(T0 + SECOND))
    assert done.returncode == 3, done.stderr + done.stdout
    assert "not asked: cloud" in done.stderr + done.stdout
    assert done.stdout


def test_a_lake_whose_site_is_down(tiers: Tiers, name: str, tmp_path: Path) -> None:
    """A lake comes from one site: without it nothing can, and it is named."""
    pytest.importorskip("deltalake", reason="needs fleetbox[lake]")
    fleet = tiers.write_fleet(tmp_path, urls={"cloud": f"http://127.0.0.1:{free_port()}"})
    done = run(fleet, "lake", "sync", "--to", str(tmp_path / "lake"))
    assert done.returncode == 4, done.stderr
    assert "cloud" in done.stderr
    assert "next:" in done.stderr

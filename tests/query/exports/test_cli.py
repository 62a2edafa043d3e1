"""`fleetbox export`, as people and scripts call it, on real stores."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from fleetbox import events
from fleetbox.events import Event
from fleetbox_query.exports.choosing import Choice, chosen, streams_of
from fleetbox_query.fleet import Fleet

from ..conftest import MAIN, Tiers, blob, chunk
from ..test_cli import Cli, run

T0 = 1_760_000_000_000_000


@pytest.fixture
def cli(tiers: Tiers, tmp_path: Path) -> Cli:
    """The command line on the three tiers."""
    path = tiers.write_fleet(tmp_path)
    return lambda *args: run(path, *args)


def _put(tiers: Tiers, stream: str, count: int = 10) -> None:
    times = [T0 + at * 1_000_000 for at in range(count)]
    tiers.put("edge", "sensor", [chunk(stream, times, {"x": [float(at) for at in range(count)]}, robot=tiers.robot)])


def test_a_window_into_a_file(cli: Cli, tiers: Tiers, stream: str, tmp_path: Path) -> None:
    """The rows of the window are in the file; --json says how many, from where and how large."""
    _put(tiers, stream)
    out = tmp_path / "x.parquet"
    words = ("--start", str(T0 + 2_000_000), "--stop", str(T0 + 5_000_000), "-o", str(out), "--json")
    done = cli("export", "parquet", f"{tiers.robot}/{stream}", *words)
    said = json.loads(done.stdout)
    assert done.returncode == 0, done.stderr
    assert said["counts"]["streams"] == {f"{tiers.robot}/{stream}": 3}
    assert (said["complete"], said["places_read"]) == (True, ["edge-1"])
    assert said["file_bytes"] == out.stat().st_size
    assert pq.read_table(out)["x"].to_pylist() == [2.0, 3.0, 4.0]


def test_what_is_left_out_exits_3(cli: Cli, tiers: Tiers, stream: str, tmp_path: Path) -> None:
    """Pictures have no place in CSV: told on stderr, and in the exit code."""
    _put(tiers, stream)
    tiers.put("edge", "media", [blob(f"{stream}/cam", T0, b"\xff\xd8\xff", robot=tiers.robot, kind="images")])
    chosen = [f"{tiers.robot}/{stream}", f"{tiers.robot}/{stream}/**"]
    done = cli("export", "csv", *chosen, "--start", str(T0), "-o", str(tmp_path / "out"))
    assert done.returncode == 3
    assert "10 items of 1 streams" in done.stdout
    assert "left out" in done.stderr


def test_wrong_words(cli: Cli, tiers: Tiers, stream: str, tmp_path: Path) -> None:
    """Options that do not go together, a target that cannot be, and nothing chosen are usage errors."""
    _put(tiers, stream)
    name, out = f"{tiers.robot}/{stream}", str(tmp_path / "out")
    assert cli("export", "csv", name, "--pre", "1s", "-o", out).returncode == 2
    assert cli("export", "csv", name, "--event", "e", "--start", "1", "-o", out).returncode == 2
    assert cli("export", "csv", "-o", out).returncode == 2
    assert "give a file" in cli("export", "mcap", name, "-o", out).stderr
    assert not (tmp_path / "out").exists()


def test_around_an_event(tiers: Tiers, fleet: Fleet, stream: str) -> None:
    """--event takes its robot's streams in its own interval, or so much before and after its moment."""
    id_ = f"e{stream}"
    event = Event(id_, "brake", tiers.robot, T0, T0 - 1_000_000, T0 + 2_000_000, ("**",))
    tiers.put("edge", "meta", [events.draft(event, T0)])
    own = chosen(fleet, Choice((stream,), event=id_))
    wide = chosen(fleet, Choice((f"{tiers.robot}/{stream}",), event=id_, pre="5s", post="0s"))
    assert str(own.selectors[0]) == str(wide.selectors[0]) == f"{tiers.robot}/{stream}"
    assert (own.start, own.stop) == (T0 - 1_000_000, T0 + 2_000_001)
    assert (wide.start, wide.stop) == (T0 - 5_000_000, T0 + 1)


def test_streams_of_a_robot() -> None:
    """Streams are named with the robot or without; a stream's own first part is no robot."""
    assert [str(one) for one in streams_of("r1", ("cam/front", "r1/imu:ax", "*/imu", "**"))] == [
        "r1/cam/front", "r1/imu:ax", "r1/imu", "r1/**"
    ]  # fmt: skip


def test_a_full_disk(tiers: Tiers, stream: str, tmp_path: Path, fleet: Fleet) -> None:
    """A write that the system refuses is one clear error; the old output stands, and nothing else appears."""
    path, out = tiers.write_fleet(tmp_path), tmp_path / "x.csv"
    _put(tiers, stream, 2_000)
    out.write_text("old")

    def small_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

    words = [sys.executable, "-c", MAIN, "export", "csv", f"{tiers.robot}/{stream}", "--start", str(T0)]
    environment = {**os.environ, "FLEETBOX_FLEET": str(path), "PYTHONDONTWRITEBYTECODE": "1"}  # half a .pyc would stay
    done = subprocess.run(
        [*words, "-o", str(out)], env=environment, preexec_fn=small_files, capture_output=True, text=True, timeout=170
    )
    assert done.returncode == 1, done.stderr
    assert "cannot write" in done.stderr
    assert "Traceback" not in done.stderr
    assert out.read_text() == "old"


def test_killed_and_asked_again(tiers: Tiers, stream: str, tmp_path: Path) -> None:
    """Killed in the middle, the same words go on: an open end means the same moment as at first."""
    path, out = tiers.write_fleet(tmp_path), tmp_path / "out"
    _put(tiers, stream, 50)
    kill = (
        "import os, sys\n"
        "from fleetbox_query.exports import output\n"
        "output.Output.finish = lambda self, *_: os.kill(os.getpid(), 9)\n"
        f"{MAIN}"
    )
    words = ["export", "parquet", f"{tiers.robot}/{stream}", "--start", str(T0), "-o", str(out)]
    environment = {**os.environ, "FLEETBOX_FLEET": str(path), "PYTHONDONTWRITEBYTECODE": "1"}  # half a .pyc would stay
    killed = subprocess.run([sys.executable, "-c", kill, *words], env=environment, capture_output=True, timeout=170)
    window = json.loads((tmp_path / "out.partial" / "asked.json").read_text())["notes"]["window_us"]
    made = {one.name: one.stat().st_mtime_ns for one in (tmp_path / "out.partial").rglob("*.parquet")}
    done = run(path, *words)
    after = {one.name: one.stat().st_mtime_ns for one in out.rglob("*.parquet")}
    assert killed.returncode == -9
    assert not (tmp_path / "out.partial").exists()
    assert done.returncode == 0, done.stderr
    assert after.items() >= made.items()
    assert made
    assert json.loads((out / "_manifest.json").read_text())["window_us"] == window

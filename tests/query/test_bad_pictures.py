"""Bad input where pictures are: cut off, of an unknown label, at a tier that is down; a program killed over them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from fleetbox_local.ports import free_port
from fleetbox_query.lerobot.checking import check_dataset

from .conftest import PATIENT, Tiers, blob, chunk
from .test_cli import run

pytest.importorskip("rerun", reason="needs fleetbox[view]")

T0 = 1_700_000_000_000_000
SECOND = 1_000_000
SHOTS = 10
WINDOW = ("--start", str(T0), "--stop", str(T0 + SECOND))
MAP = (
    'fps = 10\nreference = "{0}/cam"\ntask = "go"\n[features]\n"observation.state" = "{0}/joints:x"\n'
    '"observation.images.cam" = "{0}/cam"\n'
)
Put = Callable[[int], str]

# `view` in a fork that is killed at its nth step on a file beside the output, until one is not: starting Python takes
# seconds. Tells how each ended, and whether the old file stood then.
_KILLED = """
import json, os, signal, sys
from pathlib import Path
import pandas, pyarrow.parquet, rerun, fleetbox.cli.root, fleetbox_query.fleet, fleetbox_query.viewing.recording
out, *words = sys.argv[1:]
STEPS = ("open", "os.rename", "os.remove", "os.rmdir", "os.mkdir")

def attempt(nth):
    count = 0
    def at(event, args):
        nonlocal count
        if event in STEPS and str(args[0]).startswith(out):
            count += 1
            if count == nth:
                os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(at)
    sys.argv = ["fleetbox", "view", *words, "-o", out]
    fleetbox.cli.root.main()

stood = []
for nth in (1, 2, 3, 4, 10**9):
    child = os.fork()
    if not child:
        attempt(nth)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    stood.append([code, Path(out).read_bytes() == b"old"])
    if code != -signal.SIGKILL:
        break
print(json.dumps(stood))
"""


def _jpeg(level: int) -> bytes:
    noise = np.random.default_rng(level).integers(0, 255, (48, 64, 3), np.uint8)
    return bytes(cv2.imencode(".jpg", noise)[1])


@pytest.fixture
def put(tiers: Tiers, stream: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Put:
    """Record a second of a camera, the last pictures cut off in the middle, and joints; beside a map of both."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "lerobot.toml").write_text(MAP.format(stream))

    def record(cut: int = 0) -> str:
        times = [T0 + at * SECOND // SHOTS for at in range(SHOTS)]
        for at, time_us in enumerate(times):
            data = _jpeg(at)
            data = data[: len(data) // 2] if at >= SHOTS - cut else data
            tiers.put("edge", "media", [blob(f"{stream}/cam", time_us, data, robot=tiers.robot, kind="images")])
        rows = chunk(f"{stream}/joints", times, {"x": [0.5] * SHOTS}, robot=tiers.robot, shift="night")
        tiers.put("edge", "sensor", [rows])
        return f"{tiers.robot}/{stream}/cam"

    return record


@pytest.mark.parametrize("door", ["view", "jpeg", "png", "mp4"])
def test_a_picture_that_was_cut_off(tiers: Tiers, put: Put, tmp_path: Path, door: str) -> None:
    """The viewer would show half of it, or nothing: it is left out and named with its time."""
    name = put(2)
    words = ("view", name, "-o", "x.rrd") if door == "view" else ("export", door, name, "-o", "x")
    done = run(tiers.write_fleet(tmp_path), *words, *WINDOW, "--json")
    assert done.returncode == 3, done.stderr
    answer = json.loads(done.stdout)
    missing = [*answer["missing"], *answer.get("skipped", ())]
    assert all(any(f"{name} at 2023-11-14T22:13:20.{at}00000Z" in line for line in missing) for at in (8, 9)), missing
    assert not any("20.700000Z" in line for line in missing)


def test_a_frame_whose_picture_was_cut_off(tiers: Tiers, put: Put, tmp_path: Path) -> None:
    """A dataset repeats the picture before, not a grey half, and says how often."""
    put(2)
    done = run(tiers.write_fleet(tmp_path), "export", "lerobot", tiers.robot, "-o", "x", *WINDOW)
    assert done.returncode == 3, done.stderr
    assert "2 pictures of observation.images.cam repeat the one before" in done.stdout + done.stderr
    assert check_dataset(tmp_path / "x") == []


def test_a_label_that_no_record_has(tiers: Tiers, put: Put, tmp_path: Path) -> None:
    """A dataset of it is none, and the labels there are, are named."""
    put(0)
    done = run(tiers.write_fleet(tmp_path), "export", "lerobot", tiers.robot, "-o", "x", *WINDOW, "--label", "nope=1")
    assert done.returncode == 1, done.stderr
    assert "a label `nope`; labels there are shift" in done.stderr
    assert not list(tmp_path.glob("x*"))


@pytest.mark.parametrize("door", ["lerobot", "mp4", "view"])
def test_a_tier_that_is_down(tiers: Tiers, put: Put, tmp_path: Path, door: str) -> None:
    """What the others hold is there, whole; who did not answer is named; it is no success."""
    name = put(0)
    fleet = tiers.write_fleet(tmp_path, urls={"cloud": f"http://127.0.0.1:{free_port()}"})
    out = tmp_path / {"lerobot": "x", "mp4": "x.mp4", "view": "x.rrd"}[door]
    words = ("view",) if door == "view" else ("export", door)
    done = run(fleet, *words, tiers.robot if door == "lerobot" else name, *WINDOW, "-o", str(out))
    assert done.returncode == 3, done.stderr + done.stdout
    assert "not asked: cloud" in done.stderr + done.stdout
    if door == "lerobot":
        assert check_dataset(out) == []
    elif door == "mp4":
        with av.open(str(out)) as film:
            assert sum(1 for _ in film.decode(video=0)) == SHOTS
    else:
        assert f"{SHOTS} items of 1 streams" in done.stdout


def test_a_view_that_is_killed(tiers: Tiers, put: Put, tmp_path: Path) -> None:
    """Killed at any moment it leaves the old file; not killed, a new one that Rerun opens."""
    name, out = put(0), tmp_path / "x.rrd"
    out.write_bytes(b"old")
    environment = {**os.environ, "FLEETBOX_FLEET": str(tiers.write_fleet(tmp_path))}
    command = [sys.executable, "-c", PATIENT + _KILLED, str(out), name, *WINDOW]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=170)
    assert done.returncode == 0, done.stderr
    *killed, (code, is_old) = json.loads(done.stdout.splitlines()[-1])
    assert code == 0, done.stderr
    assert not is_old
    assert len(killed) >= 1
    assert killed == [[-9, True]] * len(killed)
    shown = subprocess.run(
        [str(Path(sys.executable).with_name("rerun")), "rrd", "verify", str(out)], capture_output=True, text=True
    )
    assert shown.returncode == 0, shown.stderr

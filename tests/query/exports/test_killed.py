"""Killed at any moment, an export of every format leaves the old output or the complete one, and goes on."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import av
import pytest

from fleetbox_query.lerobot.checking import check_dataset

from ..conftest import Tiers, chunk
from ..lerobot.conftest import SECOND, camera_times, joints, shoot
from .test_bad_input import SUFFIXES, T0, _numbers

ROWS = 2_000
SECONDS = 1.0

# A process of its own, without threads when it forks: starting Python anew for each attempt takes seconds. Each child
# is killed at its nth step on a file beside the output; whatever then stands in the output's place is kept to look at.
_KILLED = """
import importlib, os, shutil, signal, sys
from pathlib import Path
from fleetbox_query import inventory, reading
from fleetbox_query.exports import steps
from fleetbox_query.exports.mcap import writing
import av, cv2, pandas, pyarrow.csv, pyarrow.parquet, fleetbox.cli.root, fleetbox_query.fleet
from fleetbox_query.exports.exporting import FORMATS
inventory.REACH_S = 60.0  # a busy machine
reading.CAP_BYTES = writing.PART_BYTES = steps.STEP_BYTES = 8_000  # many steps of little data
out, seen, *words = sys.argv[1:]
STEPS = ("open", "os.rename", "os.remove", "os.rmdir", "os.mkdir", "shutil.rmtree")
importlib.import_module({"hdf5": "h5py", "mcap": "foxglove"}.get(words[1], "fleetbox"))
importlib.import_module(FORMATS.get(words[1], ["fleetbox_query.lerobot.exporting"])[0])
before = Path(out).read_bytes() if Path(out).is_file() else None

def attempt(nth):
    count = 0
    def at(event, args):
        nonlocal count
        if event in STEPS and str(args[0]).startswith(out):
            count += 1
            if count == nth:
                os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(at)
    sys.argv = ["fleetbox", *words]
    fleetbox.cli.root.main()

for killed, nth in enumerate((2, 5, 10, 18, 32, 64, 10**9)):
    child = os.fork()
    if not child:
        attempt(nth)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    stands = Path(out)
    if stands.is_dir():
        shutil.copytree(stands, f"{seen}/{killed}")
    elif stands.exists() and stands.read_bytes() != before:
        shutil.copy(stands, f"{seen}/{killed}{stands.suffix}")
    if code != -signal.SIGKILL:
        print(killed)
        sys.exit(code)
"""


def _kill(folder: Path, out: Path, fleet: Path, *words: str) -> tuple[int, list[Path]]:
    """Export until it is not killed; return how often it was, and every output that stood afterwards."""
    (seen := folder / "seen").mkdir()
    command = [sys.executable, "-c", _KILLED, str(out), str(seen), "export", *words, "-o", str(out)]
    done = subprocess.run([*command, "--fleet", str(fleet)], capture_output=True, text=True, timeout=170)
    assert done.returncode == 0, done.stderr
    assert not list(folder.glob("*.partial"))
    return int(done.stdout.splitlines()[-1]), sorted(seen.iterdir())


@pytest.mark.parametrize("format_", SUFFIXES)
def test_rows(tiers: Tiers, stream: str, tmp_path: Path, format_: str) -> None:
    """Of rows: what stood is never a part of them, and at the end each is there once."""
    for first in range(0, ROWS, 200):
        times = [T0 + at * 1000 for at in range(first, first + 200)]
        tiers.put("edge", "sensor", [chunk(stream, times, {"x": [at * 1.01 for at in times]}, robot=tiers.robot)])
    name = f"{tiers.robot}/{stream}"
    out = tmp_path / f"x.{SUFFIXES[format_]}"
    out.write_text("old")
    words = (format_, name, "--start", str(T0), "--stop", str(T0 + 10 * SECOND))
    killed, seen = _kill(tmp_path, out, tiers.write_fleet(tmp_path), *words)
    assert killed >= 3
    for one in seen:
        assert [time for time, _ in _numbers(one, name, "x")] == [T0 + at * 1000 for at in range(ROWS)]
    assert seen


@pytest.mark.parametrize("format_", ["mp4", "jpeg"])
def test_pictures(tiers: Tiers, stream: str, tmp_path: Path, format_: str) -> None:
    """Of pictures: a film or a folder with all of them, or none."""
    times = camera_times(T0, SECONDS)
    shoot(tiers, stream, times)
    out = tmp_path / ("x.mp4" if format_ == "mp4" else "x")
    words = (format_, f"{tiers.robot}/{stream}", "--start", str(T0), "--stop", str(T0 + SECOND))
    killed, seen = _kill(tmp_path, out, tiers.write_fleet(tmp_path), *words)
    assert killed >= 3
    for one in seen:
        if one.is_dir():
            assert len(list(one.rglob("*.jpg"))) == len(times)
        else:
            with av.open(str(one)) as film:
                assert sum(1 for _ in film.decode(video=0)) == len(times)
    assert seen


def test_lerobot(tiers: Tiers, stream: str, tmp_path: Path) -> None:
    """Of a dataset: what stood passes its check, whenever it was."""
    names = {"front": f"{stream}/front", "joints": f"{stream}/joints"}
    joints(tiers, names["joints"], T0 - SECOND, SECONDS + 2)
    shoot(tiers, names["front"], camera_times(T0, SECONDS))
    (path := tmp_path / "lerobot.toml").write_text(
        f'fps = 30\nreference = "{names["front"]}"\ntask = "go"\n[features]\n'
        f'"observation.state" = "{names["joints"]}:position"\n"observation.images.front" = "{names["front"]}"\n'
    )
    words = ("lerobot", f"{tiers.robot}/**", "--map", str(path), "--start", str(T0), "--stop", str(T0 + SECOND))
    killed, seen = _kill(tmp_path, tmp_path / "out", tiers.write_fleet(tmp_path), *words)
    assert killed >= 3
    assert [check_dataset(one) for one in seen] == [[]] * len(seen)
    assert seen

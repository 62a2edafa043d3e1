"""A disk that takes no more, for what holds films: one clear error, the old output, and with room it goes on."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from fleetbox_query.lerobot.checking import check_dataset

from ..conftest import PATIENT, Tiers, blob, chunk

T0 = 1_760_000_000_000_000
SECOND = 1_000_000
FRAMES = 10

# The same words twice, first where no file may grow large. Both are forks of one process: starting Python anew for
# each takes seconds. What each says on stderr is kept, and the old output as it stood between them.
_TWICE = """
import json, os, resource, sys
from pathlib import Path
sys.dont_write_bytecode = True  # half a .pyc would stay
import av, cv2, pandas, pyarrow.parquet
import fleetbox.cli.root, fleetbox_query.exports.exporting, fleetbox_query.fleet, fleetbox_query.lerobot.exporting
folder, out, *words = sys.argv[1:]
told = []
for most_bytes in (20_000, None):
    err = f"{folder}/err"
    child = os.fork()
    if not child:
        os.dup2(os.open(err, os.O_CREAT | os.O_TRUNC | os.O_WRONLY), 2)
        if most_bytes:
            resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, most_bytes))
        sys.argv = ["fleetbox", *words]
        fleetbox.cli.root.main()
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    stood = Path(out).read_text() if most_bytes and Path(out).exists() else None
    told.append([code, Path(err).read_text(), stood])
print(json.dumps(told))
"""


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


@pytest.mark.parametrize("format_", ["mp4", "lerobot"])
def test_no_room(tiers: Tiers, recorded: str, tmp_path: Path, format_: str) -> None:
    """A film that does not fit."""
    (path := tmp_path / "lerobot.toml").write_text(
        f'fps = 10\nreference = "{recorded}/cam"\ntask = "go"\n[features]\n'
        f'"observation.state" = "{recorded}/joints:x"\n"observation.images.cam" = "{recorded}/cam"\n'
    )
    out = tmp_path / ("x.mp4" if format_ == "mp4" else "x")
    if format_ == "mp4":
        out.write_text("old")
    words = ["export", format_, f"{tiers.robot}/{recorded}/cam", "--start", str(T0), "--stop", str(T0 + SECOND)]
    words += ["-o", str(out), "--fleet", str(tiers.write_fleet(tmp_path))]
    words += ["--map", str(path)] if format_ == "lerobot" else []
    command = [sys.executable, "-c", PATIENT + _TWICE, str(tmp_path), str(out), *words]
    both = subprocess.run(command, capture_output=True, text=True, timeout=170)
    assert both.returncode == 0, both.stderr
    (refused, said, stood), (done, err, _) = json.loads(both.stdout.splitlines()[-1])
    assert refused == 1, said
    assert f"cannot write {out}" in said
    assert "Traceback" not in said
    assert stood == ("old" if format_ == "mp4" else None)
    assert done == 0, err
    if format_ == "lerobot":
        assert check_dataset(out) == []
        return
    with av.open(str(out)) as film:
        assert sum(1 for _ in film.decode(video=0)) == FRAMES

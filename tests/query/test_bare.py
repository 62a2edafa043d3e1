"""The bare install, without numpy, pandas, pyarrow and OpenCV, still lists, queries and gets."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from .conftest import MAIN, Tiers, chunk

T0 = 1_760_000_000_000_000  # µs
WITHOUT = """
import sys
for name in ("numpy", "pandas", "pyarrow", "cv2", "reduct_bridge"):
    sys.modules[name] = None
"""


def bare(path: Path, *args: str) -> str:
    """Run the command line as the bare install has it."""
    env = {**os.environ, "FLEETBOX_FLEET": str(path), "PYTHONWARNINGS": "error"}
    command = [sys.executable, "-c", WITHOUT + MAIN, *args]
    done = subprocess.run(command, capture_output=True, text=True, env=env, timeout=170, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_bare_install_answers(tiers: Tiers, tmp_path: Path, stream: str) -> None:
    """ndjson, CSV, a plot, an expression, ls and get need nothing that the extras bring."""
    columns = {"x": [0.5, float("nan"), 2**53 + 1.0], "on": [True, False, True], "n": [2**60 + 1, -1, 0]}
    tiers.put("edge", "sensor", [chunk(stream, [T0, T0 + 1, T0 + 2], columns)])
    path, name = tiers.write_fleet(tmp_path), f"{tiers.robot}/{stream}"
    rows = [json.loads(line)["fields"] for line in bare(path, "query", name, "--format", "ndjson").splitlines()]
    assert rows == [
        {"x": 0.5, "on": True, "n": 2**60 + 1},
        {"x": "NaN", "on": False, "n": -1},
        {"x": 2**53 + 1.0, "on": True, "n": 0},
    ]
    assert len(bare(path, "query", name, "--when", "n < 1", "--format", "csv").splitlines()) == 3
    assert "3 values" in bare(path, "query", f"{name}:n", "--plot")
    assert stream in bare(path, "ls", name)
    assert "on" in bare(path, "get", name, "--at", str(T0))

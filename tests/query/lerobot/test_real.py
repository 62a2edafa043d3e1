"""The real LeRobot opens and edits what is exported.

Opt-in: its wheels need Python 3.12 and half a gigabyte. Make a place for them once and name its interpreter:

    python3.12 -m venv lerobot-venv
    lerobot-venv/bin/pip install 'datasets<5' 'pandas<3' 'av<16' 'huggingface-hub<2' 'pillow<13' 'packaging<26' \\
        draccus einops gymnasium jsonlines termcolor safetensors tqdm
    lerobot-venv/bin/pip install --no-deps lerobot==0.6.1
    FLEETBOX_LEROBOT_PYTHON=lerobot-venv/bin/python pytest tests/query/lerobot/test_real.py

Where that interpreter has no torch (3 GB), `real/torch` stands in for it with numpy: LeRobot's dataset code is its own.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fleetbox_query.fleet import Fleet
from fleetbox_query.lerobot.checking import check_dataset
from fleetbox_query.lerobot.exporting import export_lerobot
from fleetbox_query.lerobot.intervals import Interval

from ..conftest import Tiers
from .conftest import SECOND, T0, make_map, record

PYTHON = os.environ.get("FLEETBOX_LEROBOT_PYTHON", "")
REAL = Path(__file__).parent / "real"


def look(root: Path, home: Path) -> dict[str, Any]:
    """Return what LeRobot finds in a dataset."""
    has_torch = subprocess.run([PYTHON, "-c", "import torch"], capture_output=True, check=False).returncode == 0
    env = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(home), "PYTHONPATH": "" if has_torch else str(REAL)}
    done = subprocess.run(
        [PYTHON, str(REAL / "look.py"), str(root)], capture_output=True, text=True, env=env, timeout=150, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.skipif(not PYTHON, reason="FLEETBOX_LEROBOT_PYTHON names no interpreter with lerobot; see this module")
def test_the_real_lerobot_opens_and_edits_an_export(
    tiers: Tiers, fleet: Fleet, names: dict[str, str], tmp_path: Path
) -> None:
    """Reading, steps in time, chosen episodes, delete, split, merge, add and remove all do what they say."""
    intervals = []
    for at, task in enumerate(("pick the cup", "put it down", "pick the cup")):
        start = T0 + at * 10 * SECOND
        record(tiers, names, start, 2.0)
        intervals.append(Interval(tiers.robot, start, start + 2 * SECOND, note=task))
    out, map_ = tmp_path / "out", make_map(names, task="episode.note")
    question = fleet.select(f"{tiers.robot}/**").question
    export_lerobot(fleet.session, question, map_, out, intervals=intervals)
    assert check_dataset(out) == []
    found = look(out, tmp_path / "home")
    whole = found["whole"]
    assert (whole["frames"], whole["episodes"], whole["picture"]) == (180, 3, [[3, 48, 64], [3, 48, 64]])
    assert whole["tasks"] == ["pick the cup", "put it down"]
    assert whole["task"] == ["pick the cup", "pick the cup"]
    assert whole["ts_ns"][0] == T0 * 1000
    assert whole["state"][0] == [50.0, -50.0]
    assert found["stepped"] == [[2, 2], [2, 3, 48, 64]]
    assert np.allclose(found["levels"], [40 + at % 60 for at in range(0, 180, 7)], atol=3)
    assert (found["chosen"], found["deleted"]["frames"], found["deleted"]["episodes"]) == (60, 120, 2)
    assert {name: part["episodes"] for name, part in found["split"].items()} == {"train": 2, "val": 1}
    assert (found["merged"]["frames"], found["merged"]["level"]) == (180, pytest.approx(whole["level"], abs=2))
    assert "action" not in found["removed"]
    assert "reward" in found["added"]

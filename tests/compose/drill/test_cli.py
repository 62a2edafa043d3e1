"""`fleetbox drill` as people call it: a fault played to its end in an empty folder, and an end in mid-fault."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest


def _drill(folder: Path, *words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "fleetbox", "drill", "--dir", str(folder), *words]
    return subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def _left_in(folder: Path) -> list[str]:
    """Return the command lines of processes that still work in a folder."""
    found = []
    for process in psutil.process_iter():
        try:
            command = " ".join(process.cmdline())
            if str(folder) in command or str(folder) in process.environ().get("RS_DATA_PATH", ""):
                found.append(command)
        except psutil.Error:
            continue
    return found


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_drill_ends_with_its_balance(tmp_path: Path) -> None:
    """One fault: exit 0, all promised numbers at both places, books closed, and the folder as empty as before."""
    drill = _drill(tmp_path, "--profile", "quota", "--json")
    out, err = drill.communicate(timeout=580)

    assert drill.returncode == 0, err
    (fault,) = json.loads(out)["faults"]
    assert fault["fault"] == "quota"
    assert fault["promised"] >= 320
    assert fault["missing"] == {"edge": 0, "cloud": 0}
    assert (fault["balance"]["lost"], fault["balance"]["unexplained"]) == (0, 0)
    assert fault["symptom"]["after_s"] is not None, fault["symptom"]
    assert fault["symptom"]["looks"] <= 20, "15 s, but for a busy machine"
    assert "the quota is lifted" in err
    assert list(tmp_path.iterdir()) == []
    assert _left_in(tmp_path) == []


@pytest.mark.slow
@pytest.mark.timeout(700)
def test_ctrl_c_in_mid_fault_leaves_nothing(tmp_path: Path) -> None:
    """Interrupted while the link is cut, a drill exits 130, and everything it started has ended."""
    drill = _drill(tmp_path, "--profile", "log-deleted")
    deadline = time.monotonic() + 240
    while not list(tmp_path.glob("*/scene-*/writer.log")):
        assert time.monotonic() < deadline, "the drill did not begin"
        assert drill.poll() is None
        time.sleep(0.05)
    os.kill(drill.pid, signal.SIGINT)
    _, err = drill.communicate(timeout=400)

    assert drill.returncode == 130, err
    assert _left_in(tmp_path) == []


def test_the_list_names_every_fault(tmp_path: Path) -> None:
    """--list says what each fault does and plays none; an unknown name is a usage error that points there."""
    out, err = _drill(tmp_path, "--list", "--json").communicate(timeout=120)
    assert {"quota", "token", "resets", "ring-overtakes"} <= {row["fault"] for row in json.loads(out)["faults"]}, err

    wrong = _drill(tmp_path, "--profile", "quake")
    _, err = wrong.communicate(timeout=120)
    assert wrong.returncode == 2
    assert "fleetbox drill --list" in err

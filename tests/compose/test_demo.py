"""The demo: its figures are measured, and nothing of it is left running, however it ends."""

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

from fleetbox.records import Head
from fleetbox_local.demo.moment import copied_bytes

SECONDS = "17"  # the shortest recording with ten seconds before the brake


def _demo(folder: Path, *more: str) -> subprocess.Popen[str]:
    command = [
        sys.executable,
        "-m",
        "fleetbox",
        "demo",
        "--dir",
        str(folder),
        "--seconds",
        SECONDS,
        "--no-influx",
        *more,
    ]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)


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
@pytest.mark.timeout(700)
def test_the_main_job_is_measured_end_to_end(tmp_path: Path) -> None:
    """Every act gives its figures: frames from before the brake at the cloud, no byte copied, tiers that add up."""
    folder = tmp_path / "demo"
    demo = _demo(folder, "--json")
    out, err = demo.communicate(timeout=680)

    assert demo.returncode == 0, err
    facts = json.loads(out)
    moment, table = facts["moment"], facts["table"]
    held = {(row["tier"], row["robot"], row["stream"]): row for row in table}
    assert 299 <= moment["frames_before"] <= 301, "ten seconds of 30 Hz; the trigger's row lies between two frames"
    assert moment["bytes_copied_on_robot"] == 0
    assert moment["arrived_records"] == moment["selected_records"] > 300
    assert 0 < facts["record"]["selected_percent"] < 20
    assert facts["ask"]["rows"] == 1500
    assert facts["ask"]["mean_source"] == "chunks"
    assert Path(facts["ask"]["frame"]).read_bytes()[:2] == b"\xff\xd8"
    assert held["cloud", "r1", "cam/front"]["records"] >= 450
    assert ("cloud", "r2", "cam/front") not in held
    for stream in ("health", "log/robot", "cam/front/preview"):
        for robot in ("r1", "r2"):
            assert held["cloud", robot, stream]["records"] == held["robot", robot, stream]["records"]
    fault = facts["fault"]
    assert fault["engine_alone"] == {"pending": 0, "active": True, "gone": 500}
    assert fault["fleetbox"]["waited"] == 500
    assert "r2--log" in fault["fleetbox"]["named"]
    assert fault["fleetbox"]["arrived"] == fault["records"] == 600
    assert held["cloud", "r2", "log/fault"]["records"] == 600
    books = facts["books"]
    assert (books["balanced"], books["lost"], books["unexplained"]) == (True, 0, 0)
    for robot in ("r1", "r2"):
        to_edge, to_cloud = books["robots"][robot]
        assert to_edge["arrived"] == to_edge["selected"] == to_cloud["arrived"] > 500
        assert to_edge["kept_on_robot"] > 50, to_edge
    assert _left_in(folder) == []
    assert (folder / "r1" / "data").is_dir()


@pytest.mark.slow
@pytest.mark.timeout(700)
def test_ctrl_c_in_the_middle_leaves_no_orphan(tmp_path: Path) -> None:
    """Interrupted while the robots record, the demo exits 130 and everything it started has ended."""
    folder = tmp_path / "demo"
    demo = _demo(folder)
    deadline = time.monotonic() + 240
    while not (folder / "r1" / "simulate.log").exists():
        assert time.monotonic() < deadline, "the robots did not start"
        time.sleep(0.05)
    os.kill(demo.pid, signal.SIGINT)
    _, err = demo.communicate(timeout=400)

    assert demo.returncode == 130, err
    assert _left_in(folder) == []


def test_a_short_recording_is_refused(tmp_path: Path) -> None:
    """Without a before and an after there is nothing to show: a usage error says how long it takes."""
    command = [sys.executable, "-m", "fleetbox", "demo", "--dir", str(tmp_path), "--seconds", "6"]
    answer = subprocess.run(command, capture_output=True, text=True)

    assert answer.returncode == 2
    assert "use 10 or more" in answer.stderr


def test_a_copy_shows_by_its_payload() -> None:
    """A record with the payload of another counts as copied; a new payload and the record itself do not."""

    def head(time_us: int, xxh: str) -> Head:
        return Head("media", "cam", time_us, 100, {"xxh": xxh}, "image/jpeg")

    before = {"media/cam@1": head(1, "a")}
    after = {**before, "kept/cam@1": head(1, "a"), "media/cam@2": head(2, "b")}

    assert copied_bytes(before, after) == 100

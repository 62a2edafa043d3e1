"""Raise events from the command line, now and in the past, and wait until they have arrived."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

from fleetbox_edge.recorder import Recorder

from .conftest import Robot


def fleetbox(robot: Robot, *words: str) -> subprocess.CompletedProcess[str]:
    """Run the command line as this robot."""
    env = {**os.environ, "FLEETBOX_FLEET": str(robot.file)}
    return subprocess.run(
        [sys.executable, "-m", "fleetbox", *words], capture_output=True, text=True, env=env, timeout=60
    )


def test_mark_and_wait(robot: Robot) -> None:
    """`mark --wait` returns once the window's records are labelled, and counts them."""
    robot.write(policy='[event.default]\npre = "30s"\npost = "0s"\n')
    with Recorder(robot.file) as recorder:
        for number in range(10):
            recorder.log("log/app", f"line {number}")
        recorder.flush(20)
        done = fleetbox(robot, "mark", "near_miss", "--note", "seen by hand", "--wait", "--json")
        assert done.returncode == 0, done.stderr
        answer = json.loads(done.stdout)
    assert (answer["state"], answer["labelled"], answer["robot"]) == ("labelled", {"log/app": 10}, robot.id)
    assert all(record.labels["keep"] == "1" for record in robot.records("log", "log/app"))


def test_a_window_older_than_the_ring(robot: Robot) -> None:
    """A mark that reaches back before the ring's beginning says per stream how much is left."""
    with Recorder(robot.file) as recorder:
        recorder.log("log/app", "line", time=time.time_ns() // 1000 - 4_000_000)
        recorder.flush(20)
        done = fleetbox(robot, "mark", "near_miss", "--pre", "1h", "--streams", "log/**")
    assert done.returncode == 0, done.stderr
    assert "log/app: the ring begins at" in done.stderr
    assert "of the 60 min before the moment are left" in done.stderr
    assert done.stdout.startswith("near-miss-")


def test_wrong_marks_say_what_to_do(robot: Robot) -> None:
    """A kind that is no name, a time that is none, an unknown robot and a store without meta explain themselves."""
    cases = {
        ("mark", "hard brake"): (2, "event kind"),
        ("mark", "x", "--at", "yesterday"): (2, "time 'yesterday'"),
        ("mark", "x", "--robot", "r99"): (1, "r99"),
        ("mark", "x"): (1, "fleetbox agent run"),
    }
    for words, (code, text) in cases.items():
        done = fleetbox(robot, *words)
        assert done.returncode == code, (words, done.stderr)
        assert text in done.stderr

"""End a recording program in ways other than SIGKILL: the next one delivers, and every row is counted one by one."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest
from conftest import StoreServer

from fleetbox_edge.recorder import Recorder

from .conftest import Robot

ROWS = 500

# Logs rows and ends without close(): by the last line, by sys.exit, by an exception nobody catches.
CHILD = """
import sys
from fleetbox_edge.recorder import Recorder
recorder = Recorder(sys.argv[1], duties=False)
for number in range(int(sys.argv[2])):
    recorder.log("imu", {"n": number})
    if number % 10 == 0:
        recorder.log("log/app", f"line {number}")
if sys.argv[3] == "exit":
    sys.exit(3)
if sys.argv[3] == "raise":
    raise KeyError("forgotten")
"""

# Forks while it records: by os.fork, ending as programs end, or as multiprocessing does it.
FORKING = """
import multiprocessing, os, sys
from fleetbox.errors import InputError
from fleetbox_edge.recorder import Recorder

def refused(call):
    try:
        call()
    except InputError as error:
        assert "another process" in str(error), error
        return
    raise AssertionError("not refused")

def child(recorder):
    for value in ({"n": -1, "x": -1.0}, {"n": -1}, "text", b"\\xff\\xd8\\xff"):
        refused(lambda: recorder.log("imu", value))
        refused(lambda: recorder.log("new", value))
    refused(lambda: recorder.log_columns("imu", [1], {"n": [-1]}))
    refused(lambda: recorder.mark("hard_brake"))
    refused(lambda: recorder.flush(1))
    recorder.stats()
    recorder.close()
    with Recorder(sys.argv[1], duties=False) as mine:
        mine.log("mine", {"n": os.getpid(), "x": 0.5})
    print("child done", flush=True)

with Recorder(sys.argv[1], duties=False) as recorder:
    for number in range(int(sys.argv[2])):
        recorder.log("imu", {"n": number, "x": 0.5})
    if sys.argv[3] == "fork":
        pid = os.fork()
        if pid == 0:
            child(recorder)
            sys.exit(0)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    else:
        process = multiprocessing.get_context("fork").Process(target=child, args=(recorder,))
        process.start()
        process.join()
        code = process.exitcode
    assert code == 0, code
    for number in range(int(sys.argv[2]), 2 * int(sys.argv[2])):
        recorder.log("imu", {"n": number, "x": 0.5})
    assert recorder.flush(60)
"""

# Forks a child that outlives it, until its input ends.
ORPHAN = """
import os, sys, time
from fleetbox_edge.recorder import Recorder
recorder = Recorder(sys.argv[1], duties=False)
for number in range(int(sys.argv[2])):
    recorder.log("imu", {"n": number})
if os.fork() == 0:
    print("forked", flush=True)
    sys.stdin.read()
    os._exit(0)
time.sleep(60)
"""


@pytest.mark.parametrize(("how", "code"), [("end", 0), ("exit", 3), ("raise", 1)])
def test_a_program_that_forgets_close(robot: Robot, how: str, code: int) -> None:
    """A program ends with its own exit code, in time, and what it logged is delivered once by the next."""
    ended = subprocess.run(
        [sys.executable, "-c", CHILD, str(robot.file), str(ROWS), how], capture_output=True, text=True, timeout=120
    )
    assert (ended.returncode, ended.stdout) == (code, ""), ended.stderr
    with Recorder(robot.file, duties=False) as after:
        assert after.flush(60)
    assert [row["n"] for row in robot.rows("imu")] == list(range(ROWS))
    assert len(robot.records("log", "log/app")) == ROWS // 10
    assert robot.spools() == []


def test_a_store_away_for_the_whole_life(new_store_server: Callable[..., StoreServer], robot: Robot) -> None:
    """A recorder whose store never answers is closed with its rows in the spool; the next delivers each once."""
    server = new_store_server()
    server.kill()
    robot.url, robot.token = server.url, server.token
    robot.write()
    recorder = Recorder(robot.file, duties=False)
    for number in range(ROWS):
        recorder.log("imu", {"n": number})
        recorder.log("cam/front", b"\xff\xd8\xff" + number.to_bytes(8))
    recorder.close(0.2)
    assert recorder.stats().waiting == 2 * ROWS
    server.start()
    with Recorder(robot.file, duties=False) as after:
        assert after.flush(60)
        assert after.stats().replayed == 2 * ROWS
    assert [row["n"] for row in robot.rows("imu")] == list(range(ROWS))
    frames = [int.from_bytes(record.data[3:]) for record in robot.records("media", "cam/front")]
    assert frames == list(range(ROWS))
    assert robot.spools() == []


@pytest.mark.parametrize("how", ["fork", "multiprocessing"])
def test_a_forked_child_makes_a_recorder_of_its_own(robot: Robot, how: str) -> None:
    """A child is refused at its parent's recorder and takes nothing from it; both record all, each with its own."""
    ended = subprocess.run(
        [sys.executable, "-c", FORKING, str(robot.file), str(ROWS), how], capture_output=True, text=True, timeout=120
    )
    assert (ended.returncode, ended.stdout) == (0, "child done\n"), ended.stderr
    assert "Traceback" not in ended.stderr
    assert [row["n"] for row in robot.rows("imu")] == list(range(2 * ROWS))
    assert len(robot.rows("mine")) == 1
    assert robot.spools() == []


def test_a_child_that_lives_on_does_not_hold_its_parents_spool(robot: Robot) -> None:
    """When the parent dies and a child of it lives, the next recorder still delivers what the parent left."""
    robot.url, good = "http://127.0.0.1:9", robot.url
    robot.write()
    with subprocess.Popen(
        [sys.executable, "-c", ORPHAN, str(robot.file), str(ROWS)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as parent:
        assert parent.stdout is not None
        assert parent.stdin is not None
        assert parent.stdout.readline() == b"forked\n"
        parent.kill()
        parent.wait(60)
        robot.url = good
        robot.write()
        with Recorder(robot.file, duties=False) as after:
            assert after.flush(60)
            assert after.stats().replayed == ROWS
        parent.stdin.close()  # the child ends with it
    assert [row["n"] for row in robot.rows("imu")] == list(range(ROWS))

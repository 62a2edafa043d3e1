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


@pytest.mark.parametrize(("how", "code"), [("end", 0), ("exit", 3), ("raise", 1)])
def test_a_program_that_forgets_close(robot: Robot, how: str, code: int) -> None:
    """A program ends with its own exit code, in time, and what it logged is delivered once by the next."""
    ended = subprocess.run(
        [sys.executable, "-c", CHILD, str(robot.file), str(ROWS), how], capture_output=True, text=True, timeout=60
    )
    assert (ended.returncode, ended.stdout) == (code, ""), ended.stderr
    with Recorder(robot.file, duties=False) as after:
        assert after.flush(30)
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
        assert after.flush(30)
        assert after.stats().replayed == 2 * ROWS
    assert [row["n"] for row in robot.rows("imu")] == list(range(ROWS))
    frames = [int.from_bytes(record.data[3:]) for record in robot.records("media", "cam/front")]
    assert frames == list(range(ROWS))
    assert robot.spools() == []

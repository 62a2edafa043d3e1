"""Children end with us, gracefully, and say why they failed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from fleetbox.errors import FleetboxError
from fleetbox_local.child import Child, Command

DEADLINE_S = 60.0
PARENT = """
import sys, time
from pathlib import Path
from fleetbox_local.child import Child, Command
child = Child(Command("sleeper", ("sleep", "600"), Path(sys.argv[1])))
child.start()
print(child.pid, flush=True)
time.sleep(600)
"""


def until(true: Callable[[], bool]) -> None:
    """Poll with a deadline."""
    deadline = time.monotonic() + DEADLINE_S
    while not true():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.01)


def runs(pid: int) -> bool:
    """A zombie nobody reaps yet has ended too."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):  # gone before it was opened, or read
        return False
    return state != "Z"


def python(tmp_path: Path, code: str) -> Child:
    """Make a child that runs this Python code."""
    return Child(Command("helper", (sys.executable, "-c", code), tmp_path / "helper.log"))


def test_parent_killed(tmp_path: Path) -> None:
    """Kill -9 of the parent leaves no child."""
    with subprocess.Popen([sys.executable, "-c", PARENT, str(tmp_path / "log")], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        until(lambda: Path(f"/proc/{pid}/comm").read_text().strip() == "sleep")
        parent.kill()
    until(lambda: not runs(pid))


def test_starting_thread_may_end(tmp_path: Path) -> None:
    """A child started from a thread survives that thread."""
    child = Child(Command("sleeper", ("sleep", "600"), tmp_path / "log"))
    thread = threading.Thread(target=child.start)
    thread.start()
    thread.join()
    until(lambda: Path(f"/proc/{child.pid}/comm").read_text().strip() == "sleep")
    assert not child.wait(0.2)
    assert child.stop() == "stopped"


def test_own_process_group(tmp_path: Path) -> None:
    """Ctrl-C in our terminal is ours alone: the child leads its own group."""
    child = Child(Command("sleeper", ("sleep", "600"), tmp_path / "log"))
    child.start()
    assert child.pid is not None
    assert os.getpgid(child.pid) == child.pid != os.getpgrp()
    child.kill()
    assert child.exit_code == -signal.SIGKILL


def test_stop_is_graceful(tmp_path: Path) -> None:
    """A child that cleans up on SIGTERM gets the time to do so."""
    child = python(
        tmp_path,
        "import signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: (print('cleaned up'), sys.exit(0)))\n"
        "print('ready', flush=True)\n"
        "while True: time.sleep(0.1)",  # a signal that comes just before one long sleep would wait for its end
    )
    child.start()
    child.wait_ready(lambda: "ready" in child.tail(), DEADLINE_S)
    assert child.stop() == "stopped"
    assert child.tail() == ["ready", "cleaned up"]
    assert child.stop() == "gone"


def test_stop_ends_the_deaf(tmp_path: Path) -> None:
    """A child that ignores SIGTERM is killed after the grace."""
    child = python(
        tmp_path,
        "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "print('ready', flush=True)\ntime.sleep(600)",
    )
    child.start()
    child.wait_ready(lambda: "ready" in child.tail(), DEADLINE_S)
    assert child.stop(grace_s=0.1) == "killed"
    assert not child.alive


def test_early_end_shows_the_log(tmp_path: Path) -> None:
    """A child that ends before it is ready is an error with its last words and its log's path."""
    child = python(tmp_path, "print('no such disk'); raise SystemExit(7)")
    child.start()
    with pytest.raises(FleetboxError, match=r"ended with code 7(.|\n)*no such disk(.|\n)*helper\.log"):
        child.wait_ready(lambda: False, DEADLINE_S)


def test_never_ready(tmp_path: Path) -> None:
    """A child that never gets ready is an error that says how long was waited."""
    child = Child(Command("sleeper", ("sleep", "600"), tmp_path / "log"))
    child.start()
    with pytest.raises(FleetboxError, match="sleeper was not ready after 0 s"):
        child.wait_ready(lambda: False, 0.05)
    child.kill()


def test_no_such_program(tmp_path: Path) -> None:
    """A program that cannot be started ends at once and its log says why."""
    child = Child(Command("nothing", ("/no/such/program",), tmp_path / "log"))
    child.start()
    with pytest.raises(FleetboxError, match="cannot start /no/such/program: No such file"):
        child.wait_ready(lambda: False, DEADLINE_S)

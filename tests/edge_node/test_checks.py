"""What `doctor` says of an agent: one that runs, one that hangs, one that is not there."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from fleetbox.checks import Check
from fleetbox.settings import find_fleet
from fleetbox_edge.checks import agent
from fleetbox_edge.duty_lock import lock_path, try_lock
from fleetbox_local.processes import free_port
from tests.conftest import hang

from .conftest import Robot

START_S = 120.0  # two busy cores; an agent is normally there after a second


def judged(robot: Robot) -> Check:
    """Return the check of the robot's agent."""
    checks = asyncio.run(agent(find_fleet(robot.file), robot.id))
    return next(check for check in checks if check.name == "agent")


def with_site(robot: Robot, relay_port: int) -> None:
    """Let the robot report to a site, here its own store, through a relay at a port."""
    site = f'site = "{robot.url}"\nsite_token = {{ file = "token" }}\n'
    robot.write(f'{site}relay = "http://127.0.0.1:{relay_port}"')


@contextmanager
def held_lock(robot: Robot) -> Iterator[None]:
    """Hold the duties' lock, as an agent does that has stopped doing anything else."""
    fd = try_lock(lock_path(robot.settings.state))
    assert fd is not None
    try:
        yield
    finally:
        os.close(fd)


def test_a_running_and_a_stopped_agent(robot: Robot) -> None:
    """A real agent passes once its relay answers; stopped by a signal it fails, though it holds its lock."""
    assert judged(robot).verdict == "FAIL"
    with_site(robot, free_port())
    with subprocess.Popen([sys.executable, "-m", "fleetbox", "agent", "run", "--config", str(robot.file)]) as process:
        try:
            until = time.monotonic() + START_S
            while (found := judged(robot)).verdict != "PASS" and time.monotonic() < until:
                time.sleep(0.1)
            assert "its relay answers" in found.text
            hang(process.pid)
            found = judged(robot)
        finally:
            os.kill(process.pid, signal.SIGCONT)
            process.terminate()
    assert (found.verdict, found.phrase) == ("FAIL", "agent hangs")
    assert f"process {process.pid}" in found.text


def test_an_agent_that_does_not_answer(robot: Robot) -> None:
    """A relay that takes connections and says nothing means that its process hangs; a closed port is a warning."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        with_site(robot, silent.getsockname()[1])
        with held_lock(robot):
            hung = judged(robot)
    with_site(robot, free_port())
    with held_lock(robot):
        closed = judged(robot)
    assert (hung.verdict, hung.phrase) == ("FAIL", "agent hangs")
    assert closed.verdict == "WARN"


def test_without_a_site_only_the_lock_is_seen(robot: Robot) -> None:
    """An agent that has no relay cannot be asked, and the check says so."""
    with held_lock(robot):
        found = judged(robot)
    assert found.verdict == "PASS"
    assert "no relay that could be asked" in found.text

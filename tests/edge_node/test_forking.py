"""A forked child holds neither its parent's duties nor its relay's port, and its own files stay its own."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from conftest import StoreServer

from fleetbox_edge.forking import let_go
from fleetbox_edge.recorder import Recorder
from fleetbox_local.ports import free_port

from .conftest import Robot
from .test_duties import until

# Does the duties, forks a child that outlives it, and waits to be killed.
PARENT = """
import os, socket, sys, time
from fleetbox_edge.recorder import Recorder
recorder = Recorder(sys.argv[1])
while not recorder.stats().duties:
    time.sleep(0.01)
while True:  # until the relay listens
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", int(sys.argv[2]))) == 0:
            break
    time.sleep(0.01)
if os.fork() == 0:
    print("forked", flush=True)
    sys.stdin.read()
    os._exit(0)
time.sleep(600)
"""


def listens(port: int) -> bool:
    """Tell whether somebody answers on a port."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_another_takes_over_while_a_child_lives(robot: Robot, new_store_server: Callable[..., StoreServer]) -> None:
    """When the parent is killed its lock and its relay's port are free at once, although the child goes on."""
    site, port = new_store_server(), free_port()
    (robot.folder / "site").write_text(site.token)
    robot.write(f'site = "{site.url}"\nsite_token = {{ file = "site" }}\nrelay = "http://127.0.0.1:{port}"')
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, str(robot.file), str(port)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as parent:
        assert parent.stdout is not None
        assert parent.stdin is not None
        try:
            assert parent.stdout.readline() == b"forked\n"
            assert listens(port)
        finally:
            parent.kill()
        parent.wait(60)
        assert not listens(port)
        with Recorder(robot.file) as after:
            until(lambda: after.stats().duties)
            until(lambda: listens(port))
        parent.stdin.close()  # the child ends with it


def test_only_what_is_the_agents_is_let_go(tmp_path: Path) -> None:
    """A file in the folder and a socket on the port become /dev/null under their numbers; others stay as they are."""
    (tmp_path / "state").mkdir()
    with (
        (tmp_path / "state" / "lock").open("w") as lock,
        (tmp_path / "mine").open("w") as mine,
        socket.create_server(("127.0.0.1", 0)) as relay,
        socket.create_server(("127.0.0.1", 0)) as other,
    ):
        port = relay.getsockname()[1]
        let_go(tmp_path / "state", frozenset({port}))
        assert not listens(port)
        assert listens(other.getsockname()[1])
        targets = [Path(f"/proc/self/fd/{file.fileno()}").readlink() for file in (lock, mine)]
    assert targets == [Path(os.devnull), tmp_path / "mine"]

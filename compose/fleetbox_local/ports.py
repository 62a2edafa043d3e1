"""Chooses TCP ports for local servers."""

from __future__ import annotations

import contextlib
import fcntl
import os
import random
import socket
import tempfile
import threading
from pathlib import Path

from fleetbox.errors import FleetboxError

HOST = "127.0.0.1"  # nothing that `up` starts is reachable from another machine
FIRST, LAST = 20_000, 32_000  # below Linux' ephemeral range: no outgoing connection can take a port we chose
TRIES = 500

_given: set[int] = set()  # a port handed out is not listened on at once: never give it twice
_given_lock = threading.Lock()
_claims: list[int] = []  # the open file of claims, once there is one; never closed: that would give all of them back


def free_port(rng: random.Random | None = None) -> int:
    """Choose a free port on loopback, never the same one twice among the processes of this user that live now."""
    choose = rng or random.SystemRandom()
    for _ in range(TRIES):
        port = choose.randrange(FIRST, LAST)
        with _given_lock:
            if port in _given or not _claimed(port) or not is_free(port):
                continue
            _given.add(port)
            return port
    raise FleetboxError(
        f"found no free port between {FIRST} and {LAST} in {TRIES} tries", "see what listens there: ss -ltn"
    )


def take_port(port: int) -> bool:
    """Take a port chosen before, if nobody listens on it and no other process has chosen it meanwhile."""
    with _given_lock:
        return _claimed(port) and is_free(port)


def is_free(port: int) -> bool:
    """Tell whether a server could listen on this loopback port now."""
    with socket.socket() as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the servers do: TIME_WAIT is no owner
        try:
            trial.bind((HOST, port))
        except OSError:
            return False
        return True


def require_free(port: int, who: str) -> None:
    """Raise a FleetboxError naming the port if something else listens there."""
    if not is_free(port):
        raise FleetboxError(
            f"{who} cannot listen on {HOST}:{port}: the port is taken by another program",
            f"see which one with: ss -ltnp 'sport = :{port}', or choose another port",
        )


def _claimed(port: int) -> bool:
    """Claim a port for the life of this process, against others of this user that choose one, too.

    A server listens seconds after its port was chosen, and one that is killed and started again leaves it for a while.
    The claim is a lock on one byte of a file: it ends with the process, however that ends, and no child inherits it.
    Where no such file can be had there is nothing to claim, and the port counts as ours.
    """
    with contextlib.suppress(OSError):
        if not _claims:
            path = Path(tempfile.gettempdir()) / f"fleetbox-ports-{os.getuid()}"
            _claims.append(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600))
        try:
            fcntl.lockf(_claims[0], fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
        except (BlockingIOError, PermissionError):  # both are said of a byte that another one holds
            return False
    return True

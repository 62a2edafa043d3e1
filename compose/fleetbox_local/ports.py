"""Chooses TCP ports for local servers."""

from __future__ import annotations

import random
import socket
import threading

from fleetbox.errors import FleetboxError

HOST = "127.0.0.1"  # nothing that `up` starts is reachable from another machine
FIRST, LAST = 20_000, 32_000  # below Linux' ephemeral range: no outgoing connection can take a port we chose
TRIES = 500

_given: set[int] = set()  # a port handed out is not listened on at once: never give it twice
_given_lock = threading.Lock()


def free_port(rng: random.Random | None = None) -> int:
    """Choose a free port on loopback, never the same one twice in this process."""
    choose = rng or random.SystemRandom()
    for _ in range(TRIES):
        port = choose.randrange(FIRST, LAST)
        with _given_lock:
            if port in _given or not is_free(port):
                continue
            _given.add(port)
            return port
    raise FleetboxError(
        f"found no free port between {FIRST} and {LAST} in {TRIES} tries", "see what listens there: ss -ltn"
    )


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

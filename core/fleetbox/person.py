"""Name the person at this machine: whoever writes an order or changes an episode."""

from __future__ import annotations

import getpass
import socket


def user_here() -> str:
    """Return the user's name; "somebody" where the system has none for it, as in a container."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "somebody"


def person_here() -> str:
    """Return who is at this machine: "ada@laptop-7"."""
    return f"{user_here()}@{socket.gethostname()}"

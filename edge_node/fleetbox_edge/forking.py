"""Let a forked child hold nothing of its parent's agent: neither the robot's duties nor its relay's connections."""

from __future__ import annotations

import os
import socket
import stat
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

from fleetbox.settings import RobotSettings

_DESCRIPTORS = Path("/proc/self/fd")


def leave_to_parent(settings: RobotSettings) -> None:
    """Let go of a robot's state and of its relay's connections; for the child, right after the fork."""
    port = urlsplit(settings.relay).port if settings.site is not None else None
    let_go(settings.state.resolve(), frozenset({port} if port else ()))


def let_go(folder: Path, ports: frozenset[int]) -> None:
    """Replace every descriptor on a file below `folder`, or on a TCP socket of these local ports, by /dev/null.

    Not closed but replaced: the child's copies of the parent's objects close the same
    numbers once more when they are collected, and must not hit a file that the child has opened meanwhile.
    """
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    try:
        for fd in _open_descriptors():
            with suppress(OSError):
                if fd != null and (_is_below(fd, folder) or _is_on(fd, ports)):
                    os.dup2(null, fd, inheritable=False)
    finally:
        os.close(null)


def _open_descriptors() -> list[int]:
    try:
        return [int(path.name) for path in _DESCRIPTORS.iterdir()]
    except OSError:  # no /proc: a child keeps what it inherited
        return []


def _is_below(fd: int, folder: Path) -> bool:
    return (_DESCRIPTORS / str(fd)).readlink().is_relative_to(folder)


def _is_on(fd: int, ports: frozenset[int]) -> bool:
    """Tell whether a descriptor is a TCP socket whose own end is one of these ports."""
    if not ports or not stat.S_ISSOCK(os.fstat(fd).st_mode):
        return False
    with socket.socket(fileno=os.dup(fd)) as copy:
        return copy.family in (socket.AF_INET, socket.AF_INET6) and copy.getsockname()[1] in ports

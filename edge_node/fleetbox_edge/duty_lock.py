"""Let one process of a robot do its duties: a lock file, free again when that process dies."""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import Callable
from pathlib import Path

TAKE_OVER_S = 1.0  # how soon another process notices that the holder has died


async def take_lock(path: Path, taken: Callable[[], None]) -> int:
    """Wait for the lock and return its descriptor; `taken` is called while another process holds it."""
    while True:
        fd = try_lock(path)
        if fd is not None:
            return fd
        taken()
        await asyncio.sleep(TAKE_OVER_S)


def lock_path(state: Path) -> Path:
    """Return the file whose lock says which process does the duties."""
    return state / "duties.lock"


def try_lock(path: Path, *, note: bool = True) -> int | None:
    """Take a lock file and note our process in it; return the descriptor, or None when another process holds it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(fd)
        return None
    if note:
        os.ftruncate(fd, 0)
        os.write(fd, str(os.getpid()).encode())
    return fd

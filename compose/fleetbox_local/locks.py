"""Lets one process at a time use a folder or do a job."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from fleetbox.errors import FleetboxError

POLL_S = 0.05


def lock_data_dir(data_dir: Path, wait_s: float) -> int:
    """Lock a server's data folder; return the descriptor that holds the lock, to be inherited by the server.

    The engine takes no lock of its own, and two servers on one folder corrupt it. The lock lives on the folder itself
    and belongs to whoever holds the descriptor: it ends exactly when the server does. `wait_s` lets a server whose
    parent was killed finish its own graceful end.
    """
    data_dir.mkdir(parents=True, exist_ok=True)
    handle = os.open(data_dir, os.O_RDONLY | os.O_DIRECTORY)
    deadline = time.monotonic() + wait_s
    while not _try(handle):
        if time.monotonic() > deadline:
            os.close(handle)
            raise FleetboxError(
                f"data folder {data_dir} is in use by another server; two servers on one folder would corrupt it",
                "stop the other one (fleetbox down --dir DIR), or choose another folder",
            )
        time.sleep(POLL_S)
    return handle


def lock_fleet_dir(directory: Path) -> int:
    """Lock a local fleet's folder for as long as the returned descriptor is open; raise FleetboxError if it runs."""
    lock_file = directory / "run" / "lock"
    lock_file.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(lock_file, os.O_RDWR | os.O_CREAT, 0o600)
    if not _try(handle):
        os.close(handle)
        raise FleetboxError(f"a fleet already runs in {directory}", f"end it first: fleetbox down --dir {directory}")
    return handle


@contextlib.contextmanager
def one_at_a_time(lock_file: Path, on_wait: Callable[[], None]) -> Iterator[None]:
    """Hold a lock file for the length of the block; call `on_wait` once if another process has it, then wait."""
    lock_file.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(lock_file, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        if not _try(handle):
            on_wait()
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _try(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True

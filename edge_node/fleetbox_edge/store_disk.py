"""Watch the disk under the robot's own store: an engine on a full disk says yes to records it does not keep."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import psutil

NEAR_FULL_BYTES = 1_000_000_000  # far more than all writers have on the way: below, every answer is checked
RESERVE_BYTES = 128_000_000  # two blocks: the engine copies one to heal, and loses one whose notes find no room
RESERVE_SHARE = 20  # of a small disk a twentieth is reserved
LOOK_AGAIN_S = 30.0  # a store may come back elsewhere; finding its folder takes about 20 ms
_HERE = frozenset({"127.0.0.1", "localhost", "::1"})


@dataclass(frozen=True, slots=True)
class Room:
    """Hold what a disk has, in bytes."""

    free: int
    total: int

    @property
    def near_full(self) -> bool:
        """Tell whether the engine's word needs a second look."""
        return self.free < NEAR_FULL_BYTES

    @property
    def reserve(self) -> int:
        """Return what the engine itself is left."""
        return min(RESERVE_BYTES, self.total // RESERVE_SHARE)

    @property
    def exhausted(self) -> bool:
        """Tell whether nothing more is to be sent there."""
        return self.free < self.reserve


class StoreDisk:
    """Tell what room is left on the disk that a store on this machine writes to.

    The folder is the one given, or that of the process which listens on the store's port, where we may look at it.
    """

    def __init__(self, url: str, folder: Path | None = None, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self._url, self._given, self._monotonic_s = url, folder, monotonic_s
        self._found: Path | None = None
        self._looked_s = float("-inf")

    def room(self) -> Room | None:
        """Return what is there, or None when it cannot be told."""
        folder = self._given or self._find()
        if folder is None:
            return None
        try:
            found = os.statvfs(folder)
        except OSError:
            self._found = None
            return None
        return Room(found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize)

    def _find(self) -> Path | None:
        now_s = self._monotonic_s()
        if self._found is None and now_s - self._looked_s >= LOOK_AGAIN_S:
            self._looked_s = now_s
            self._found = store_folder(self._url)
        return self._found


def store_folder(url: str) -> Path | None:
    """Return the data folder of the store that listens at a URL on this machine, or None where we may not look."""
    parts = urlsplit(url)
    if parts.hostname not in _HERE or parts.port is None:
        return None
    try:
        pids = {
            found.pid
            for found in psutil.net_connections("tcp")
            if found.status == psutil.CONN_LISTEN and found.pid and found.laddr and found.laddr.port == parts.port
        }
        for pid in pids:
            process = psutil.Process(pid)
            folder = Path(process.cwd(), process.environ().get("RS_DATA_PATH", "/data"))  # the engine's own default
            seen = Path(f"/proc/{pid}/root", folder.relative_to("/"))  # in a container, too
            if seen.is_dir():
                return seen
    except (psutil.Error, OSError, ValueError):
        return None
    return None

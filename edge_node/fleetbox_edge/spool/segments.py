"""One preallocated file of the spool, written through memory by the process that owns it."""

from __future__ import annotations

import mmap
import os
from collections.abc import Hashable
from pathlib import Path

from fleetbox.disk import sync_folder
from fleetbox_edge.spool.frames import MAGIC, frame
from fleetbox_edge.spool.heads import head_payload

_ZEROS = bytes(1 << 20)
_FIRST = MAGIC[0]


class Segment:
    """Append frames to a file whose blocks are reserved first.

    Copying 120 bytes into the map costs 0.2 µs, `os.write` 1.5 µs; both leave them in the page
    cache, out of reach of kill -9. The blocks are reserved with `posix_fallocate`, so that a full
    disk is an OSError here and not a SIGBUS in a control loop later. The first frame says how long the
    file is, and since which start of the machine it has been written.
    """

    __slots__ = ("_fd", "idle_since_s", "map", "offset", "open_chunks", "path", "size", "synced", "units")

    def __init__(self, path: Path, size: int) -> None:
        self.path = path
        self.size = size
        self.offset = 0
        self.synced = 0
        self.open_chunks = 0  # chunks still growing that have rows here
        self.units: set[Hashable] = set()  # closed chunks and blobs here that the store does not have yet
        self.idle_since_s: float | None = None  # monotonic; when it was first seen done
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)
        try:
            os.posix_fallocate(self._fd, 0, size)
            # 0.2 ms per MB here, without the interpreter's lock, save callers 1.1 ms per MB of page faults.
            for start in range(0, size, len(_ZEROS)):
                os.pwrite(self._fd, _ZEROS[: size - start], start)
            self.map = mmap.mmap(self._fd, size)
        except OSError:
            os.close(self._fd)
            path.unlink(missing_ok=True)
            raise
        self.append(head_payload(size))

    @property
    def closed(self) -> bool:
        """Tell whether nothing is appended any more."""
        return self.map.closed

    @property
    def idle(self) -> bool:
        """Tell whether the store has everything in here."""
        return not self.units and not self.open_chunks

    def has_room(self, size: int) -> bool:
        """Tell whether `size` more bytes fit."""
        return self.offset + size <= self.size

    def append(self, payload: bytes) -> int:
        """Copy one frame to the end and return its offset; the caller has made sure that it fits."""
        start = self.offset
        self.offset = start + self.put(start, payload)
        return start

    def put(self, start: int, payload: bytes) -> int:
        """Copy one frame to an offset, its first byte last, and return its size: a kill cannot fake a whole one."""
        framed = memoryview(frame(payload))
        self.map[start] = 0
        self.map[start + 1 : start + len(framed)] = framed[1:]
        self.map[start] = _FIRST
        return len(framed)

    def close(self) -> None:
        """Let go of the memory; the file stays. Whoever still holds this segment finds it full."""
        if not self.closed:
            self.map.close()
            self.offset = self.size

    def sync(self) -> None:
        """Wait until the disk has what was appended so far."""
        if self.synced < self.offset and self._fd >= 0:
            upto = self.offset
            os.fdatasync(self._fd)
            if not self.synced:  # a new file has to be found again as well
                sync_folder(self.path.parent)
                sync_folder(self.path.parent.parent)
            self.synced = upto

    def release(self) -> None:
        """Close the file as well."""
        self.close()
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

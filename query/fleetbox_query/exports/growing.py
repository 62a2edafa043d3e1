"""Append to one file that grows from checkpoint to checkpoint, and keep its hash as it grows."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import IO

import xxhash

from fleetbox_query.exports.syncing import READ_BYTES

SYNC_BYTES = 32_000_000  # the disk works while the rest is made; at the end little is left to wait for
_MOST_PIECES = 512  # in one call; Linux takes 1,024


class Growing:
    """Hold a file of which `size_bytes` count; what an interrupted attempt left after them is cut off."""

    def __init__(self, path: Path, size_bytes: int) -> None:
        self._digest = xxhash.xxh3_64()
        self._unsynced = 0
        self.size_bytes = size_bytes
        self._file: IO[bytes] = path.open("r+b" if size_bytes else "w+b", buffering=0)
        self._file.truncate(size_bytes)
        while data := self._file.read(READ_BYTES):
            self._digest.update(data)

    @property
    def hash(self) -> str:
        """Return the xxh3-64 of all of it."""
        return self._digest.hexdigest()

    def write(self, pieces: Sequence[bytes]) -> None:
        """Append pieces one after another."""
        for first in range(0, len(pieces), _MOST_PIECES):
            self._write(pieces[first : first + _MOST_PIECES])
        if self._unsynced >= SYNC_BYTES:
            self.sync()

    def sync(self) -> None:
        """Bring what was appended to the disk."""
        os.fsync(self._file.fileno())
        self._unsynced = 0

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _write(self, pieces: Sequence[bytes]) -> None:
        size = sum(map(len, pieces))
        whole = pieces[0] if len(pieces) == 1 else None
        done = os.writev(self._file.fileno(), pieces) if whole is None and hasattr(os, "writev") else 0
        if done < size:  # a nearly full disk takes a part; the next try says why
            left = memoryview(b"".join(pieces) if whole is None else whole)[done:]
            while left:
                left = left[self._file.write(left) :]
        for piece in pieces:
            self._digest.update(piece)
        self.size_bytes += size
        self._unsynced += size

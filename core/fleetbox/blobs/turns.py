"""Keep a removal apart from the writes of its entry, as far as they pass through this process.

The engine moves what stays in a block to the file's front, but a write that is under way goes on where it began: six
of ten records answered 200 with wrong bytes after a neighbour was removed while they were on their way (1.21.4).
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

Key = tuple[str, str]  # bucket, entry


class Turns:
    """Let any number of writes share an entry, and a removal have it alone; a removal that waits holds writes back."""

    def __init__(self) -> None:
        self._writing: Counter[Key] = Counter()
        self._alone: set[Key] = set()
        self._changed = asyncio.Event()

    def busy(self, key: Key) -> bool:
        """Tell whether a removal would have to wait."""
        return self._writing[key] > 0 or key in self._alone

    @asynccontextmanager
    async def sharing(self, keys: Iterable[Key]) -> AsyncIterator[None]:
        """Hold entries for a write."""
        held = frozenset(keys)
        while held & self._alone:
            await self._changed.wait()
        self._writing.update(held)
        try:
            yield
        finally:
            self._writing -= Counter(held)
            self._tell()

    @asynccontextmanager
    async def alone(self, key: Key) -> AsyncIterator[None]:
        """Hold one entry for a removal, once the writes to it have come to their end."""
        while key in self._alone:
            await self._changed.wait()
        self._alone.add(key)
        try:
            while self._writing[key]:
                await self._changed.wait()
            yield
        finally:
            self._alone.discard(key)
            self._tell()

    def _tell(self) -> None:
        """Wake all who wait; who comes later waits for the next change."""
        self._changed.set()
        self._changed = asyncio.Event()

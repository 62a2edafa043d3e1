"""Bound the memory that batches in flight may take together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Holding:
    """Lend bytes of a fixed budget; whoever finds it spent waits, with its bytes still at the sender."""

    def __init__(self, budget_bytes: int) -> None:
        self._budget_bytes = budget_bytes
        self._changed = asyncio.Condition()
        self.held_bytes = 0

    @asynccontextmanager
    async def of(self, size: int) -> AsyncIterator[None]:
        """Hold `size` bytes while the block runs; one batch alone may be larger than the budget."""
        async with self._changed:
            await self._changed.wait_for(lambda: self.held_bytes == 0 or self.held_bytes + size <= self._budget_bytes)
            self.held_bytes += size
        try:
            yield
        finally:
            self.held_bytes -= size
            async with self._changed:
                self._changed.notify_all()

"""Bound the memory that batches in flight may take together, and keep some of it free for what is more urgent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

MOST = 48  # batches at once; a paced destination hears of each of them at least every few seconds
HEADROOM_BATCHES = 4  # kept free for each class ranked higher
HEADROOM_BYTES = 8 * 1024 * 1024  # one whole batch of the engine for each class ranked higher


class Holding:
    """Lend bytes of a fixed budget; whoever finds it spent waits, with its bytes still at the sender."""

    def __init__(self, budget_bytes: int) -> None:
        self._budget_bytes = budget_bytes
        self._changed = asyncio.Condition()
        self._batches = 0
        self.held_bytes = 0

    @asynccontextmanager
    async def of(self, size: int, rank: int = 0) -> AsyncIterator[None]:
        """Hold `size` bytes while the block runs; one batch alone may be larger than the budget.

        `rank` is the place of its class in the order: a batch of pictures finds less room than an event.
        """
        async with self._changed:
            await self._changed.wait_for(lambda: self._fits(size, rank))
            self.held_bytes += size
            self._batches += 1
        try:
            yield
        finally:
            self.held_bytes -= size
            self._batches -= 1
            async with self._changed:
                self._changed.notify_all()

    def _fits(self, size: int, rank: int) -> bool:
        if self._batches == 0:
            return True
        room = self.held_bytes + size <= self._budget_bytes - rank * HEADROOM_BYTES
        return room and self._batches < MOST - rank * HEADROOM_BATCHES

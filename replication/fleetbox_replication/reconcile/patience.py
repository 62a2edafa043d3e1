"""Wait for what a task is just sending: a record or label on its way is not missing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace

from fleetbox_replication.reconcile.difference import Bounds
from fleetbox_replication.reconcile.listing import Ends, Listed
from fleetbox_replication.reconcile.sweeping import look_again

SETTLE_S = 15.0  # a record travels within a second, after trouble the engine tries again after ten
AGAIN_S = 1.0  # most are there at the second look
YOUNG_US = 600_000_000  # µs; an event adds labels to records of the minutes before it, what is older is not on its way


@dataclass(slots=True)
class Patience:
    """Look again at what differs and is young. Once that was in vain, something is missing: no more is waited for."""

    settle_s: float = SETTLE_S
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    now_us: Callable[[], int] = field(default=lambda: time.time_ns() // 1000)
    _spent: bool = False

    async def settled(self, ends: Ends, listed: Listed, bounds: Bounds) -> Listed:
        """Return what still differs of a listing after what was on its way has arrived. Raises Unreachable."""
        waited_s = 0.0
        while self._on_its_way(listed):
            if self._spent or waited_s >= self.settle_s:
                self._spent = True
                break
            await self.sleep(AGAIN_S)
            waited_s += AGAIN_S
            again = await look_again(ends, listed, bounds)
            listed = replace(listed, theirs=again.theirs, difference=again.difference)
        return listed

    def _on_its_way(self, listed: Listed) -> bool:
        oldest_us = self.now_us() - YOUNG_US
        return any(head.time_us >= oldest_us for head in (*listed.difference.missing, *listed.difference.stale))

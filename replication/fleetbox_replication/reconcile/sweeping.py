"""Sweep a task after a break: list both ends from its watermark on, and bring what it has forgotten.

A task forgets when the relay dies with its batch on the wire, when the ring takes a block in mid-send, and when its
store is killed before it noted a write. None of that shows in `pending` or `active`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace

from fleetbox.time import FOR_EVER_US
from fleetbox_replication.reconcile.attaching import bring_attachments
from fleetbox_replication.reconcile.copying import Copier, Mended
from fleetbox_replication.reconcile.difference import Bounds
from fleetbox_replication.reconcile.listing import (
    Ends,
    Listed,
    horizon_of,
    list_both,
    windows,
)

SETTLE_S = 3.0  # what was written a moment ago is still on its way, not forgotten


@dataclass(slots=True)
class Swept:
    """Count what a sweep of one task found: records that differ, and what was done about them."""

    forgotten: int = 0
    mended: Mended = field(default_factory=Mended)
    conflicts: int = 0

    @property
    def brought(self) -> int:
        """Count the records that are there now and were not, or not whole."""
        return self.mended.brought + self.mended.mended

    @property
    def clean(self) -> bool:
        """Tell whether nothing is left to bring."""
        return self.mended.clean


async def sweep(
    copier: Copier,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    since_us: Callable[[str], int] = lambda stream: 0,
    bounds: Bounds | None = None,
) -> Swept:
    """Compare what a task would send with what its destination holds, twice, and copy what is missing both times.

    `since_us` gives the time in µs from which a stream is listed. Raises Unreachable, AccessDenied.
    """
    ends = copier.ends
    here = await ends.source.entries(ends.spec.src_bucket)
    horizon_us = await horizon_of(ends.there, ends.spec.dst_bucket)
    bounds = Bounds(horizon_us, bounds.stones if bounds else ())
    found: list[Listed] = []
    for info in here:
        for start_us, stop_us in windows(info, since_us(info.name), FOR_EVER_US):
            listed = await list_both(ends, info.name, start_us, stop_us, bounds)
            if not listed.difference.clean:
                found.append(replace(listed, selected=(), theirs=()))  # thousands of windows may differ
    swept = Swept()
    if found:
        await sleep(SETTLE_S)
    for listed in found:
        again = await look_again(ends, listed, bounds)
        difference = again.difference
        swept.forgotten += len(difference.missing) + len(difference.wrong)
        swept.conflicts += len(difference.conflicts)
        swept.mended.add(await copier.mend(again))
    await bring_attachments(ends)
    return swept


async def look_again(ends: Ends, listed: Listed, bounds: Bounds) -> Listed:
    """List both ends once more, over what differed only."""
    differed = listed.difference.all()
    start_us, stop_us = differed[0].time_us, differed[-1].time_us + 1
    again = await list_both(ends, listed.stream, start_us, stop_us, bounds)
    before = {head.time_us for head in differed}
    return replace(again, difference=again.difference.among(before))

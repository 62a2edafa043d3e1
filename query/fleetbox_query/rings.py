"""Tell what a ring overwrote between two stretches of reading: a query only sees what goes while it runs."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from fleetbox.blobs import EntryInfo, Gap
from fleetbox.errors import NotFound
from fleetbox.naming import RING_CLASSES
from fleetbox_query.inventory import Holding
from fleetbox_query.plan import Source
from fleetbox_query.provenance import LostWhileReading
from fleetbox_query.stores import Stores

REASON = "the ring turned over before it could be read"


class Rings:
    """Remember how far back each ring reached, and name what went since.

    Streams that several places hold are left out: what goes at one is read from another.
    """

    def __init__(self, stores: Stores, sources: Sequence[Source]) -> None:
        self._stores = stores
        self._watched = [one for one in sources if len(one.holdings) == 1 and one.cls in RING_CLASSES]
        self._oldest_us = {one.holdings[0].key: one.holdings[0].entry.oldest_us for one in self._watched}

    async def check(self, at_us: int) -> list[LostWhileReading]:
        """Return the stretches at or after `at_us` that have gone since the last look."""
        buckets = {one.holdings[0].key[:2]: one.holdings[0] for one in self._watched}
        listed = await asyncio.gather(*(self._entries(holding) for holding in buckets.values()))
        now = dict(zip(buckets, listed, strict=True))
        lost = []
        for source in self._watched:
            holding = source.holdings[0]
            before_us = self._oldest_us[holding.key]
            entry = now[holding.key[:2]].get(holding.stream)
            after_us = entry.oldest_us if entry else holding.entry.latest_us + 1
            self._oldest_us[holding.key] = max(before_us, after_us)
            start, stop = max(at_us, before_us), min(after_us, holding.entry.latest_us + 1)
            if start < stop and source.overlaps(start, stop - 1):
                lost.append(LostWhileReading(holding.place.name, Gap(holding.stream, start, stop, REASON)))
        return lost

    async def _entries(self, holding: Holding) -> dict[str, EntryInfo]:
        try:
            store = await self._stores.at(holding.place)
            return {entry.name: entry for entry in await store.entries(holding.bucket) if entry.records}
        except NotFound:
            return {}

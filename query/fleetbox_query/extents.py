"""Find out from when to when a question's data really reach, without reading them."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from fleetbox.errors import NotFound
from fleetbox_query.inventory import Holding
from fleetbox_query.plan import Source, Window, merged
from fleetbox_query.reading import Prepared
from fleetbox_query.stores import Stores


async def extents(stores: Stores, prepared: Prepared) -> tuple[Window, ...]:
    """Return the windows asked for, in µs, cut to where anything of their streams is; one listing a holding."""
    found = await asyncio.gather(*(_extent(stores, source) for source in prepared.sources))
    return merged(window for part in found for window in part)


async def _extent(stores: Stores, source: Source) -> list[Window]:
    ends = await asyncio.gather(*(_end(stores, holding) for holding in source.holdings))
    first, last = min(holding.entry.oldest_us for holding in source.holdings), max(ends)
    cut = ((max(start, first), min(stop, last + 1)) for start, stop in source.windows)
    return [(start, stop) for start, stop in cut if start < stop]


async def _end(stores: Stores, holding: Holding) -> int:
    """Return the time of a holding's last row: a chunk's label tells it."""
    latest = holding.entry.latest_us
    end = latest
    store = await stores.at(holding.place)
    with suppress(NotFound):  # gone since it was listed
        async for head in store.query(
            holding.bucket, (holding.stream,), start_us=latest, stop_us=latest + 1, head=True
        ):
            text = head.labels.get("t_end", "")
            end = max(end, int(text) if text.isdecimal() else latest)
    return end

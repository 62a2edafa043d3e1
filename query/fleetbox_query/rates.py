"""Take the rates of streams from the last seconds that are held of them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import suppress

from fleetbox.errors import NotFound
from fleetbox.records import Head
from fleetbox_query.inventory import Holding, Inventory
from fleetbox_query.stores import Stores, reading_order

Key = tuple[str, str, str]  # robot, stream, class
LEAST_US = 100_000  # over less than this a rate says nothing: two files stamped 1 µs apart are no 1 MHz
RECENT_US = 20_000_000  # the rate is that of the last 20 s held: a week with pauses has no rate of its own
LISTINGS = 8  # head listings in flight


def rate_of(heads: Sequence[Head]) -> tuple[float, float] | None:
    """Return (rows or blobs per second, bytes per second) of consecutive records, or None for too few.

    The last record only closes the last interval, unless it says itself when its rows end.
    """
    if not heads:
        return None
    first, last = heads[0], heads[-1]
    end = last.labels.get("t_end", "")
    if end.isdecimal() and last.labels.get("rows", "").isdecimal():
        span_us, rows = int(end) - first.time_us, sum(int(head.labels.get("rows") or 1) for head in heads) - 1
        size = sum(head.size for head in heads)
    else:
        span_us, rows, size = last.time_us - first.time_us, len(heads) - 1, sum(head.size for head in heads[:-1])
    return (rows * 1e6 / span_us, size * 1e6 / span_us) if span_us >= LEAST_US else None


async def read_recent(stores: Stores, inventory: Inventory) -> dict[Key, list[Head]]:
    """Return the heads of each stream's last seconds, from the place that holds its newest record."""
    newest: dict[Key, Holding] = {}
    for holding in sorted(inventory.holdings, key=lambda holding: reading_order(holding.place), reverse=True):
        key = (holding.robot, holding.stream, holding.cls)
        if key not in newest or holding.entry.latest_us >= newest[key].entry.latest_us:
            newest[key] = holding
    room = asyncio.Semaphore(LISTINGS)
    recent: dict[Key, list[Head]] = {}

    async def listed(group: list[Holding]) -> None:
        async with room:
            store, ends = await stores.at(group[0].place), {one.stream: one for one in group}
            start, stop = max(0, group[0].entry.latest_us - RECENT_US), group[-1].entry.latest_us + 1
            query = store.query(group[0].bucket, tuple(ends), start_us=start, stop_us=stop, head=True)
            with suppress(NotFound):  # the bucket was removed since it was listed: no rate
                async for head in query:
                    one = ends[head.entry]
                    if one.entry.latest_us - RECENT_US <= head.time_us <= one.entry.latest_us:
                        recent.setdefault((one.robot, one.stream, one.cls), []).append(head)

    await asyncio.gather(*map(listed, _alike(newest.values())))
    return recent


def _alike(holdings: Iterable[Holding]) -> list[list[Holding]]:
    """Group holdings of one bucket that end within the time a rate is taken over: one listing serves them all."""
    groups: list[list[Holding]] = []
    for one in sorted(holdings, key=lambda one: (one.key[:2], one.entry.latest_us)):
        first = groups[-1][0] if groups else None
        if first and first.key[:2] == one.key[:2] and one.entry.latest_us - first.entry.latest_us <= RECENT_US:
            groups[-1].append(one)
        else:
            groups.append([one])
    return groups

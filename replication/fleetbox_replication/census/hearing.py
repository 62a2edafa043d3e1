"""Read what other places told of a robot, as far as their pages have come here."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from fleetbox.blobs import EntryInfo
from fleetbox.ledger import STREAM, Key, Reach, read_pages
from fleetbox_replication.census.listing import Stream
from fleetbox_replication.census.notebook import Notes
from fleetbox_replication.census.stock import Stock
from fleetbox_replication.census.telling import Recent

BACK_US = 3_600_000_000  # µs read at first: what is older than this is walked through anyway


async def hear(
    stock: Stock, infos: Iterable[EntryInfo], notes: Notes, streams: Collection[Stream], recent: Recent
) -> None:
    """Take in the pages that have come since the last time, into what is owed here.

    Behind another site comes what has `keep=1`, so only sites' pages count there; behind a robot whatever is kept.
    """

    def held(key: Key) -> int | None:
        if (key[0], key[1]) not in streams:
            return None
        told = recent.get((key[0], key[1]), key[2])
        return told.line.held.records if told is not None else 0

    for info, reach in _others(list(infos), stock.own):
        start_us = notes.read_us.get(info.name, max(0, info.latest_us - BACK_US))
        if info.latest_us < start_us:
            continue
        async for time_us, page in read_pages(stock.store, stock.bucket("meta"), (info.name,), start_us=start_us):
            notes.owing.expect(page, reach, held)
            notes.read_us[info.name] = time_us + 1


def _others(infos: list[EntryInfo], own: str) -> Iterator[tuple[EntryInfo, Reach]]:
    sites = [info for info in infos if info.name.startswith(f"{STREAM}/") and info.name != own]
    if own == STREAM:
        return  # a robot is the first to hold anything
    if sites:
        yield from ((info, "cloud") for info in sites)
    else:
        yield from ((info, "keep") for info in infos if info.name == STREAM)

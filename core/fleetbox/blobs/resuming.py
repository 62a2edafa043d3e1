"""Go on with a query after the connection, the store or the query itself died, without losing the place."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from dataclasses import replace

from fleetbox.blobs.covering import is_cover
from fleetbox.blobs.gaps import Watch
from fleetbox.blobs.reading import Query, Reader
from fleetbox.blobs.values import EntryInfo, Gap
from fleetbox.errors import NotFound, StoreRefused, Unreachable
from fleetbox.records import Head
from fleetbox.retry import READING, retrying

FRONT_US = 2_000_000  # entries this close behind the foremost share a query, which repeats at most so much of them
TURNED = 500  # the ring removed the very block that the engine was about to read
FRUITLESS = 5  # answers in a row that break off without one new record: the trouble is in the data

Listing = Callable[[str], Awaitable[list[EntryInfo]]]


def remaining(query: Query, places: Mapping[str, int], listing: Sequence[EntryInfo]) -> list[Query]:
    """Return queries for what is still missing, given the last delivered time of each entry seen so far.

    The engine's merge is not strict (an entry that is slow to begin comes late), so one time for all entries would
    skip records. Entries read to their end are left out, those far behind the front go alone, unseen ones from the
    start, the rest together.
    """
    if not places:
        return [] if query.empty else [query]
    ended = {info.name for info in listing if info.latest_us <= places.get(info.name, -1)}
    front_us = max(places.values()) - FRONT_US
    behind = [entry for entry, time_us in places.items() if time_us < front_us and entry not in ended]
    near = [entry for entry, time_us in places.items() if time_us >= front_us and entry not in ended]
    unseen = tuple(f"!{entry}" for entry in places)
    parts = [
        *(replace(query, entries=(entry,), start_us=places[entry] + 1) for entry in behind),
        replace(query, entries=query.entries + unseen),
        replace(query, entries=tuple(near), start_us=min((places[entry] for entry in near), default=0) + 1),
    ]
    return [part for part in parts if part.entries and not part.empty]


async def resumed(
    reader: Reader, listing: Listing, query: Query, on_gap: Callable[[Gap], None] | None
) -> AsyncGenerator[Head, None]:
    """Yield the records of a query, each once, in order of time within an entry and nearly so across entries.

    Raises NotFound if there is no such bucket, Unreachable if the store stays away.
    """
    watch = Watch(query) if on_gap is not None else None

    async def look() -> None:
        if watch is not None and on_gap is not None:
            for gap in watch.check(await (_listed(listing, query.bucket) if places else listing(query.bucket))):
                on_gap(gap)

    places: dict[str, int] = {}
    await look()
    parts = remaining(query, places, ())
    query_id: str | None = None
    fruitless = 0
    while parts:
        query_id = query_id or await _open(reader, parts[0], patient=bool(places) or fruitless > 0)
        try:
            items, last = await reader.fetch(parts[0], query_id)
        except (Unreachable, NotFound, StoreRefused) as error:  # the store went, or the query with it
            fruitless += 1
            if fruitless > FRUITLESS or (isinstance(error, StoreRefused) and error.status != TURNED):
                raise
            parts, query_id = remaining(query, places, await _listed(listing, query.bucket)), None
            continue
        new = [item for item in items if item.time_us > places.get(item.entry, -1)]
        if new:
            fruitless = 0
        if watch is not None:
            watch.delivered(new)
            if watch.due():
                await look()
        for item in new:
            places[item.entry] = item.time_us
            if not is_cover(item.labels):
                yield item
        if last:
            parts, query_id = parts[1:], None
    await look()


async def _open(reader: Reader, query: Query, *, patient: bool) -> str:
    """Start a query; once some of it was read, wait for a store that restarts."""
    if patient:
        async for attempt in retrying(Unreachable, patience=READING):
            with attempt:
                return await reader.open(query)
    return await reader.open(query)


async def _listed(listing: Listing, bucket: str) -> list[EntryInfo]:
    async for attempt in retrying(Unreachable, patience=READING):
        with attempt:
            return await listing(bucket)
    return await listing(bucket)

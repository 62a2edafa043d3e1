"""Read one item of every stream, and what it says of itself: by these a stream's channel is chosen."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any

from fleetbox import chunks
from fleetbox.errors import NotFound
from fleetbox.records import Record
from fleetbox_query.exports.mcap.topics import has_own_messages
from fleetbox_query.expressions import from_labels
from fleetbox_query.films import JPEG
from fleetbox_query.items import Item, Notes, items_of
from fleetbox_query.plan import FAR_US, Source
from fleetbox_query.reading import Piece, Prepared
from fleetbox_query.schemas import CHUNKED, KEY
from fleetbox_query.stores import Stores

READS = 16  # streams sampled at once; each is a record of up to 8 MB
SMALLEST_JPEG = b"\xff\xd8\xff"
_ALL = from_labels({})


@dataclass(frozen=True, slots=True)
class Sample:
    """Hold an item of a stream and the description attached to the stream."""

    item: Item
    said: dict[str, Any]


async def describe(stores: Stores, sources: Sequence[Source]) -> dict[str, dict[str, Any]]:
    """Return the description attached to each stream ("robot/stream"), {} where there is none."""
    by_bucket: dict[tuple[str, str], list[Source]] = {}
    for source in sources:
        held = source.holdings[0]
        by_bucket.setdefault((held.place.url, held.bucket), []).append(source)
    told: dict[str, dict[str, Any]] = {}
    for group in by_bucket.values():
        held = group[0].holdings[0]
        store = await stores.at(held.place)
        kept = await store.attachments_of(held.bucket, [one.holdings[0].stream for one in group])
        for source in group:
            said = dict(kept[source.holdings[0].stream].get(KEY, {}))
            if not source.film and (source.name not in told or "schema_data" in said):
                told[source.name] = said
    return told


def with_own_messages(prepared: Prepared, told: dict[str, dict[str, Any]]) -> Prepared:
    """Return the question so that streams that came in as messages are read as those messages' bytes."""
    sources = (
        replace(source, fields=(chunks.CDR,))
        if source.fields is None and has_own_messages(said := told.get(source.name, {})) and said.get("type") == CHUNKED
        else source
        for source in prepared.sources
    )
    return replace(prepared, sources=tuple(sources))


async def sample(stores: Stores, sources: Sequence[Source], told: dict[str, dict[str, Any]]) -> dict[str, Sample]:
    """Return a sample of each stream; one whose records do not open has none."""
    room = asyncio.Semaphore(READS)

    async def read(source: Source) -> Item | None:
        async with room:
            return await _first(stores, source)

    found = await asyncio.gather(*map(read, sources))
    out: dict[str, Sample] = {}
    for source, item in zip(sources, found, strict=True):
        if item is not None:
            out.setdefault(source.name, Sample(item, told.get(source.name, {})))
    return out


async def _first(stores: Stores, source: Source) -> Item | None:
    """Return an item of the first record at or after the beginning of what is wanted, else of the last one."""
    if source.film:
        return Item(source.robot, source.stream, 0, "images", {}, JPEG, data=SMALLEST_JPEG)
    held = source.holdings[0]
    store = await stores.at(held.place)
    whole = replace(source, windows=((0, FAR_US),))
    for start_us in (min(source.windows[0][0], held.entry.latest_us), held.entry.latest_us):
        try:
            async with aclosing(store.query(held.bucket, (held.stream,), start_us=start_us)) as records:
                async for record in records:
                    items = (
                        items_of(Piece(whole, record), from_labels({}), Notes()) if isinstance(record, Record) else []
                    )
                    if items:
                        return items[0]
                    break
        except NotFound:  # its ring has turned over since it was listed
            continue
    return None

"""List both ends of a hop: heads of a stream within a time range, and how far back the destination reaches."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from fleetbox.blobs import EntryInfo, Store, TaskSpec
from fleetbox.errors import NotFound
from fleetbox.labels import PIN
from fleetbox.records import Head
from fleetbox.time import FOR_EVER_US
from fleetbox_replication.census.rings import is_turning
from fleetbox_replication.filters import NO_PIN, SELECTED, SELECTED_FOR_CLOUD, condition_of
from fleetbox_replication.reconcile.difference import Bounds, Difference, compare, union

WINDOW_RECORDS = 20_000  # heads of both ends in memory at a time: 40 MB


@dataclass(frozen=True, slots=True)
class Ends:
    """Hold the open stores at both ends of a task."""

    spec: TaskSpec
    source: Store
    there: Store


@dataclass(frozen=True, slots=True)
class Listed:
    """Hold what both ends hold of one stream within [start_us, stop_us), and what differs.

    `selected` are the source's records that the task takes, `theirs` all of the destination's.
    """

    stream: str
    start_us: int
    stop_us: int
    spec: TaskSpec
    selected: tuple[Head, ...]
    theirs: tuple[Head, ...]
    difference: Difference

    def known(self) -> Sequence[Head]:
        """Return the records that stand at either end and are of those the task takes, one a time."""
        return union(self.selected, (head for head in self.theirs if _selects(self.spec, head)))


async def list_both(ends: Ends, stream: str, start_us: int, stop_us: int, bounds: Bounds) -> Listed:
    """List a stream at both ends, about 30 µs a record at each, and compare. Raises Unreachable, AccessDenied."""
    selected, there = await asyncio.gather(
        selected_heads(ends.source, ends.spec, stream, start_us, stop_us),
        heads(ends.there, ends.spec.dst_bucket, stream, start_us, stop_us),
    )
    difference = compare(selected, {head.time_us: head for head in there}, bounds)
    return Listed(stream, start_us, stop_us, ends.spec, tuple(selected), tuple(there), difference)


def windows(info: EntryInfo, start_us: int, stop_us: int) -> Iterator[tuple[int, int]]:
    """Cut what a stream holds within a range into pieces whose heads fit in memory, evenly by time."""
    first_us, end_us = max(start_us, info.oldest_us), min(stop_us, info.latest_us + 1)
    if not info.records or first_us >= end_us:
        return
    pieces = min(end_us - first_us, -(-info.records // WINDOW_RECORDS))
    step_us = -(-(end_us - first_us) // pieces)
    for at_us in range(first_us, end_us, step_us):
        yield at_us, min(end_us, at_us + step_us)


async def selected_heads(
    source: Store, spec: TaskSpec, stream: str, start_us: int = 0, stop_us: int = FOR_EVER_US
) -> list[Head]:
    """Return the source's records of a stream that the task would send."""
    chosen = (stream, *(glob for glob in spec.entries if glob.startswith("!")))
    when = condition_of(spec.when)
    return [
        head async for head in _query(source, spec.src_bucket, chosen, start_us=start_us, stop_us=stop_us, when=when)
    ]


async def heads(store: Store, bucket: str, stream: str, start_us: int = 0, stop_us: int = FOR_EVER_US) -> list[Head]:
    """Return all records of a stream; none when there is no such stream or bucket."""
    return [head async for head in _query(store, bucket, (stream,), start_us=start_us, stop_us=stop_us)]


async def horizon_of(store: Store, bucket: str) -> int:
    """Return the time in µs before which a store's own ring may have turned over; 0 while it has room."""
    entries = await entries_of(store, bucket)
    if not entries or not is_turning(await store.bucket_spec(bucket), entries):
        return 0
    return min(entry.oldest_us for entry in entries)


async def entries_of(store: Store, bucket: str) -> list[EntryInfo]:
    """Return a bucket's entries; none when there is no such bucket."""
    try:
        return await store.entries(bucket)
    except NotFound:
        return []


def _selects(spec: TaskSpec, head: Head) -> bool:
    """Tell whether a record at the destination is one that the task would have brought, by its labels."""
    wanted = condition_of(spec.when)
    if wanted == SELECTED:
        return "keep" in head.labels
    if wanted == NO_PIN:
        return PIN not in head.labels
    return wanted != SELECTED_FOR_CLOUD or head.labels.get("keep") == "1"


async def _query(store: Store, bucket: str, chosen: tuple[str, ...], **limits: object) -> AsyncIterator[Head]:
    try:
        async with aclosing(store.query(bucket, chosen, head=True, **limits)) as found:  # type: ignore[call-overload]
            async for head in found:
                yield head
    except NotFound:
        return  # nothing of that stream is there

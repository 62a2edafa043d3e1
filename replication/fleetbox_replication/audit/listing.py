"""List stores for what no page tells yet: minutes still open, and both ends of a hop where they differ."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from fleetbox.blobs import Store
from fleetbox.errors import NotFound
from fleetbox.labels import PIN
from fleetbox.ledger import MINUTE_US, Folded, Key, Line, Reach, count_of, minute_of
from fleetbox.naming import CLASSES, Class
from fleetbox.records import Head
from fleetbox.time import FOR_EVER_US
from fleetbox_replication.audit.settling import Listing
from fleetbox_replication.census.listing import Range, list_minutes, ranges
from fleetbox_replication.census.rings import is_turning
from fleetbox_replication.census.scope import is_counted

BucketOf = Callable[[Class], str]
NEAR_US = 2 * MINUTE_US  # µs; a minute is told at most so long after it began


@dataclass(frozen=True, slots=True)
class End:
    """Reach one robot's records in one open store."""

    store: Store
    bucket_of: BucketOf


async def open_lines(
    end: End, told: Mapping[Key, Folded], start_us: int, stop_us: int, now_us: int
) -> tuple[Line, ...]:
    """Return lines of the minutes within [start_us, stop_us) that no page of the place tells of yet.

    Those are the minutes after the last one told and, where a clock that ran ahead has told of times to come, those
    just now. A place that has never written a page is listed whole: about 40 µs a record. Raises Unreachable,
    AccessDenied.
    """
    newest: dict[tuple[Class, str], Folded] = {}
    for key, folded in told.items():
        known = newest.get(key[:2])
        if known is None or known.line.minute_us < key[2]:
            newest[key[:2]] = folded
    wanted = [item async for item in _untold(end, newest, minute_of(start_us), stop_us)]
    just_now = range(max(minute_of(start_us), minute_of(now_us) - NEAR_US), min(stop_us, now_us), MINUTE_US)
    ahead = [stream for stream, folded in newest.items() if folded.line.minute_us > now_us]
    for stream in ahead:
        wanted += ranges(*stream, [minute_us for minute_us in just_now if (*stream, minute_us) not in told])
    if not wanted:
        return ()
    listed = await list_minutes(end.store, end.bucket_of, wanted)
    return tuple(counted.line for counted in listed.minutes.values())


async def _untold(
    end: End, newest: Mapping[tuple[Class, str], Folded], start_us: int, stop_us: int
) -> AsyncIterator[Range]:
    for cls in CLASSES:
        try:
            entries = await end.store.entries(end.bucket_of(cls))
        except NotFound:
            continue
        for info in entries:
            if not info.records or not is_counted(cls, info.name):
                continue
            first_us = max(start_us, _after(newest.get((cls, info.name)), info.latest_us), minute_of(info.oldest_us))
            last_us = min(stop_us, minute_of(info.latest_us) + MINUTE_US)
            if first_us < last_us:
                yield Range(cls, info.name, first_us, last_us)


def _after(told: Folded | None, latest_us: int) -> int:
    """Return the first minute to list: the last one told once more if its newest record came after that."""
    if told is None:
        return 0
    line = told.line
    grown = minute_of(latest_us) == line.minute_us and latest_us > line.last_us
    return line.minute_us if grown else line.minute_us + MINUTE_US


async def list_ends(
    source: End, there: End, keys: Iterable[Key], reach: Callable[[Key], Reach | None]
) -> dict[Key, Listing]:
    """List minutes at both ends of a hop, the source first: what comes meanwhile is never taken for missing.

    Copies in the destination's `kept` count as there. Raises Unreachable, AccessDenied.
    """
    wanted = [item for (cls, stream), minutes in _by_stream(keys) for item in ranges(cls, stream, minutes)]
    rings = {cls: await _ring(source, cls) for cls in {item.cls for item in wanted}}
    listings: dict[Key, Listing] = {}
    for item in wanted:
        mine = await _heads(source, item.cls, item)
        theirs, saved = await asyncio.gather(_heads(there, item.cls, item), _heads(there, "kept", item))
        ring = rings[item.cls]
        for minute_us in range(item.start_us, item.stop_us, MINUTE_US):
            key = (item.cls, item.stream, minute_us)
            chosen = [head for head in _within(mine, minute_us) if _travels(head, reach(key))]
            found = _compared(chosen, _within([*theirs, *saved], minute_us))
            turned = ring is not None and ring.get(item.stream, FOR_EVER_US) > minute_us
            listings[key] = replace(found, turned=turned)
    return listings


def _compared(chosen: list[Head], theirs: list[Head]) -> Listing:
    held = {_identity(head): head for head in theirs}
    return Listing(count_of(held.values()), len(chosen), sum(_identity(head) not in held for head in chosen))


def _identity(head: Head) -> tuple[int, int, str | None]:
    return head.time_us, head.size, head.labels.get("xxh")


def _travels(head: Head, reach: Reach | None) -> bool:
    keep = head.labels.get("keep")
    return reach == "all" or (reach == "keep" and bool(keep)) or (reach == "cloud" and keep == "1")


async def _ring(end: End, cls: Class) -> dict[str, int] | None:
    """Return the oldest record of each entry in µs where the ring of a class is turning, else None."""
    bucket = end.bucket_of(cls)
    try:
        spec, entries = await end.store.bucket_spec(bucket), await end.store.entries(bucket)
    except NotFound:
        return None
    return {info.name: info.oldest_us for info in entries if info.records} if is_turning(spec, entries) else None


async def _heads(end: End, cls: Class, item: Range) -> list[Head]:
    """Return what a place holds; what a pin copied into `kept` is no record of that class, as in the ledger."""
    try:
        heads = end.store.query(
            end.bucket_of(cls), (item.stream,), start_us=item.start_us, stop_us=item.stop_us, head=True
        )
        return [head async for head in heads if item.cls != "kept" or PIN not in head.labels]
    except NotFound:
        return []


def _within(heads: Iterable[Head], minute_us: int) -> list[Head]:
    return [head for head in heads if minute_of(head.time_us) == minute_us]


def _by_stream(keys: Iterable[Key]) -> Iterator[tuple[tuple[Class, str], list[int]]]:
    found: dict[tuple[Class, str], list[int]] = {}
    for cls, stream, minute_us in keys:
        found.setdefault((cls, stream), []).append(minute_us)
    yield from sorted(found.items())

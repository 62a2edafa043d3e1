"""List what is wanted of a store in as few requests as there are different ranges of time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from fleetbox.blobs import Store
from fleetbox.ledger import MINUTE_US
from fleetbox.naming import CLASSES, Class
from fleetbox_replication.census.tally import Counted, Tally

NAMES_CHARS = 4_000  # of entries in one request: they stand in one header of the answer, of which clients read 8 kB

Stream = tuple[Class, str]


@dataclass(frozen=True, slots=True)
class Range:
    """Want one stream's records of [start_us, stop_us), whole minutes."""

    cls: Class
    stream: str
    start_us: int
    stop_us: int


@dataclass(frozen=True, slots=True)
class Request:
    """Ask for one range of time of several streams at once."""

    cls: Class
    streams: tuple[str, ...]
    start_us: int
    stop_us: int


@dataclass(frozen=True, slots=True)
class Listed:
    """Hold what was counted, and how many records of a stream lay after the time given for it."""

    minutes: Mapping[tuple[Class, str, int], Counted]
    ahead: Mapping[Stream, int]


def ranges(cls: Class, stream: str, minutes: Iterable[int]) -> Iterator[Range]:
    """Yield the ranges that minutes make, each as long as they follow one another."""
    start_us = stop_us = -1
    for minute_us in sorted(set(minutes)):
        if minute_us != stop_us:
            if stop_us >= 0:
                yield Range(cls, stream, start_us, stop_us)
            start_us = minute_us
        stop_us = minute_us + MINUTE_US
    if stop_us >= 0:
        yield Range(cls, stream, start_us, stop_us)


def requests(wanted: Iterable[Range]) -> list[Request]:
    """Return one request for each class and range of time, parted where the names get too long for an answer."""
    together: dict[tuple[Class, int, int], list[str]] = {}
    for item in wanted:
        together.setdefault((item.cls, item.start_us, item.stop_us), []).append(item.stream)
    return [
        Request(cls, names, start_us, stop_us)
        for (cls, start_us, stop_us), streams in sorted(together.items())
        for names in _parted(sorted(streams))
    ]


async def list_minutes(
    store: Store,
    bucket_of: Callable[[Class], str],
    wanted: Iterable[Range],
    until_us: Mapping[Stream, int] | None = None,
) -> Listed:
    """Count every wanted minute; ranges of one stream must not overlap.

    About 40 µs a record; memory for the minutes, not for the records. `until_us` gives a time per stream for `ahead`.
    Raises Unreachable, AccessDenied, and NotFound when a bucket is removed meanwhile: half a count is none.
    """
    limits: dict[Class, dict[str, int]] = {cls: {} for cls in CLASSES}
    for (cls, stream), limit_us in (until_us or {}).items():
        limits[cls][stream] = limit_us
    tallies = {cls: Tally(cls, limits[cls]) for cls in CLASSES}
    for request in requests(wanted):
        bucket, add = bucket_of(request.cls), tallies[request.cls].add
        async for head in store.query(
            bucket, request.streams, start_us=request.start_us, stop_us=request.stop_us, head=True
        ):
            add(head)
    counted = (item for tally in tallies.values() for item in tally.counted())
    ahead = {(cls, name): count for cls, tally in tallies.items() for name, count in tally.ahead.items()}
    return Listed({item.line.key: item for item in counted}, ahead)


async def next_minute(store: Store, bucket: str, streams: Iterable[str], start_us: int, stop_us: int) -> int | None:
    """Return the time in µs of the first record of any of these streams in [start_us, stop_us), or None."""
    found: list[int] = []
    for names in _parted(sorted(streams)):
        heads = store.query(bucket, names, start_us=start_us, stop_us=stop_us, when={"$limit": 1}, head=True)
        found += [head.time_us async for head in heads]
    return min(found, default=None)


def _parted(names: list[str]) -> Iterator[tuple[str, ...]]:
    part: list[str] = []
    size = 0
    for name in names:
        if part and size + len(name) + 1 > NAMES_CHARS:
            yield tuple(part)
            part, size = [], 0
        part.append(name)
        size += len(name) + 1
    if part:
        yield tuple(part)

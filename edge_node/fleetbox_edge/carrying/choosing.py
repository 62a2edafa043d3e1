"""Choose what is carried of a robot's store: `meta`, and what was selected and is not proven to be at the site."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby

from fleetbox.blobs import Store
from fleetbox.errors import NotFound
from fleetbox.ledger import Count, Key, count_of, minute_of
from fleetbox.naming import RING_CLASSES, Class
from fleetbox.records import Head, Record
from fleetbox_edge.carrying.stick import Held
from fleetbox_replication.filters import SELECTED

ORDER: tuple[Class, ...] = (
    "meta",
    "log",
    "small",
    "sensor",
    "kept",
    "media",
)  # a full stick lacks pictures first
STRETCH_BYTES = 64_000_000  # one query each: more of them would ask a store for every minute of a quiet stream

IsProven = Callable[[Key, Count], bool]


@dataclass(frozen=True, slots=True)
class Stretch:
    """Name records of one stream that are to be carried, by their times in µs."""

    cls: Class
    stream: str
    times: tuple[int, ...]
    bytes: int


@dataclass(frozen=True, slots=True)
class Wanted:
    """Hold what is to be carried, and what is not because the site holds it, in records."""

    stretches: tuple[Stretch, ...]
    proven: int = 0
    held: int = 0

    @property
    def records(self) -> int:
        """Count the records to be carried."""
        return sum(len(one.times) for one in self.stretches)

    @property
    def bytes(self) -> int:
        """Count their payloads."""
        return sum(one.bytes for one in self.stretches)


async def choose(store: Store, is_proven: IsProven, held: Held) -> Wanted:
    """List a robot's store for what a stick that holds `held` lacks. Raises Unreachable, AccessDenied."""
    stretches: list[Stretch] = []
    proven = there = 0
    for cls in ORDER:
        try:
            entries = await store.entries(cls)
        except NotFound:
            continue
        for info in entries:
            on_stick, wanted = held.get((cls, info.name), set()), list[Head]()
            async for key, heads in _minutes(store, cls, info.name):
                if cls != "meta" and is_proven(key, count_of(heads)):
                    proven += len(heads)
                    continue
                fresh = [head for head in heads if head.time_us not in on_stick]
                there += len(heads) - len(fresh)
                wanted += fresh
            stretches += _stretches(cls, info.name, wanted)
    return Wanted(tuple(stretches), proven, there)


async def records_of(store: Store, stretch: Stretch) -> AsyncIterator[Record]:
    """Yield the records of a stretch; those that the ring has taken since are missing."""
    wanted = set(stretch.times)
    start_us, stop_us = stretch.times[0], stretch.times[-1] + 1
    when = SELECTED if stretch.cls in RING_CLASSES else None
    async for record in store.query(stretch.cls, (stretch.stream,), start_us=start_us, stop_us=stop_us, when=when):
        if record.time_us in wanted:
            yield record


async def _minutes(store: Store, cls: Class, stream: str) -> AsyncIterator[tuple[Key, list[Head]]]:
    """Yield a stream's selected records minute by minute."""
    when = SELECTED if cls in RING_CLASSES else None
    heads: list[Head] = []
    async for head in store.query(cls, (stream,), start_us=0, when=when, head=True):
        if heads and minute_of(heads[-1].time_us) != minute_of(head.time_us):
            yield (cls, stream, minute_of(heads[-1].time_us)), heads
            heads = []
        heads.append(head)
    if heads:
        yield (cls, stream, minute_of(heads[-1].time_us)), heads


def _stretches(cls: Class, stream: str, heads: Iterable[Head]) -> Iterator[Stretch]:
    for _, group in groupby(_numbered(heads), key=lambda item: item[0]):
        some = [head for _, head in group]
        yield Stretch(cls, stream, tuple(head.time_us for head in some), sum(head.size for head in some))


def _numbered(heads: Iterable[Head]) -> Iterator[tuple[int, Head]]:
    """Number records by the stretch that they belong to."""
    number = size = 0
    for head in heads:
        if size and size + head.size > STRETCH_BYTES:
            number, size = number + 1, 0
        size += head.size
        yield number, head

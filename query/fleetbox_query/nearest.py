"""Find the row or blob nearest to a time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from fleetbox.errors import FleetboxError, NotFound
from fleetbox.records import Head
from fleetbox.time import iso_time, show_duration
from fleetbox_query.films import FROM
from fleetbox_query.items import Item, Notes, is_chunk, items_of
from fleetbox_query.plan import FAR_US, Run, Source
from fleetbox_query.provenance import Provenance
from fleetbox_query.reading import Piece, Prepared, Reading, narrowed
from fleetbox_query.stores import Stores

FIRST_US = 1_000_000  # look this far at first: most streams have a record every second
WIDER = 8  # then this many times further: a listing of heads costs 30 µs a record


@dataclass(frozen=True, slots=True)
class Nearest:
    """Hold the item found, how far it lies from the time asked for (negative: before it), and where it came from."""

    item: Item
    off_us: int
    place: str
    provenance: Provenance

    def __repr__(self) -> str:
        side = "before" if self.off_us < 0 else "after"
        off = f"{show_duration(abs(self.off_us))} {side} the time asked for" if self.off_us else "at that very time"
        return f"Nearest({self.item!r}, {off}, from {self.place})"


async def nearest(stores: Stores, prepared: Prepared, time_us: int) -> Nearest:
    """Return the item nearest to a time; of two equally near, the earlier one. Raises NotFound when there is none."""
    reach_us = max(FIRST_US, min((_distance_to(source, time_us) for source in prepared.sources), default=0) + 1)
    while prepared.sources:
        reading = Reading(stores, narrowed(prepared, time_us - reach_us, time_us + reach_us + 1))
        heads = await reading.heads()
        if found := await _best(stores, reading, heads, time_us):
            return found
        if reach_us > max(time_us, max(_latest(source) for source in prepared.sources) - time_us):
            break
        reach_us *= WIDER
    raise NotFound(f"nothing is recorded near {iso_time(time_us)}", "`fleetbox ls` shows from when to when there is")


async def _best(stores: Stores, reading: Reading, heads: list[tuple[Run, Head]], time_us: int) -> Nearest | None:
    """Open records from the nearest on, until none that is left could hold anything nearer.

    What does not open is passed over and named; raises FleetboxError where nothing else is there.
    """
    best: Nearest | None = None
    unreadable: list[str] = []
    for distance, run, head in sorted(_ranked(heads, time_us), key=lambda ranked: ranked[0]):
        if best is not None and distance > abs(best.off_us):
            break
        store = await stores.at(run.holding.place)
        record = await store.read(head.bucket, head.entry, head.time_us)
        notes = Notes(unreadable=unreadable)
        for item in items_of(Piece(run.source, record, run.holding.place.name), reading.prepared.expression, notes):
            off_us = item.time_us - time_us
            if best is None or _order(item, off_us) < _order(best.item, best.off_us):
                best = Nearest(item, off_us, run.holding.place.name, reading.provenance)
    if best is None and unreadable:
        raise FleetboxError(f"no record near that time opens: {unreadable[0]}", "ask for a time further away")
    return best and replace(best, provenance=replace(best.provenance, unreadable=tuple(unreadable)))


def _order(item: Item, off_us: int) -> tuple[int, int, bool]:
    """Return what decides between two items: the nearer, the earlier, and a picture before a frame of a video."""
    return abs(off_us), off_us, FROM in item.labels


def _ranked(heads: Iterable[tuple[Run, Head]], time_us: int) -> Iterable[tuple[int, Run, Head]]:
    for run, head in heads:
        last = int(head.labels.get("t_end", head.time_us)) if is_chunk(head) or run.source.film else head.time_us
        yield max(head.time_us - time_us, time_us - max(last, head.time_us), 0), run, head


def _distance_to(source: Source, time_us: int) -> int:
    """Return how far a time lies outside what a stream holds at all."""
    oldest = min(holding.entry.oldest_us for holding in source.holdings)
    return max(oldest - time_us, time_us - _latest(source) - source.schema.bound_us, 0)


def _latest(source: Source) -> int:
    return min(FAR_US, max(holding.entry.latest_us for holding in source.holdings))

"""Label one event's window in one store: find what is not selected yet, patch each record once."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from fleetbox.blobs import EntryInfo, Store
from fleetbox.chunks import BOUND_US
from fleetbox.errors import NotFound
from fleetbox.events import Event
from fleetbox.labels import Labels
from fleetbox.ledger import minute_of
from fleetbox.records import Head
from fleetbox_replication.slicing import SLICE_COST, Slice, slices
from fleetbox_replication.taking import Taking
from fleetbox_replication.taking import wants as wants

CLASS_ORDER = ("sensor", "log", "small", "media")  # small and telling first; `meta` and `kept` travel whole anyway
ON_ROBOT, AT_EDGE = "robot", "edge"  # where an event's records may stay
GONE = 404  # the ring took the record between the listing and the patch: what was left is in `oldest_us`


@dataclass(frozen=True, slots=True)
class Scope:
    """Say where a robot's records are in one store and which of them may be labelled there.

    `buckets` maps class to bucket. With `site` the store is an edge site's: it turns `keep=edge` into `keep=1`;
    without, it is the robot's own: it labels what has no `keep`. `allowed` is the policy's word on a stream, and
    `touched` is told the class, stream and a time of each minute in which labels change: what counts it looks again.
    `stays` tells whether the policy lets any stream stay at the site: without, only events may have left some there.
    """

    robot: str
    buckets: Mapping[str, str]
    site: str = ""
    allowed: Callable[[str], bool] = lambda stream: True
    touched: Callable[[str, str, int], None] = lambda cls, stream, time_us: None
    stays: bool = True


@dataclass(slots=True)
class Pass:
    """Count what one pass over a window did, per stream.

    `labelled` counts the records patched, `labelled_bytes` their bytes; `oldest_us` and `newest_us` are the times of
    the oldest and newest record that each chosen stream still held; `bound_us` is the longest chunk looked back for;
    `refused` counts the patches that the store refused, other than for records already gone; `upto_us` is where a
    pass that was to stop early did, None at the end of the window.
    """

    labelled: Counter[str] = field(default_factory=Counter)
    labelled_bytes: int = 0
    oldest_us: dict[str, int] = field(default_factory=dict)
    newest_us: dict[str, int] = field(default_factory=dict)
    bound_us: int = BOUND_US
    refused: int = 0
    upto_us: int | None = None


class ChunkBounds:
    """Remember how long the chunks of each entry may be, as its schema says; a bound may only grow."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._bound_us: dict[tuple[str, str], int] = {}

    async def longest(self, bucket: str, entries: Iterable[str]) -> int:
        """Return the longest bound of the given entries in µs, at least the default."""
        return max([BOUND_US, *[await self._one(bucket, entry) for entry in entries]])

    def forget(self) -> None:
        """Read every bound anew at the next call."""
        self._bound_us.clear()

    async def _one(self, bucket: str, entry: str) -> int:
        if (bucket, entry) not in self._bound_us:
            schema = (await self._store.attachments(bucket, entry)).get("schema", {})
            bound = schema.get("chunk_bound_us", BOUND_US)
            self._bound_us[bucket, entry] = bound if isinstance(bound, int) else BOUND_US
        return self._bound_us[bucket, entry]


async def label_window(
    store: Store,
    event: Event,
    scope: Scope,
    bounds: ChunkBounds | None = None,
    since_us: int = 0,
    most: int | None = None,
) -> Pass:
    """Label every record of the event's window that is not selected yet, each once, as far as the event takes it.

    since_us: pass over the slices that end before it. most: stop after the slice with so many records found, and say
    in `upto_us` where to go on. An event that stays on the robot labels nothing. Safe to repeat: what a pass has
    labelled, the next one does not find. Raises Unreachable, AccessDenied.
    """
    done = Pass()
    there = await _chosen(store, event, scope, bounds or ChunkBounds(store))
    for info in there.infos:
        done.oldest_us[info.name], done.newest_us[info.name] = info.oldest_us, info.latest_us
    done.bound_us = there.bound_us
    effort = 0
    for part in there.parts(event, since_us):
        if most is not None and effort >= most:
            done.upto_us = part.first_us
            break
        for bucket, names in there.names.items():
            found = await _find(store, bucket, names, event, part, unselected(scope))
            await _label(store, bucket, found, event, scope, done)
            effort += sum(map(len, found.values()))
        effort += SLICE_COST
    return done


async def count_selected(store: Store, event: Event, scope: Scope, bounds: ChunkBounds) -> dict[str, int]:
    """Count per stream the window's records that are selected: what of this event is to travel."""
    return dict((await count_some(store, event, scope, bounds)).counts)


@dataclass(frozen=True, slots=True)
class Counted:
    """Hold the selected records per stream, and where to go on, None at the end of the window."""

    counts: Counter[str]
    upto_us: int | None = None


async def count_some(
    store: Store, event: Event, scope: Scope, bounds: ChunkBounds, since_us: int = 0, most: int | None = None
) -> Counted:
    """Count the window's selected records as `count_selected` does, in steps as `label_window` does."""
    counts: Counter[str] = Counter()
    there = await _chosen(store, event, scope, bounds)
    effort = 0
    for part in there.parts(event, since_us):
        if most is not None and effort >= most:
            return Counted(counts, part.first_us)
        for bucket, names in there.names.items():
            found = await _find(store, bucket, names, event, part, {"$has": "keep"})
            counts.update({entry: len(heads) for entry, heads in found.items()})
            effort += sum(map(len, found.values()))
        effort += SLICE_COST
    return Counted(counts)


@dataclass(frozen=True, slots=True)
class _Chosen:
    """Hold what a store has of an event's streams: entries by bucket, and the longest chunk of all."""

    infos: Sequence[EntryInfo]
    names: Mapping[str, Sequence[str]]
    bound_us: int

    def parts(self, event: Event, since_us: int) -> Iterator[Slice]:
        """Return the slices that can hold anything and end after `since_us`."""
        if event.to == ON_ROBOT or not self.infos:
            return iter(())
        return slices(event, self.bound_us, max(since_us, min(info.oldest_us for info in self.infos)))


async def _chosen(store: Store, event: Event, scope: Scope, bounds: ChunkBounds) -> _Chosen:
    chosen = [item async for item in chosen_entries(store, event, scope)]
    names = {bucket: [info.name for info in infos] for bucket, infos in chosen}
    bound_us = max([BOUND_US, *[await bounds.longest(bucket, entries) for bucket, entries in names.items()]])
    return _Chosen([info for _, infos in chosen for info in infos], names, bound_us)


async def chosen_entries(store: Store, event: Event, scope: Scope) -> AsyncIterator[tuple[str, list[EntryInfo]]]:
    """Yield each bucket with those of its entries that the event takes and the policy allows."""
    held: dict[str, list[EntryInfo]] = {}
    for cls in CLASS_ORDER:
        with suppress(NotFound):  # a robot without cameras has no media bucket
            if cls in scope.buckets:
                held[scope.buckets[cls]] = await store.entries(scope.buckets[cls])
    taking = Taking.among(event, [info.name for infos in held.values() for info in infos])
    for bucket, infos in held.items():
        chosen = [info for info in infos if scope.allowed(info.name) and taking.takes(info.name)]
        if chosen:
            yield bucket, chosen


def labels_of(event: Event, scope: Scope) -> Labels:
    """Return what an event writes on the records it takes; at a site only events that go further write at all."""
    keep = "edge" if event.to == AT_EDGE and not scope.site else "1"
    return {"keep": keep, "policy": event.policy} if event.policy else {"keep": keep}


def unselected(scope: Scope) -> dict[str, Any]:
    """Return the condition on records that may still be labelled in a store."""
    if scope.site:
        return {"$has": "keep", "&keep": {"$eq": "edge"}}
    return {"$not": [{"$has": "keep"}]}


def in_window(start_us: int) -> dict[str, Any]:
    """Return the condition that a record reaches into the window: it begins there, or its last row does."""
    begins = {"$gte": [{"$timestamp": []}, start_us]}
    reaches = {"$and": [{"$has": "t_end"}, {"&t_end": {"$gte": start_us}}]}
    return {"$or": [begins, reaches]}


async def _label(
    store: Store, bucket: str, found: Mapping[str, Sequence[Head]], event: Event, scope: Scope, done: Pass
) -> None:
    if not found:
        return
    _tell(scope, bucket, found)  # before: whatever ends this process right after the patch, it is known
    times = {entry: [head.time_us for head in heads] for entry, heads in found.items()}
    report = await store.relabel(bucket, times, labels_of(event, scope))
    _tell(scope, bucket, found)  # and after: somebody may have looked in between
    refused = {(refusal.entry, refusal.time_us) for refusal in report.refused}
    for entry, heads in found.items():
        sizes = [head.size for head in heads if (entry, head.time_us) not in refused]
        done.labelled[entry] += len(sizes)
        done.labelled_bytes += sum(sizes)
    done.refused += sum(refusal.status != GONE for refusal in report.refused)


def _tell(scope: Scope, bucket: str, found: Mapping[str, Sequence[Head]]) -> None:
    cls = next(cls for cls, name in scope.buckets.items() if name == bucket)
    for stream, heads in found.items():
        for time_us in {minute_of(head.time_us): head.time_us for head in heads}.values():
            scope.touched(cls, stream, time_us)


async def _find(
    store: Store, bucket: str, entries: Sequence[str], event: Event, part: Slice, when: Mapping[str, Any]
) -> dict[str, list[Head]]:
    found: dict[str, list[Head]] = {}
    condition = {**when, **in_window(event.start_us)}
    heads: AsyncIterator[Head] = store.query(
        bucket, entries, start_us=part.first_us, stop_us=part.stop_us, when=condition, head=True
    )
    async for head in heads:
        found.setdefault(head.entry, []).append(head)
    return found

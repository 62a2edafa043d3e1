"""Label one event's window in one store: find what is not selected yet, patch each record once."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fleetbox.blobs import EntryInfo, Store
from fleetbox.chunks import BOUND_US
from fleetbox.errors import NotFound
from fleetbox.events import Event
from fleetbox.labels import Labels
from fleetbox.ledger import minute_of
from fleetbox.records import Head
from fleetbox.selectors import matches_glob

CLASS_ORDER = ("sensor", "log", "media")  # small and telling first; `meta` and `kept` travel whole anyway
GONE = 404  # the ring took the record between the listing and the patch: what was left is in `oldest_us`


@dataclass(frozen=True, slots=True)
class Scope:
    """Say where a robot's records are in one store and which of them may be labelled there.

    `buckets` maps class to bucket. With `site` the store is an edge site's: it turns `keep=edge` into `keep=1`;
    without, it is the robot's own: it labels what has no `keep`. `allowed` is the policy's word on a stream, and
    `touched` is told the class, stream and a time of each minute in which labels change: what counts it looks again.
    """

    robot: str
    buckets: Mapping[str, str]
    site: str = ""
    allowed: Callable[[str], bool] = lambda stream: True
    touched: Callable[[str, str, int], None] = lambda cls, stream, time_us: None


@dataclass(slots=True)
class Pass:
    """Count what one pass over a window did, per stream.

    `labelled` counts the records patched; `oldest_us` and `newest_us` are the times of the oldest and newest record
    that each chosen stream still held; `bound_us` is the longest chunk looked back for; `refused` counts the patches
    that the store refused, other than for records already gone.
    """

    labelled: Counter[str] = field(default_factory=Counter)
    oldest_us: dict[str, int] = field(default_factory=dict)
    newest_us: dict[str, int] = field(default_factory=dict)
    bound_us: int = BOUND_US
    refused: int = 0


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


async def label_window(store: Store, event: Event, scope: Scope, bounds: ChunkBounds | None = None) -> Pass:
    """Label every record of the event's window that is not selected yet, each once.

    Safe to repeat: what a pass has labelled, the next one does not find. Raises Unreachable, AccessDenied.
    """
    done = Pass()
    bounds = bounds or ChunkBounds(store)
    labels: Labels = {"keep": "1", "policy": event.policy} if event.policy else {"keep": "1"}
    for bucket, chosen in [item async for item in chosen_entries(store, event, scope)]:
        for info in chosen:
            done.oldest_us[info.name], done.newest_us[info.name] = info.oldest_us, info.latest_us
        names = [info.name for info in chosen]
        bound_us = await bounds.longest(bucket, names)
        done.bound_us = max(done.bound_us, bound_us)
        found = await _find(store, bucket, names, event, unselected(scope), bound_us)
        if not found:
            continue
        _tell(scope, bucket, found)  # before: whatever ends this process right after the patch, it is known
        report = await store.relabel(bucket, found, labels)
        _tell(scope, bucket, found)  # and after: somebody may have looked in between
        refused = Counter(refusal.entry for refusal in report.refused)
        done.labelled.update({entry: len(times) - refused[entry] for entry, times in found.items()})
        done.refused += sum(refusal.status != GONE for refusal in report.refused)
    return done


async def count_selected(store: Store, event: Event, scope: Scope, bounds: ChunkBounds) -> dict[str, int]:
    """Count per stream the window's records that are selected: what of this event is to travel."""
    counts: dict[str, int] = {}
    async for bucket, chosen in chosen_entries(store, event, scope):
        names = [info.name for info in chosen]
        found = await _find(store, bucket, names, event, {"$has": "keep"}, await bounds.longest(bucket, names))
        counts.update({entry: len(times) for entry, times in found.items()})
    return counts


async def chosen_entries(store: Store, event: Event, scope: Scope) -> AsyncIterator[tuple[str, list[EntryInfo]]]:
    """Yield each bucket with those of its entries that the event asks for and the policy allows."""
    for cls in CLASS_ORDER:
        if cls not in scope.buckets:
            continue
        try:
            infos = await store.entries(scope.buckets[cls])
        except NotFound:
            continue  # a robot without cameras has no media bucket
        chosen = [info for info in infos if scope.allowed(info.name) and wants(event.streams, info.name)]
        if chosen:
            yield scope.buckets[cls], chosen


def wants(globs: Sequence[str], stream: str) -> bool:
    """Tell whether any of an event's stream globs matches."""
    return any(matches_glob(glob, stream) for glob in globs)


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


def _tell(scope: Scope, bucket: str, found: Mapping[str, Sequence[int]]) -> None:
    cls = next(cls for cls, name in scope.buckets.items() if name == bucket)
    for stream, times in found.items():
        for time_us in {minute_of(time_us): time_us for time_us in times}.values():
            scope.touched(cls, stream, time_us)


async def _find(
    store: Store, bucket: str, entries: Sequence[str], event: Event, when: Mapping[str, Any], bound_us: int
) -> dict[str, list[int]]:
    first_us = max(0, event.start_us - bound_us)
    condition = {**when, **in_window(event.start_us)}
    found: dict[str, list[int]] = {}
    heads: AsyncIterator[Head] = store.query(
        bucket, entries, start_us=first_us, stop_us=event.stop_us + 1, when=condition, head=True
    )
    async for head in heads:
        found.setdefault(head.entry, []).append(head.time_us)
    return found

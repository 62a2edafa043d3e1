"""Take out of `kept` again what the guard saved there and the site is proven to hold, so that the next outage fits in.

A record goes only with its whole minute, and only if what stands in `kept` of that minute is what was proven, by its
digest: the robot's ledger may have told of fewer. Ingested recordings stay, known by their session.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import structlog

from fleetbox.blobs import EntryInfo
from fleetbox.errors import NotFound
from fleetbox.ledger import MINUTE_US, Count, count_of, minute_of
from fleetbox.records import Head
from fleetbox_edge.horizon import Ring
from fleetbox_edge.writer import Door

log = structlog.get_logger()

KEPT = "kept"
SHARE = 0.5  # of its quota may stay: people find the last outages on the robot, and the next has the other half
SAVED = frozenset({"keep", "policy", "session", "seq"})  # what the guard copies was recorded here and promoted
INGESTED = "mcap-"  # begins the sessions of ingested recordings, which an event may have promoted where they stand
MINUTES = 200  # of a stream that are looked through at a time, some ms each


@dataclass(frozen=True, slots=True)
class Calm:
    """Say how still everything must be before records go, in s, and how many go at a time."""

    every_s: float = 30.0  # between two looks: far less than `kept` takes to fill
    still_s: float = 60.0  # since its entry changed: a removal must not meet a writer, nor a task that is reading
    sure_s: float = 900.0  # since the proof: a killed site's last ten minutes are doubted, five minutes after at most
    records: int = 2_000  # each fifty make the engine copy a block: some seconds of one disk


class Proven(Protocol):
    """Name a minute of which the site is proven to hold exactly the records that `told` counts, since a time in µs."""

    @property
    def minute_us(self) -> int:
        """Return its start in µs."""

    @property
    def told(self) -> Count:
        """Return what was proven."""

    @property
    def since_us(self) -> int:
        """Return when it was proven, in µs."""


FindProven = Callable[[str, str, int, int], Sequence[Proven]]  # bucket, stream, from a time in µs on, at most so many
Touch = Callable[[str, str, int], None]  # class, stream, time in µs: the ledger shall look there again


@dataclass(frozen=True, slots=True)
class Moment:
    """Hold what a look goes by: both clocks, the rings as they are, and the streams of `kept` that still wait."""

    at_s: float
    now_us: int
    rings: Mapping[str, Ring]
    waiting: Collection[str]


@dataclass(slots=True)
class Freed:
    """Count what went: records and their bytes."""

    records: int = 0
    bytes: int = 0


@dataclass(frozen=True, slots=True)
class _Still:
    """Remember an entry as it was, what we removed put back, and since when it has been like that."""

    records: int
    latest_us: int
    since_s: float


class Release:
    """Make room in a robot's `kept`; one look at a time, from the task that also copies there."""

    def __init__(self, door: Door, find: FindProven, touch: Touch, calm: Calm) -> None:
        self._door, self._find, self._touch, self._calm = door, find, touch, calm
        self._looked_s = float("-inf")
        self._still: dict[str, _Still] = {}
        self._removed: dict[str, int] = {}
        self._passed_us: dict[str, int] = {}
        self._begun: dict[tuple[str, int], list[Head]] = {}

    def is_due(self, at_s: float) -> bool:
        """Tell whether it is time to look."""
        return at_s - self._looked_s >= self._calm.every_s

    async def make_room(self, kept: Ring, moment: Moment) -> Freed:
        """Remove what may go, the oldest first, as long as `kept` is fuller than it should be.

        Raises what a Store raises; what was begun is ended by the next look.
        """
        self._looked_s = moment.at_s
        still = self._notice(kept.entries, moment.at_s)
        freed, over_bytes = Freed(), kept.size_bytes - SHARE * kept.quota_bytes
        if not kept.quota_bytes or over_bytes <= 0:
            return freed
        ripe = self._ripe([info for info in kept.entries if info.name in still], moment)
        for at, (stream, minute) in enumerate(ripe):
            if freed.bytes >= over_bytes or freed.records >= self._calm.records:
                self._come_back(ripe[at:])
                break
            await self._release(stream, minute, freed)
        if freed.records:
            log.info("kept has room again", records=freed.records, bytes=freed.bytes)
        return freed

    def _notice(self, entries: Iterable[EntryInfo], at_s: float) -> set[str]:
        """Return the entries that nobody else has written to for long."""
        before, self._still, still = self._still, {}, set()
        for info in entries:
            records = info.records + self._removed.get(info.name, 0)
            old = before.get(info.name)
            if old is None or (old.records, old.latest_us) != (records, info.latest_us):
                old = _Still(records, info.latest_us, at_s)
            self._still[info.name] = old
            if at_s - old.since_s >= self._calm.still_s:
                still.add(info.name)
        return still

    def _ripe(self, entries: Iterable[EntryInfo], moment: Moment) -> list[tuple[str, Proven]]:
        """Return the minutes that may go, the oldest first; those looked through before come again later."""
        ripe: list[tuple[str, Proven]] = []
        for info in entries:
            if not info.records or info.name in moment.waiting:
                continue
            start_us = max(minute_of(info.oldest_us), self._passed_us.get(info.name, 0))
            found = self._find(KEPT, info.name, start_us, MINUTES)
            self._passed_us[info.name] = found[-1].minute_us + MINUTE_US if len(found) == MINUTES else 0
            ripe += [(info.name, minute) for minute in found if self._may_go(info.name, minute, moment)]
        return sorted(ripe, key=lambda item: item[1].minute_us)

    def _come_back(self, left: Iterable[tuple[str, Proven]]) -> None:
        """Go on with these next time: they are the oldest then."""
        for stream, minute in left:
            self._passed_us[stream] = min(self._passed_us[stream], minute.minute_us)

    def _may_go(self, stream: str, minute: Proven, moment: Moment) -> bool:
        """Tell whether a minute was proven long enough ago and has left the rings: nothing of it is saved again."""
        sure = moment.now_us - minute.since_us >= self._calm.sure_s * 1e6
        return sure and not any(is_in(ring, stream, minute.minute_us) for ring in moment.rings.values())

    async def _release(self, stream: str, minute: Proven, freed: Freed) -> None:
        """Remove what the guard saved of a minute, if exactly what was proven is there."""
        where = stream, minute.minute_us
        ours = self._begun.get(where)
        if ours is None:
            heads = await self._heads(stream, minute.minute_us)
            if not heads or count_of(heads) != minute.told:
                return
            ours = [head for head in heads if was_saved(head.labels)]
        if not ours:
            return
        self._begun[where] = ours
        gone = await self._door.store.delete(KEPT, stream, [head.time_us for head in ours])
        del self._begun[where]
        self._removed[stream] = self._removed.get(stream, 0) + gone
        self._touch(KEPT, stream, minute.minute_us)
        freed.records += gone
        freed.bytes += sum(head.size for head in ours)

    async def _heads(self, stream: str, minute_us: int) -> list[Head]:
        store = self._door.store
        query = store.query(KEPT, (stream,), start_us=minute_us, stop_us=minute_us + MINUTE_US, head=True)
        try:
            return [head async for head in query]
        except NotFound:
            return []


def was_saved(labels: Mapping[str, str]) -> bool:
    """Tell by its labels whether a record of `kept` is a copy of one that the agent recorded."""
    return labels.keys() >= SAVED and not labels["session"].startswith(INGESTED)


def is_in(ring: Ring, stream: str, minute_us: int) -> bool:
    """Tell whether a ring may still hold records of a stream's minute."""
    return any(
        entry.name == stream
        and entry.blocks
        and entry.oldest_us < minute_us + MINUTE_US
        and entry.latest_us >= minute_us
        for entry in ring.entries
    )

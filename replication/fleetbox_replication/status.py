"""Tell how each hop stands: what waits, how far behind it is, what the relay says about why."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp

from fleetbox.blobs import EntryInfo, Store, TaskInfo, TaskSpec
from fleetbox.errors import FleetboxError, NotFound
from fleetbox.settings import FleetSettings, Place
from fleetbox_replication.apply import connect
from fleetbox_replication.filters import condition_of, lint
from fleetbox_replication.tasks import is_ours, parse_name

LOOK_BACK_US = 600_000_000  # µs; ten minutes of a 30 fps camera are 18,000 heads: 0.4 s of the store's time
RELAY_TIMEOUT_S = 2.0  # it is on the same machine as the asker, or it is not there
NO_PROOF = "pending and active are the engine's own words: it reports 0 and true also after dropping records"


@dataclass(frozen=True, slots=True)
class Lag:
    """Say how far a destination is behind on one task's records, by asking both ends.

    `waiting` counts the selected records newer than the destination's newest of their stream; `lag_s` is the age
    of the oldest of them, `stream` where it is. None when a side could not be asked. What an event selects late
    is older than the destination's newest, and therefore not in here.
    """

    lag_s: float | None = None
    waiting: int | None = None
    stream: str | None = None


@dataclass(frozen=True, slots=True)
class HopStatus:
    """Hold one task's state as its engine tells it, beside what was measured on both ends."""

    place: str
    task: TaskInfo
    lag: Lag
    error: str | None = None

    @property
    def robot(self) -> str:
        """Return whose records the task ships."""
        return self.task.spec.dst_bucket.rpartition("--")[0]

    def row(self) -> dict[str, Any]:
        """Return the state as a row for people and JSON."""
        name = parse_name(self.task.spec.name)
        errors = {str(code): {"count": n, "message": text} for code, (n, text) in sorted(self.task.errors.items())}
        return {
            "place": self.place,
            "to": name.site if name else None,
            "robot": self.robot,
            "class": name.cls if name else None,
            "task": self.task.spec.name,
            "mode": self.task.mode,
            "lag_s": self.lag.lag_s,
            "waiting": self.lag.waiting,
            "furthest_behind": self.lag.stream,
            "pending": self.task.pending,
            "active": self.task.active,
            "errors": errors,
            "error": self.error,
        }


@dataclass(frozen=True, slots=True)
class PlaceStatus:
    """Hold the hops that leave one place, its relay's counters, and what could not be asked.

    `faults` names what drops records in silence in any task of the store, also in tasks that are not ours.
    """

    place: str
    hops: tuple[HopStatus, ...] = ()
    relay: Mapping[str, Any] | None = None
    relay_error: str | None = None
    error: FleetboxError | None = None
    faults: tuple[str, ...] = ()


async def status_of(fleet: FleetSettings, places: Iterable[Place], now_us: int) -> list[PlaceStatus]:
    """Return the state of every hop that leaves the given places; a place out of reach carries its error."""
    return list(await asyncio.gather(*(_place_status(fleet, place, now_us) for place in places)))


async def _place_status(fleet: FleetSettings, place: Place, now_us: int) -> PlaceStatus:
    relay, relay_error = await _relay_counters(place)
    try:
        async with connect(place) as source:
            tasks = await source.tasks()
            hops = await _hops(fleet, place, source, [task for task in tasks if is_ours(task.spec)], now_us)
        faults = tuple(f"task {task.spec.name}: {fault}" for task in tasks for fault in lint(task.spec.when))
        return PlaceStatus(place.name, tuple(hops), relay, relay_error, faults=faults)
    except FleetboxError as error:
        return PlaceStatus(place.name, (), relay, relay_error, error)


async def _hops(
    fleet: FleetSettings, place: Place, source: Store, tasks: list[TaskInfo], now_us: int
) -> list[HopStatus]:
    try:
        target = fleet.site_place(place.next or "")
        async with connect(target) as destination:
            lags = [await lag_of(source, destination, task.spec, now_us) for task in tasks]
        return [HopStatus(place.name, task, lag) for task, lag in zip(tasks, lags, strict=True)]
    except FleetboxError as error:
        return [HopStatus(place.name, task, Lag(), error.message) for task in tasks]


async def lag_of(source: Store, destination: Store, spec: TaskSpec, now_us: int) -> Lag:
    """Measure how far a task's destination is behind, on records of the last ten minutes of the source."""
    here = {info.name: info.latest_us for info in await _entries(source, spec.src_bucket)}
    there = {info.name: info.latest_us for info in await _entries(destination, spec.dst_bucket)}
    ahead = {name: there.get(name, -1) for name, newest_us in here.items() if newest_us > there.get(name, -1)}
    if not ahead:
        return Lag(0.0, 0)
    start_us = max(min(ahead.values()) + 1, max(here.values()) - LOOK_BACK_US, 0)
    skipped = tuple(entry for entry in spec.entries if entry.startswith("!"))
    waiting: dict[str, list[int]] = {}
    stop_us = max(here.values()) + 1  # given, because the engine refuses a start behind any entry's newest record
    async for head in source.query(
        spec.src_bucket, (*ahead, *skipped), start_us=start_us, stop_us=stop_us, when=condition_of(spec.when), head=True
    ):
        if head.time_us > ahead[head.entry]:
            waiting.setdefault(head.entry, []).append(head.time_us)
    return furthest_behind(waiting, now_us)


def furthest_behind(waiting: Mapping[str, list[int]], now_us: int) -> Lag:
    """Return the lag by the oldest of the waiting records, given per stream as times in µs."""
    if not waiting:
        return Lag(0.0, 0)
    stream = min(waiting, key=lambda name: min(waiting[name]))
    return Lag(max(0.0, (now_us - min(waiting[stream])) / 1e6), sum(map(len, waiting.values())), stream)


async def _entries(store: Store, bucket: str) -> list[EntryInfo]:
    try:
        return await store.entries(bucket)
    except NotFound:
        return []


async def _relay_counters(place: Place) -> tuple[Mapping[str, Any] | None, str | None]:
    if place.relay is None:
        return None, "no relay is named"
    try:
        timeout = aiohttp.ClientTimeout(total=RELAY_TIMEOUT_S)
        async with aiohttp.ClientSession(timeout=timeout) as http, http.get(f"{place.relay}/relay/status") as answer:
            answer.raise_for_status()
            return await answer.json(), None
    except (aiohttp.ClientError, TimeoutError) as error:
        return None, f"relay {place.relay} does not answer: {type(error).__name__}: {error}"

"""Tell how each hop stands: what waits, how far behind it is, what the relay says about why."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Coroutine, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import aiohttp

from fleetbox.blobs import EntryInfo, Store, TaskInfo, TaskSpec
from fleetbox.errors import FleetboxError, NotFound, Unreachable
from fleetbox.settings import FleetSettings, Place
from fleetbox_replication.apply import ahead_of, connect
from fleetbox_replication.filters import condition_of, lint
from fleetbox_replication.tasks import is_ours, parse_name

LOOK_BACK_US = 600_000_000  # µs; ten minutes of a 30 fps camera are 18,000 heads: 0.4 s of the store's time
LIMIT_S = 7.0  # per place, all its hops together; below the limit of `doctor`, which would drop them all
AT_ONCE = 4  # tasks measured side by side: a store with a hundred tasks is not asked for all at the same moment
RELAY_TIMEOUT_S = 2.0  # it is on the same machine as the asker, or it is not there
T = TypeVar("T")
Asking = asyncio.Task[tuple[Mapping[str, Any] | None, str | None]]
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


async def status_of(
    fleet: FleetSettings, places: Iterable[Place], now_us: int, limit_s: float | None = None
) -> list[PlaceStatus]:
    """Return the state of every hop that leaves the given places; a place out of reach carries its error.

    A store that does not answer within `limit_s` (LIMIT_S) is out of reach; a hop not measured by then says so.
    """
    most_s = LIMIT_S if limit_s is None else limit_s
    return list(await asyncio.gather(*(_place_status(fleet, place, now_us, most_s) for place in places)))


async def _place_status(fleet: FleetSettings, place: Place, now_us: int, limit_s: float) -> PlaceStatus:
    asking = asyncio.create_task(relay_counters(place))
    until = asyncio.get_running_loop().time() + limit_s
    try:
        return await _stores_status(fleet, place, asking, now_us, until)
    finally:
        asking.cancel()


async def _stores_status(fleet: FleetSettings, place: Place, asking: Asking, now_us: int, until: float) -> PlaceStatus:
    try:
        async with connect(place) as source:
            tasks = await within(until, source.tasks(), f"{place.name} ({place.url})")
            hops = await _hops(fleet, place, source, [task for task in tasks if is_ours(task.spec)], now_us, until)
        relay, relay_error = await asking
        faults = tuple(f"task {task.spec.name}: {fault}" for task in tasks for fault in lint(task.spec.when))
        return PlaceStatus(place.name, tuple(hops), relay, relay_error, faults=faults)
    except FleetboxError as error:
        relay, relay_error = await asking
        return PlaceStatus(place.name, (), relay, relay_error, error)


async def within(until: float, answer: Awaitable[T], who: str) -> T:
    """Return the answer, or raise Unreachable naming `who` once the loop's clock has reached `until`, in s."""
    try:
        async with asyncio.timeout_at(until):
            return await answer
    except TimeoutError:
        raise Unreachable(f"{who} did not answer in time", "is that store running, or does it hang?") from None


async def _hops(
    fleet: FleetSettings, place: Place, source: Store, tasks: list[TaskInfo], now_us: int, until: float
) -> list[HopStatus]:
    turns = asyncio.Semaphore(AT_ONCE)

    async def measured(task: TaskInfo, destination: Store) -> HopStatus:
        try:
            lag = await within(until, _in_turn(turns, lag_of(source, destination, task.spec, now_us)), both)
            return HopStatus(place.name, task, lag)
        except FleetboxError as error:
            return HopStatus(place.name, task, Lag(), error.message)

    try:
        target = ahead_of(fleet, place)
        both = f"{place.name} or {target.name} ({target.url})"
        async with connect(target) as destination:
            return await asyncio.gather(*(measured(task, destination) for task in tasks))
    except FleetboxError as error:
        return [HopStatus(place.name, task, Lag(), error.message) for task in tasks]


async def _in_turn(turns: asyncio.Semaphore, answer: Coroutine[Any, Any, Lag]) -> Lag:
    try:
        async with turns:
            return await answer
    finally:
        answer.close()  # its turn may never have come


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


async def relay_counters(place: Place) -> tuple[Mapping[str, Any] | None, str | None]:
    """Return what a place's relay says of itself, or why it cannot be asked."""
    if place.relay is None:
        return None, "no relay is named"
    try:
        timeout = aiohttp.ClientTimeout(total=RELAY_TIMEOUT_S)
        async with aiohttp.ClientSession(timeout=timeout) as http, http.get(f"{place.relay}/relay/status") as answer:
            answer.raise_for_status()
            return await answer.json(), None
    except (aiohttp.ClientError, TimeoutError) as error:
        return None, f"relay {place.relay} does not answer: {type(error).__name__}: {error}"

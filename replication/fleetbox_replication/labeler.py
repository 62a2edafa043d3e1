"""Label the windows of a store's open events: the one serial labeler that a store may have."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

import structlog

from fleetbox.blobs import Store
from fleetbox.chunks import BOUND_US
from fleetbox.errors import AccessDenied, FleetboxError, NotFound, StoreRefused, Unreachable
from fleetbox.events import Event, write_event
from fleetbox_replication.event_watch import EventWatch
from fleetbox_replication.slicing import SLICE_US
from fleetbox_replication.taking import Taking
from fleetbox_replication.window import (
    AT_EDGE,
    ON_ROBOT,
    ChunkBounds,
    Pass,
    Scope,
    count_selected,
    count_some,
    label_window,
)

log = structlog.get_logger()

MARGIN_US = 1_000_000  # µs; an agent's batch leaves within 0.2 s, a busy store takes it within the rest
LATE_US = 7 * 86_400_000_000  # µs; a site waits this long for a robot that lost its link right after the moment
BEHIND_US = 60_000_000  # µs; a robot whose programs log so long after their rows' time is waited for twice as long
LATE_SHARE = 10  # a straggler is looked for after a tenth of the time it is already late
LOOKS_PER_S = 25  # a site with fifty robots asks for each every 2 s: 25 small GETs are 2 % of a core
MIN_WAIT_S = 0.2
RECENT_US = 60_000_000  # µs; a pass over a long window looks so far back, and for all of it at the first and the last
STEP_RECORDS = 5_000  # labelled in a second; then other events have their turn
COUNT_RECORDS = 30_000  # counted in a second
MAX_WAIT_S = 5.0  # a store that is away is asked again this often at the latest


@dataclass(frozen=True, slots=True)
class Pace:
    """Say how often a labeler looks; seconds."""

    look_s: float = 0.2  # one small GET; with notify() the mark is seen at once anyway
    pass_s: float = 0.5  # while the window's end is still being recorded
    calm_s: float = 600.0  # at most, once the window is past and only stragglers can come
    find_s: float = 10.0  # how often a site looks for new robots, and bounds are read anew
    chores_s: float = 5.0  # what else labels may wait so long; an event never waits for a chore that is not begun


@dataclass(frozen=True, slots=True)
class Duty:
    """Say which store's events are to be labelled, and what to ask before a window is closed.

    `scopes` lists the robots in the store (one in a robot's own); `backlog` tells the oldest time in µs that
    the agent has not written yet, or None. A site has no agent: it waits until all that the robot counted is there.
    `chores` are done between passes, one after the other, a few seconds apart: whatever else patches labels in this
    store belongs there, in steps of a second at most. `spent` is told the bytes that events have just selected.
    `linger_s` is how long after it was seen an event stays open at least: another process of the robot may bring what
    circles in its memory only when it has heard of the event as well.
    """

    scopes: Callable[[], Awaitable[list[Scope]]]
    site: str = ""
    policy: Callable[[], str] = lambda: ""
    backlog: Callable[[], int | None] = lambda: None
    now_us: Callable[[], int] = field(default=lambda: time.time_ns() // 1000)
    chores: Sequence[Callable[[], Awaitable[object]]] = ()
    spent: Callable[[int], None] = lambda size_bytes: None
    linger_s: Callable[[], float] = lambda: 0.0


@dataclass(slots=True)
class _Open:
    event: Event
    scope: Scope
    since_s: float = field(default_factory=time.monotonic)
    due_s: float = 0.0
    bound_us: int = BOUND_US
    behind_us: int = 0  # how late its trigger's row was logged: the rows of the window's end will be, too, or more
    newest_us: dict[str, int] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    expected: dict[str, int] | None = None
    since_us: int = 0  # from where on the next pass looks
    resume_us: int = 0  # where a pass that takes several steps goes on
    last: bool = False  # whether it is the last one, after which the selected are counted
    counted_us: int | None = None
    counted: Counter[str] = field(default_factory=Counter)

    def arrived(self) -> bool:
        """Tell whether a site has all that the robot counted, or each stream has passed the window anyway.

        The engine sends the records of an entry in order, so what has passed the window brings nothing more into it.
        """
        return self.expected is not None and all(
            self.counts.get(stream, 0) >= count or self.newest_us.get(stream, 0) > self.event.stop_us
            for stream, count in self.expected.items()
        )


class Labeler:
    """Watch `meta` for open events, label their windows, write the closing revision.

    It keeps nothing that a restart would need: open events are found again in the store.
    """

    def __init__(self, store: Store, duty: Duty, pace: Pace | None = None) -> None:
        self._store, self._duty, self._pace = store, duty, pace or Pace()
        self._bounds = ChunkBounds(store)
        self._wake = asyncio.Event()
        self._open: dict[tuple[str, str], _Open] = {}
        self._watched: dict[str, EventWatch] = {}
        self._scopes: list[Scope] = []
        self._staying: dict[str, list[Event]] = {}  # by robot, at a site: the events that let records stay here
        self._found_s = self._looked_s = self._chores_s = float("-inf")
        self._said: dict[int, str] = {}

    @property
    def open_events(self) -> list[Event]:
        """Return the events whose windows are still being labelled."""
        return [work.event for work in self._open.values()]

    def notify(self) -> None:
        """Look at once: an event was just written. Call it from the loop that runs the labeler."""
        self._wake.set()

    async def run(self) -> None:
        """Label until cancelled; a store that is away is waited for. Raises AccessDenied."""
        wait_s = MIN_WAIT_S
        while True:
            try:
                await self.step()
                await self._sleep(self._look_s())
                wait_s = MIN_WAIT_S
            except (Unreachable, StoreRefused, NotFound) as error:
                log.warning("labeler waits for its store", store=self._store.name, why=str(error), wait_s=wait_s)
                await asyncio.sleep(wait_s)
                wait_s = min(MAX_WAIT_S, wait_s * 2)

    async def step(self) -> None:
        """Look for new events once and make every pass that is due."""
        if time.monotonic() - self._found_s >= self._pace.find_s:
            self._scopes = await self._duty.scopes()
            self._bounds.forget()
            self._found_s = time.monotonic()
        if self._wake.is_set() or time.monotonic() - self._looked_s >= self._look_s():
            self._wake.clear()
            self._looked_s = time.monotonic()
            for scope in self._scopes:
                await self._look(scope)
        for key, work in sorted(self._open.items(), key=lambda item: item[1].event.time_us):
            settled = self._settled(work)
            if (settled or time.monotonic() >= work.due_s) and await self._work(work, settled):
                del self._open[key]
        await self._do_chores()

    async def _do_chores(self) -> None:
        """Do the chores that are due; one that fails is said once per reason, and stops nobody's labelling."""
        if not self._duty.chores or time.monotonic() - self._chores_s < self._pace.chores_s:
            return
        for number, chore in enumerate(self._duty.chores):
            try:
                await chore()
                self._said.pop(number, None)
            except AccessDenied:
                raise
            except FleetboxError as error:
                if self._said.get(number) != str(error):
                    log.warning("a labeler's chore waits", store=self._store.name, why=str(error))
                self._said[number] = str(error)
        self._chores_s = time.monotonic()

    def _look_s(self) -> float:
        return max(self._pace.look_s, len(self._scopes) / LOOKS_PER_S)

    async def _sleep(self, wait_s: float) -> None:
        due_s = min((work.due_s for work in self._open.values()), default=float("inf")) - time.monotonic()
        with suppress(TimeoutError):
            async with asyncio.timeout(max(0.01, min(wait_s, due_s))):  # wait_for may swallow a cancellation
                await self._wake.wait()

    async def _look(self, scope: Scope) -> None:
        """Take up events of one robot that this store's labeler has not closed."""
        meta = self._watched.setdefault(scope.robot, EventWatch(self._store, scope.buckets["meta"], scope.site))
        news = await meta.news()
        if scope.site:
            news = self._for_site(scope.robot, news)
        for event in news:
            fresh = replace(event, policy=event.policy or self._duty.policy(), labelled={}, oldest_us={})
            work = self._open.setdefault((scope.robot, event.id), _Open(fresh, scope, behind_us=self._behind_us(event)))
            if event.state == "labelled":  # only a site sees this: the robot has closed its own books
                allowed = self._scope_of(work).allowed
                work.expected = {stream: n for stream, n in event.labelled.items() if allowed(stream)}

    def _for_site(self, robot: str, news: list[Event]) -> list[Event]:
        """Return the events that take records further; remember those that let some stay."""
        oldest_us = self._duty.now_us() - LATE_US
        recent = [event for event in news if event.stop_us >= oldest_us]
        staying = {event.id: event for event in [*self._staying.get(robot, ()), *recent] if event.to == AT_EDGE}
        self._staying[robot] = [event for event in staying.values() if event.stop_us >= oldest_us]
        return [event for event in recent if event.to not in (AT_EDGE, ON_ROBOT)]

    def _scope_of(self, work: _Open) -> Scope:
        """Return what an event may label: at a site also what another event left there within its window."""
        scope, event = work.scope, work.event
        if not scope.site:
            return scope
        left = [
            Taking.among(one, ()) for one in self._staying.get(scope.robot, ())
            if one.start_us <= event.stop_us and one.stop_us >= event.start_us
        ]  # fmt: skip
        if not left:
            return scope
        return replace(scope, stays=True, allowed=lambda s: scope.allowed(s) or any(one.takes(s) for one in left))

    async def _work(self, work: _Open, settled: bool) -> bool:
        """Make one pass, the last one if settled; return whether the event is closed."""
        event, scope = work.event, self._scope_of(work)
        if not scope.stays:  # nothing of it is here that would need a second label
            work.due_s = time.monotonic() + self._pace.calm_s
            return work.expected is not None or settled
        if work.counted_us is not None:
            return await self._close(work)
        if settled and not work.last:
            work.last, work.resume_us, work.since_us = True, 0, 0
        began_us, since_us = self._duty.now_us(), max(work.since_us, work.resume_us)
        done = await label_window(self._store, event, scope, self._bounds, since_us, STEP_RECORDS)
        if done.labelled_bytes:
            self._duty.spent(done.labelled_bytes)
        work.newest_us = done.newest_us
        work.bound_us = done.bound_us
        work.event = replace(event, oldest_us={**done.oldest_us, **event.oldest_us})  # as the first pass found it
        work.resume_us = done.upto_us or 0
        if done.upto_us is not None:  # the rest of a long window: other events go first
            work.due_s = time.monotonic()
            return False
        if scope.site:
            work.counts = await count_selected(self._store, event, scope, self._bounds)
        if event.stop_us - event.start_us > SLICE_US:
            work.since_us = self._recent_us(began_us, done)
        if work.last and not done.refused:
            return await self._close(work)
        work.last = False
        work.due_s = time.monotonic() + self._wait_s(work, done)
        return False

    def _recent_us(self, began_us: int, done: Pass) -> int:
        """Return from where on the next pass over a long window finds what can have come since this one began."""
        unsent_us = self._duty.backlog()
        return max(0, min(began_us, began_us if unsent_us is None else unsent_us) - done.bound_us - RECENT_US)

    def _behind_us(self, event: Event) -> int:
        """Return how long after its moment a trigger's event is first seen: as late as its robot logs."""
        return min(max(0, self._duty.now_us() - event.time_us), BEHIND_US) if event.trigger else 0

    def _settled(self, work: _Open) -> bool:
        """Tell whether nothing more can come into the window; asked before a pass, so that it can be the last."""
        stop_us, now_us = work.event.stop_us, self._duty.now_us()
        if now_us <= stop_us + work.bound_us + MARGIN_US:
            return False
        if work.scope.site:
            return work.arrived() or now_us > stop_us + LATE_US
        if now_us <= stop_us + work.bound_us + MARGIN_US + 2 * work.behind_us:
            return False
        if time.monotonic() - work.since_s < self._duty.linger_s():
            return False
        unsent_us = self._duty.backlog()
        return unsent_us is None or unsent_us > stop_us

    def _wait_s(self, work: _Open, done: Pass) -> float:
        """Wait a little while records are coming, and longer the longer they have not come."""
        now_us = self._duty.now_us()
        late_us, early_us = now_us - work.event.stop_us - work.bound_us, work.event.start_us - now_us
        if early_us > 0:  # the clock was set back since the mark: nothing can come for as long
            return min(max(self._pace.pass_s, early_us / 1e6), self._pace.calm_s)
        if done.labelled or late_us < 0:
            return self._pace.pass_s
        return min(max(self._pace.pass_s, late_us / LATE_SHARE / 1e6), self._pace.calm_s)

    async def _close(self, work: _Open) -> bool:
        """Count what is selected, in steps, and write the closing revision; return whether it is written."""
        since_us = work.counted_us or 0
        some = await count_some(self._store, work.event, self._scope_of(work), self._bounds, since_us, COUNT_RECORDS)
        counted = work.counted + some.counts
        if some.upto_us is not None:
            work.counted, work.counted_us, work.due_s = counted, some.upto_us, time.monotonic()
            return False
        by = work.scope.site or work.event.by
        closing = replace(work.event, state="labelled", labelled=dict(counted), by=by)
        await write_event(self._store, work.scope.buckets["meta"], closing, self._duty.now_us(), work.scope.site)
        return True

"""The reconciler: at the source of a hop, it follows what both ends tell and brings what a task has not brought."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import structlog

from fleetbox.blobs import Store
from fleetbox.errors import AccessDenied, FleetboxError, Unreachable
from fleetbox.ledger import Page, Standing, write_page
from fleetbox.naming import Class, site_bucket, split_bucket
from fleetbox_replication.reconcile.bookkeeping import Bookkeeper
from fleetbox_replication.reconcile.hop import Hop, hop_of
from fleetbox_replication.reconcile.means import Means, Options, Passage, Route
from fleetbox_replication.reconcile.minute import PROVEN, Minute
from fleetbox_replication.reconcile.rereading import Suspects
from fleetbox_replication.reconcile.sampling import sample
from fleetbox_replication.reconcile.standings import is_refusal, waiting
from fleetbox_replication.reconcile.state import State
from fleetbox_replication.reconcile.tending import Tender
from fleetbox_replication.reconcile.timetable import Timetable
from fleetbox_replication.restarts import Restarts
from fleetbox_replication.wire import Part

log = structlog.get_logger()

UNSURE_US = 600_000_000  # µs; the engine writes to its disk within a second, and we notice a restart later than that
ROBOTS_AT_ONCE = 4  # tended side by side: a site with two hundred must not ask for all in the same moment
HOPS_PER_S = 50  # whose pages are asked for at the source: a site with two hundred robots asks for each every 20 s


class Reconciler:
    """Close the books of every hop from one place to one site, and bring what their tasks have forgotten.

    `source` gives the open store, `there` makes a new one of the destination. The relay tells of cuts, is told what
    was brought, and hands its proofs to `vouched`. Its state is a cache: lost, it is built again from the pages.
    """

    def __init__(
        self,
        source: Callable[[], Store],
        there: Callable[[], Store],
        relay: Passage,
        route: Route,
        options: Options | None = None,
    ) -> None:
        self._means = Means(source, there, relay, route, options or Options(), State(route.file))
        self._times = Timetable(self._means.options.monotonic_s)
        self._books = Bookkeeper(self._means)
        self._suspects = Suspects(self._means.options.monotonic_s, self._means.options.rhythm.watch_s)
        self._tender = Tender(self._means, self._times, self._suspects)
        self._hops: dict[tuple[str, str], Hop] = {}
        self._paused: set[str] = set()
        self._restarts_here, self._restarts_there = (Restarts(self._means.options.monotonic_s) for _ in range(2))
        self._cuts: int | None = None
        self._alarmed = False
        self._trouble: FleetboxError | None = None  # why the destination cannot be asked in this step
        self._samples = 0
        self._turns = asyncio.Semaphore(ROBOTS_AT_ONCE)

    # -- what others ask ------------------------------------------------------------------------------------------

    def vouched(self, bucket: str, entry: str, parts: Sequence[Part]) -> None:
        """Take up the relay's proof that records are stored at the destination; bucket and entry are those there."""
        self._means.proofs.add(bucket, entry, parts, self._means.options.monotonic_s())
        self._suspects.note(bucket, entry, parts)

    def alarm(self) -> None:
        """Look again soon, as after a break: tasks were made anew, and what came meanwhile none of them has noted."""
        self._alarmed = True

    def is_proven(self, bucket: str, stream: str, minute_us: int) -> bool:
        """Tell whether the destination holds all that was told of a stream's minute; bucket is that of either end.

        False when nothing was told of it yet. What was selected since the last telling is not covered.
        """
        split = self._split(bucket)
        known = self._means.state.minute(split[0], (split[1], stream, minute_us)) if split else None
        return known is not None and known.state == PROVEN

    def proven(self, bucket: str, stream: str, start_us: int, count: int) -> list[Minute]:
        """Return the first proven minutes of a stream from a time in µs on, in order; bucket is that of either end.

        Their `told` counts exactly the records that the destination holds, `since_us` is when that was proven.
        """
        split = self._split(bucket)
        return self._means.state.proven(*split, stream, start_us, count) if split else []

    def unproven(self) -> Iterator[Minute]:
        """Yield the open minutes, the oldest first."""
        yield from self._means.state.open()

    def missing(self) -> Counter[str]:
        """Return per robot how many records the destination is not known to hold."""
        found: Counter[str] = Counter()
        for minute in self._means.state.open():
            found[minute.robot] += max(0, minute.told.records - (minute.there.records if minute.there else 0))
        return found

    def brought(self) -> Counter[str]:
        """Return per robot how many records were brought that their tasks had not, since the start."""
        return self._means.brought.copy()

    def report(self) -> dict[str, Any]:
        """Return what is open and what was done, as plain values."""
        waiting = self._means.state.open()
        oldest_us = waiting[0].minute_us if waiting else None
        return {"open": len(waiting), "oldest_open_us": oldest_us, "hops": len(self._hops), **self._means.counts}

    def _split(self, bucket: str) -> tuple[str, Class] | None:
        return split_bucket(bucket if "--" in bucket else site_bucket(self._means.route.place, bucket))

    # -- work -----------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Reconcile until cancelled; stores that are away are waited for.

        Raises AccessDenied when the source turns its own place away: another token needs the source opened anew.
        """
        try:
            while True:
                await self._attempt("the source", self.step, raises=(AccessDenied,))
                await self._means.options.sleep(self._means.options.rhythm.look_s)
        finally:
            await self.close()

    async def close(self) -> None:
        """Let go of the destination and of the state."""
        await self._means.let_go()
        self._means.state.close()

    async def step(self) -> None:
        """Look once, and do what is due. Raises FleetboxError when the source itself cannot be asked."""
        await self._look(self._means.source())
        robots: dict[str, list[Hop]] = defaultdict(list)
        for hop in self._hops.values():
            robots[hop.robot].append(hop)
        await self._attempt("the destination", self._look_there)
        await asyncio.gather(*(self._serve(hops) for hops in robots.values()))
        if self._trouble is None and self._times.is_due("sample", "", self._means.options.rhythm.sample_s):
            self._times.done("sample")
            self._samples += 1
            payload = self._samples % self._means.options.rhythm.payloads == 0
            await self._attempt("samples", lambda: sample(self._means, self._hops, 1, payload=payload))
        self._means.state.forget()
        if isinstance(self._trouble, AccessDenied):
            await self._means.let_go()  # the token may have been replaced

    async def _look(self, source: Store) -> None:
        broke = await self._something_broke(source)
        if broke or self._times.is_due("hops", "", self._means.options.rhythm.hops_s):
            tasks = await source.tasks()
            self._paused = {task.spec.name for task in tasks if task.mode != "enabled"}
            found = [hop_of(task.spec, self._means.route.place) for task in tasks]
            self._hops = {(hop.robot, hop.cls): hop for hop in found if hop and hop.site == self._means.route.site}
            self._times.done("hops")
        if broke:
            self._suspects.alarm()
        for hop in self._hops.values() if broke else ():
            self._tender.alarm(hop)

    async def _something_broke(self, source: Store) -> bool:
        """Tell whether a cut or a restart may have made tasks forget; the first look always does."""
        first = not self._restarts_here.looked
        restarted = await self._restarts_here.look(source) or first
        before, self._cuts = self._cuts, self._means.relay.cuts
        alarmed, self._alarmed = self._alarmed, False
        return restarted or alarmed or before != self._cuts

    async def _look_there(self) -> None:
        """Take back what was proven lately when the destination was started anew: killed, it may have lost it."""
        after_trouble = self._trouble is not None
        self._trouble = None
        if not after_trouble and not self._times.is_due("start", "", self._means.options.rhythm.start_s):
            return
        restarted = await self._restarts_there.look(self._means.there)
        self._times.done("start")
        if not restarted:
            return
        self._means.proofs.forget()
        self._suspects.alarm()
        for hop in self._hops.values():
            self._times.hasten("whole", hop.spec.name)  # started on an empty disk, nothing old is left either
        now_us = self._means.options.now_us()
        with self._means.state.change():
            doubted = self._means.state.doubt_since(now_us - UNSURE_US, now_us)
        log.info("the destination was started anew: looking again at what was proven lately", minutes=doubted)

    async def _serve(self, hops: list[Hop]) -> None:
        """Do what is due for one robot; once the destination has not answered, nobody asks it again in this step."""
        news: list[Minute] = []
        async with self._turns:
            await self._attempt("pages", lambda: self._follow(hops))
            for hop in hops:
                if self._trouble is None and hop.spec.name not in self._paused:
                    await self._attempt(hop.spec.name, lambda hop=hop: self._tend(hop, news))  # type: ignore[misc]
            await self._attempt("standings", lambda: self._publish(hops, news))

    async def _follow(self, hops: list[Hop]) -> None:
        robot, rhythm = hops[0].robot, self._means.options.rhythm
        if self._times.is_due("own", robot, len(self._hops) / HOPS_PER_S):
            await self._books.read_own(hops)
            self._times.done("own", robot)
        self._books.take_proofs(hops)
        every_s = rhythm.waiting_far_s if any(map(self._tender.waits, hops)) else rhythm.far_s
        if self._trouble is None and self._times.is_due("far", robot, every_s):
            await self._books.read_far(hops)
            self._times.done("far", robot)

    async def _tend(self, hop: Hop, news: list[Minute]) -> None:
        news += await self._tender.tend(hop)

    async def _publish(self, hops: list[Hop], found: list[Minute]) -> None:
        """Write what became of minutes as a page of this place's own ledger, then note that it was told."""
        hop, state = hops[0], self._means.state
        unsaid = [replace(minute, standing=Standing(hop.site, *minute.key)) for minute in state.unsaid(hop.robot)]
        waiting = self._waiting(hops) if self._trouble is not None else []
        news = {minute.key: minute for minute in (*unsaid, *waiting, *found)}
        if not news:
            return
        standings = tuple(minute.standing for minute in news.values() if minute.standing is not None)
        place = hop.robot if hop.from_robot else hop.place
        page = Page(place, hop.robot, self._means.options.now_us(), standings=standings)
        await write_page(self._means.source(), hop.own_meta, page)
        with state.change():
            for minute in news.values():
                state.put(minute)

    def _waiting(self, hops: list[Hop]) -> Iterator[Minute]:
        """Yield what waits while the destination cannot be asked, and has not been told of."""
        now_us, rhythm = self._means.options.now_us(), self._means.options.rhythm
        for hop in hops:
            status = self._means.refusing(hop.spec.dst_bucket)
            patience_s = rhythm.grace_s if is_refusal(status) else rhythm.waiting_s
            for minute in self._means.state.open(hop.robot, hop.cls):
                if (now_us - minute.since_us) / 1e6 > patience_s:
                    vouched, _ = self._means.proofs.count((hop.spec.dst_bucket, minute.stream, minute.minute_us))
                    standing = waiting(minute, hop.site, vouched.records, status)
                    if standing != minute.standing:
                        yield replace(minute, standing=standing)

    async def _attempt(
        self, what: str, work: Callable[[], Awaitable[object]], raises: tuple[type[FleetboxError], ...] = ()
    ) -> None:
        """Do one piece of work; what it raises is said and holds up nothing else, but for what the caller takes."""
        try:
            await work()
        except raises:
            raise
        except FleetboxError as error:
            log.debug("reconciler waits", what=what, why=error.message)
            if isinstance(error, Unreachable | AccessDenied):
                self._trouble = error
        except Exception:
            log.exception("the reconciler stumbled", what=what)

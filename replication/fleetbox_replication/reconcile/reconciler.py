"""The reconciler: at the source of a hop, it follows what both ends tell and brings what a task has not brought."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import structlog

from fleetbox.blobs import Store
from fleetbox.errors import AccessDenied, FleetboxError, Unreachable
from fleetbox.ledger import MINUTE_US, Page, Standing, write_page
from fleetbox_replication.reconcile import books
from fleetbox_replication.reconcile.checking import Checker
from fleetbox_replication.reconcile.difference import Bounds
from fleetbox_replication.reconcile.following import Follower, ReadAgain
from fleetbox_replication.reconcile.hop import Hop, hop_of, is_ledger
from fleetbox_replication.reconcile.listing import Ends, entries_of, horizon_of
from fleetbox_replication.reconcile.means import Means, Options, Passage, Route
from fleetbox_replication.reconcile.paging import compare_pages
from fleetbox_replication.reconcile.posting import post
from fleetbox_replication.reconcile.sampling import sample
from fleetbox_replication.reconcile.standings import is_clear
from fleetbox_replication.reconcile.state import PROVEN, Minute, State
from fleetbox_replication.reconcile.sweeping import sweep
from fleetbox_replication.wire import Part

log = structlog.get_logger()

UPTIME_STEP_S = 2.0  # the store tells its uptime in whole seconds
ROBOTS_AT_ONCE = 4  # looked at side by side: a site with two hundred must not ask for all in the same moment
HOPS_PER_S = 50  # whose pages are asked for at the source: a site with two hundred robots asks for each every 20 s
CLOCK_US = 600_000_000  # µs; a clock that ran ahead told minutes that are still to come: list ten minutes at least


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
        self._checker = Checker(self._means)
        self._hops: dict[tuple[str, str], Hop] = {}
        self._sweep_due: set[str] = set()
        self._seen: tuple[int, float] | None = None  # cuts, and when the store started
        self._followers: dict[tuple[str, str], Follower] = {}
        self._done_s: dict[tuple[str, str], float] = {}
        self._missing_there: set[str] = set()
        self._paused: set[str] = set()
        self._trouble: FleetboxError | None = None  # why the destination cannot be asked in this step
        self._samples = 0
        self._turns = asyncio.Semaphore(ROBOTS_AT_ONCE)

    # -- what others ask ------------------------------------------------------------------------------------------

    def vouched(self, bucket: str, entry: str, parts: Sequence[Part]) -> None:
        """Take up the relay's proof that records are stored at the destination; bucket and entry are those there."""
        self._means.proofs.add(bucket, entry, parts, self._means.options.monotonic_s())

    def is_proven(self, bucket: str, stream: str, minute_us: int) -> bool:
        """Tell whether the destination holds all that was told of a stream's minute; bucket is that of either end.

        False when nothing was told of it yet. What was selected since the last telling is not covered.
        """
        robot, _, cls = bucket.rpartition("--")
        known = self._means.state.minute(robot or self._means.route.place, (cls, stream, minute_us))  # type: ignore[arg-type]
        return known is not None and known.state == PROVEN

    def unproven(self) -> Iterator[Minute]:
        """Yield the open minutes, the oldest first."""
        yield from self._means.state.open()

    def report(self) -> dict[str, Any]:
        """Return what is open and what was done, as plain values."""
        open_ = self._means.state.open()
        oldest_us = open_[0].minute_us if open_ else None
        return {"open": len(open_), "oldest_open_us": oldest_us, "hops": len(self._hops), **self._means.counts}

    # -- work -----------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Reconcile until cancelled; stores that are away are waited for."""
        try:
            while True:
                try:
                    await self.step()
                except FleetboxError as error:
                    log.debug("reconciler waits", why=error.message)
                await self._means.options.sleep(self._means.options.rhythm.look_s)
        finally:
            await self.close()

    async def close(self) -> None:
        """Let go of the destination and of the state; a further step opens the destination again."""
        await self._means.let_go()

    async def step(self) -> None:
        """Look once, and do what is due. Raises FleetboxError when the source itself cannot be asked."""
        source = self._means.source()
        await self._look(source)
        robots: dict[str, list[Hop]] = defaultdict(list)
        for hop in self._hops.values():
            robots[hop.robot].append(hop)
        self._trouble = None
        await asyncio.gather(*(self._serve(robot, hops) for robot, hops in robots.items()))
        if isinstance(self._trouble, AccessDenied):
            await self._means.let_go()  # the token may have been replaced
        if self._trouble is None and self._is_due("sample", "", self._means.options.rhythm.sample_s):
            self._done("sample", "")
            self._samples += 1
            payload = self._samples % self._means.options.rhythm.payloads == 1
            await self._attempt("samples", lambda: sample(self._means, self._hops, 1, payload=payload))

    async def _look(self, source: Store) -> None:
        broke = await self._something_broke(source)
        if broke or self._is_due("hops", "", self._means.options.rhythm.hops_s):
            await self._find_hops(source)
        if broke:
            self._sweep_due = {hop.spec.name for hop in self._hops.values()}
            for hop in self._hops.values():
                self._checker.hasten(hop)

    async def _find_hops(self, source: Store) -> None:
        tasks = await source.tasks()
        self._paused = {task.spec.name for task in tasks if task.mode != "enabled"}
        found = [hop_of(task.spec, self._means.route.place) for task in tasks]
        self._hops = {(hop.robot, hop.cls): hop for hop in found if hop and hop.site == self._means.route.site}
        self._done("hops", "")

    async def _something_broke(self, source: Store) -> bool:
        """Tell whether a cut or a restart may have made tasks forget; the first look always does."""
        started_s = self._means.options.monotonic_s() - (await source.info()).uptime_s
        seen, self._seen = self._seen, (self._means.relay.cuts, started_s)
        return seen is None or seen[0] != self._seen[0] or started_s > seen[1] + UPTIME_STEP_S

    async def _serve(self, robot: str, hops: list[Hop]) -> None:
        """Do what is due for one robot; once the destination has not answered, nobody asks it again in this step."""
        async with self._turns:
            news: list[Minute] = []
            await self._attempt(f"own pages of {robot}", lambda: self._follow_own(robot, hops, news))
            for hop in hops:
                if self._trouble is None and hop.spec.name not in self._paused:
                    if not self._is_current(robot, hops):
                        await self._attempt(f"the site's pages of {robot}", lambda: self._follow_far(robot, hops, news))
                    await self._attempt(hop.spec.name, lambda hop=hop: self._reconcile(hop, news))  # type: ignore[misc]
            if news:
                await self._attempt(f"standings of {robot}", lambda: self._publish(hops[0], news))

    async def _attempt(self, what: str, work: Callable[[], Awaitable[object]]) -> None:
        """Do one piece of work; what it raises is said and holds up nothing else."""
        try:
            await work()
        except FleetboxError as error:
            log.debug("reconciler waits", what=what, why=error.message)
            if isinstance(error, Unreachable | AccessDenied):
                self._trouble = error
        except Exception:
            log.exception("the reconciler stumbled", what=what)

    # -- one robot's pages ----------------------------------------------------------------------------------------

    async def _follow_own(self, robot: str, hops: list[Hop], news: list[Minute]) -> None:
        """Take up what the source has told since, and what the relay has proven."""
        signature = json.dumps([[hop.cls, hop.reach, *hop.spec.entries] for hop in hops])
        with self._means.state.change():
            if self._means.state.start_over(robot, signature):
                self._followers = {key: value for key, value in self._followers.items() if key[1] != robot}
        if self._is_due("own", robot, len(self._hops) / HOPS_PER_S):
            await self._read_pages("here", hops, self._means.source(), news)
            self._done("own", robot)
        self._take_proofs(hops, news)

    def _is_current(self, robot: str, hops: list[Hop]) -> bool:
        """Tell whether the destination's pages need not be read now: nothing waits for them."""
        rhythm, now_us = self._means.options.rhythm, self._means.options.now_us()
        waits = any(
            (now_us - minute.opened_us) / 1e6 >= rhythm.grace_s for minute in self._means.state.open(robot)
        ) or any(hop.spec.name in self._sweep_due for hop in hops)
        return not self._is_due("far", robot, rhythm.waiting_far_s if waits else rhythm.far_s)

    async def _follow_far(self, robot: str, hops: list[Hop], news: list[Minute]) -> None:
        await self._read_pages("there", hops, self._means.there, news)
        self._done("far", robot)

    async def _read_pages(self, side: str, hops: list[Hop], store: Store, news: list[Minute]) -> None:
        """Apply the new pages of one end, each with the cursor behind it."""
        hop, state = hops[0], self._means.state
        near = side == "here"
        bucket, entry = (hop.own_meta, hop.own_entry) if near else (hop.far_meta, hop.far_entry)
        follower = self._followers.setdefault((side, hop.robot), Follower(bucket, entry))
        while True:
            before = state.cursor(side, hop.robot)
            try:
                pages, cursor = await follower.news(store, before, look_first=near)
            except ReadAgain:
                with state.change():
                    state.read_again(hop.robot)
                continue
            if cursor == before:
                break
            with state.change():
                for page in pages:
                    self._apply(page, hops, near, news)
                state.move(side, hop.robot, cursor)
            await asyncio.sleep(0)  # a month of pages must not hold the loop
        state.forget()

    def _apply(self, page: Page, hops: list[Hop], near: bool, news: list[Minute]) -> None:
        state, at = self._means.state, books.Telling(page.written_us, self._means.options.now_us())
        by_class = {hop.cls: hop for hop in hops}
        for stone in page.tombstones:
            state.bury(page.robot, stone)
        for line in page.lines:
            hop = by_class.get(line.cls)
            if hop is None or not hop.counts(line):
                continue
            known = state.minute(hop.robot, line.key)
            if near:
                state.tell_until(hop.robot, *line.key)
            if known is None and not (line.selected(hop.reach) if near else line.held).records:
                continue
            minute = known or Minute(hop.robot, *line.key)
            self._keep((books.told if near else books.arrived)(minute, line, hop.reach, at), known, news)
        for standing in page.standings if near else ():
            self._recall(standing, by_class.get(standing.cls))

    def _recall(self, standing: Standing, hop: Hop | None) -> None:
        """Take up what was said of a minute before the state was lost, so that it can be taken back."""
        if hop is None or standing.site != hop.site:
            return
        key = (standing.cls, standing.stream, standing.minute_us)
        minute = self._means.state.minute(hop.robot, key) or Minute(hop.robot, *key)
        if minute.standing is None:
            self._means.state.put(replace(minute, standing=standing))

    def _take_proofs(self, hops: list[Hop], news: list[Minute]) -> None:
        """Close the minutes of which the relay has vouched for every record."""
        proofs, state = self._means.proofs, self._means.state
        with state.change():
            for hop in hops:
                for where in proofs.news(hop.spec.dst_bucket):
                    minute = state.minute(hop.robot, (hop.cls, *where[1:]))
                    if minute is None or not minute.told.records:
                        continue  # not told yet: it stays news
                    proofs.heard(where)
                    self._keep(books.vouched(minute, *proofs.count(where), hop.reach), minute, news)

    def _keep(self, minute: Minute, known: Minute | None, news: list[Minute]) -> None:
        """Note what has become known of a minute; a proven one takes back what was said of it."""
        if minute.state == PROVEN:
            hop = self._hops[minute.robot, minute.cls]
            self._means.proofs.drop((hop.spec.dst_bucket, minute.stream, minute.minute_us))
            if not is_clear(minute.standing):
                minute = replace(minute, standing=Standing(hop.site, *minute.key))
                news.append(minute)
        if minute != known:
            self._means.state.put(minute)

    # -- one hop --------------------------------------------------------------------------------------------------

    async def _reconcile(self, hop: Hop, news: list[Minute]) -> None:
        rhythm, name = self._means.options.rhythm, hop.spec.name
        self._watch_bucket(hop)
        if self._is_due("whole", name, rhythm.whole_s):
            await self._look_whole(hop)
            self._done("whole", name)
        sweeps = name in self._sweep_due and self._is_due("sweep", name, rhythm.sweep_s)
        if sweeps or self._checker.due(hop, 0):
            task = await self._means.source().task(name)
            if task is None or task.mode != "enabled":
                return
            if sweeps and not task.pending:
                await self._sweep(hop)
            if minutes := self._checker.due(hop, task.pending):
                news += await self._checker.check(hop, minutes)
        if self._means.options.letters is not None and self._is_due("letters", name, rhythm.letters_s):
            self._done("letters", name)
            news += await post(self._means, self._checker, hop)
        if hop.cls == "meta" and self._is_due("pages", name, rhythm.ledger_s):
            await compare_pages(self._means, hop)
            self._done("pages", name)

    async def _sweep(self, hop: Hop) -> None:
        """List what no page covers yet, after a break; the minutes that are open are looked at by themselves."""
        state = self._means.state
        told = state.told_until(hop.robot, hop.cls)
        latest_us = self._means.options.now_us() - CLOCK_US

        def since_us(stream: str) -> int:
            if hop.cls == "meta" and is_ledger(stream):
                return max(0, state.cursor(f"pages of {stream}", hop.robot).time_us)
            return min(told[stream] + MINUTE_US, latest_us) if stream in told else 0

        ends = Ends(hop.spec, self._means.source(), self._means.there)
        stones = state.stones(hop.robot, hop.cls)
        swept = await sweep(ends, self._means.relay.turn, self._means.options.sleep, since_us, Bounds(0, stones))
        self._means.counts["brought"] += swept.brought
        if swept.brought:
            self._means.relay.brought(swept.brought)
            log.warning("brought records that their task had forgotten", task=hop.spec.name, records=swept.brought)
        for head, status, why in swept.mended.refused[:3]:
            log.warning(
                "a forgotten record is refused", task=hop.spec.name, entry=head.entry, time_us=head.time_us,
                status=status, why=why,
            )  # fmt: skip
        if swept.clean:
            self._sweep_due.discard(hop.spec.name)
        else:
            self._done("sweep", hop.spec.name)

    def _watch_bucket(self, hop: Hop) -> None:
        """Look at a whole bucket as soon as it is back after it was missing at the destination."""
        bucket = hop.spec.dst_bucket
        if self._means.refusing(bucket) == 404:
            self._missing_there.add(bucket)
        elif bucket in self._missing_there:
            self._missing_there.discard(bucket)
            self._done_s.pop(("whole", hop.spec.name), None)
            self._checker.hasten(hop)

    async def _look_whole(self, hop: Hop) -> None:
        """Open again what was proven and cannot be there: it is older than all that its stream holds there."""
        state, bucket = self._means.state, hop.spec.dst_bucket
        there = {info.name: info for info in await entries_of(self._means.there, bucket) if info.records}
        if await horizon_of(self._means.there, bucket):
            return  # a full ring lets go of its oldest
        here = {info.name: info for info in await entries_of(self._means.source(), hop.spec.src_bucket) if info.records}
        for stream, first_us in state.first_proven(hop.robot, hop.cls).items():
            own, far = here.get(stream), there.get(stream)
            stop_us = far.oldest_us - MINUTE_US + 1 if far else 1 << 62
            if own is None or first_us >= stop_us or own.latest_us < first_us:
                continue
            with state.change():
                start_us = own.oldest_us - own.oldest_us % MINUTE_US
                opened = state.doubt(hop.robot, hop.cls, stream, start_us, stop_us, self._means.options.now_us())
            if opened:
                log.warning("proven records are not at the destination any more", task=hop.spec.name, stream=stream)
                self._checker.hasten(hop)

    async def _publish(self, hop: Hop, news: list[Minute]) -> None:
        """Write what was found as a page of this place's own ledger."""
        standings = tuple(minute.standing for minute in news if minute.standing is not None)
        place = hop.robot if hop.from_robot else hop.place
        page = Page(place, hop.robot, self._means.options.now_us(), standings=standings)
        await write_page(self._means.source(), hop.own_meta, page)

    def _is_due(self, what: str, whose: str, every_s: float) -> bool:
        """Tell whether so much time has passed since this was last done."""
        last_s = self._done_s.get((what, whose))
        return last_s is None or self._means.options.monotonic_s() - last_s >= every_s

    def _done(self, what: str, whose: str) -> None:
        self._done_s[what, whose] = self._means.options.monotonic_s()

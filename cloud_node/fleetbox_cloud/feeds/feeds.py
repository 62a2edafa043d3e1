"""Keep boards supplied: write what a site knows beside its streams into its InfluxDB, for ever."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from fleetbox.blobs import Store
from fleetbox.errors import FleetboxError, NotFound
from fleetbox.events import decode
from fleetbox.naming import site_bucket, split_bucket
from fleetbox.records import Head, Record
from fleetbox.scalars import BATCH_LINES, ScalarStore
from fleetbox.settings import FleetSettings, Influx
from fleetbox_cloud.feeds.arrivals import Arrivals
from fleetbox_cloud.feeds.events import earliest_us, event_line, events_of, is_event, place
from fleetbox_cloud.feeds.hours import Hours
from fleetbox_cloud.feeds.logs import MOST_LINES, is_log, log_line
from fleetbox_cloud.feeds.passing import RelayRates, SiteRates, mended_of
from fleetbox_cloud.feeds.renewals import Renewals
from fleetbox_cloud.feeds.sent import Sent
from fleetbox_cloud.feeds.watch import RobotWatch
from fleetbox_cloud.state import mark_of
from fleetbox_replication.dead_letters import DeadLetters, LetterGroup, letters_of
from fleetbox_replication.onward import Onward

log = structlog.get_logger()

LOG_SPACE = "log"  # lines of one robot are one series
DAY_US = 86_400_000_000
SHOWN_GROUPS = 2_000  # of dead letters: of one stream and status each


@dataclass(frozen=True, slots=True)
class FeedRhythm:
    """Say how often feeds look; seconds and µs."""

    robots_s: float = 30.0  # half a minute: the ledger tells by the minute; what is bad is told at once
    arrivals_s: float = 5.0  # a mark shows on a board while the person who made it still looks
    sweep_s: float = 86_400.0  # what came late into a ring that turned meanwhile shows nowhere else
    log_back_us: int = 7 * DAY_US  # µs; lines older than this no board asks for at the first start
    event_back_us: int = 400 * DAY_US  # µs; events are few: all that any retention in use keeps


@dataclass(frozen=True, slots=True)
class Sources:
    """Bring in what other parts of the site know: the hop that begins here, what the loader reports."""

    onward: Callable[[], Onward | None] = lambda: None
    loaded: Callable[[], dict[str, Any]] = dict


class Feeds:
    """Feed one site's InfluxDB; `watch` is told of robots by the books, `hours` of what they have written.

    Every point is a fact of the store or of now: away servers are waited for, events and lines go on where they were,
    and writing again what was written changes nothing.
    """

    def __init__(
        self, fleet: FleetSettings, site: str, connect: Callable[[], Store], state: Path,
        sources: Sources | None = None, rhythm: FeedRhythm | None = None,
    ) -> None:  # fmt: skip
        self._fleet, self._site, self._connect, self._state = fleet, site, connect, state
        self._sources, self._rhythm = sources or Sources(), rhythm or FeedRhythm()
        self.watch = RobotWatch(site, state, lambda: fleet.policy, self._is_mine)
        self._relay = RelayRates(site)
        self.hours = Hours()
        self.renewals = Renewals(self._influx, site, state)
        self.renewals.tell(self._begin)
        self.behind = self.number > 0  # of events and lines: some of those that were fed before may still be to come
        self._machine: SiteRates | None = None
        self._said: Counter[str] = Counter()

    @property
    def number(self) -> int:
        """Return how often InfluxDB had to be fed from the beginning."""
        return self.renewals.number

    async def run_robots(self) -> None:
        """Tell how robots, dead letters, the relay and this machine stand, until cancelled; raises FleetboxError."""
        async with self._connect() as store, ScalarStore(self._influx) as scalars:
            while True:
                await self.tell_robots(store, scalars, time.time_ns() // 1000)
                await self.watch.rest(self._rhythm.robots_s)

    async def run_arrivals(self) -> None:
        """Tell of events and lines of logs as they arrive, until cancelled; raises FleetboxError."""
        sent = Sent(self._state / f"fed-{mark_of(self._influx)}.sqlite")
        try:
            async with self._connect() as store, ScalarStore(self._influx) as scalars:
                await _Arriving(self, store, scalars, sent).run()
        finally:
            sent.close()

    async def run_hours(self) -> None:
        """Add up hours for boards that look at weeks, until cancelled; raises FleetboxError."""
        loop = asyncio.get_running_loop()
        async with self._connect() as store, ScalarStore(self._influx) as scalars:
            while True:
                robots = self.robots_in(await store.buckets())
                mended = mended_of(self._sources.loaded())
                await self.hours.look(scalars, robots, time.time_ns() // 1000, loop.time(), mended)
                await asyncio.sleep(self.hours.rhythm.look_s)

    async def tell_robots(self, store: Store, scalars: ScalarStore, now_us: int) -> int:
        """Write how everything stands now; return the number of points."""
        sizes = await store.bucket_sizes()
        found = {split[0]: size for name, size in sizes.items() if (split := split_bucket(name)) and split[1] == "meta"}
        robots = sorted(found.keys() | set(self._fleet.robots_of(self._site)))
        await self.watch.refresh(store, found, now_us)
        text = self.watch.lines(robots, self._groups(), now_us)
        now_s = asyncio.get_running_loop().time()
        onward = self._sources.onward()
        if onward is not None:
            text += self._relay.lines(onward.flows(), now_s, now_us)
        text += self._machine_line(sum(sizes.values()), now_s, now_us)
        await self.write(scalars, text)
        self.watch.save()
        return len(text)

    def _begin(self) -> None:
        self.behind = True
        self.hours.begin()

    async def write(self, scalars: ScalarStore, text: Sequence[str]) -> None:
        """Write lines; what InfluxDB refuses for good is said once per reason."""
        for at in range(0, len(text), BATCH_LINES):
            report = await scalars.write_lines(text[at : at + BATCH_LINES])
            for refusal in report.refusals:
                if not self._said[refusal.reason]:
                    log.warning(
                        "InfluxDB refuses points that boards need",
                        site=self._site, reason=refusal.reason, why=refusal.message, point=refusal.line[:200],
                    )  # fmt: skip
                self._said[refusal.reason] += 1

    @property
    def site(self) -> str:
        """Return the site's name."""
        return self._site

    @property
    def rhythm(self) -> FeedRhythm:
        """Return how often it looks."""
        return self._rhythm

    def report(self) -> dict[str, Any]:
        """Return how many points were refused, by reason."""
        return {"refused": dict(self._said)}

    def robots_in(self, buckets: Iterable[str]) -> list[str]:
        """Return the robots among a store's buckets that are for this site to tell of."""
        robots = {split[0] for bucket in buckets if (split := split_bucket(bucket))}
        return sorted(robot for robot in robots if self._is_mine(robot))

    @property
    def _influx(self) -> Influx:
        influx = self._fleet.site_place(self._site).influx
        assert influx is not None, "feeds are a part of sites that have an InfluxDB"
        return influx

    def _is_mine(self, robot: str) -> bool:
        """Tell whether a robot's records pass this site, and no earlier one that writes into the same InfluxDB."""
        try:
            route = [place for place in self._fleet.route(robot) if place.tier != "robot"]
        except FleetboxError:
            return False  # it has left the fleet
        first = next((place.name for place in route if _where(place.influx) == _where(self._influx)), None)
        return first == self._site

    def _groups(self) -> list[LetterGroup]:
        """Return the dead letters of the hop that begins here."""
        try:
            letters = DeadLetters.read(letters_of(self._state))
        except NotFound:
            return []
        try:
            return letters.groups(SHOWN_GROUPS)
        finally:
            letters.close()

    def _machine_line(self, store_bytes: int, now_s: float, now_us: int) -> list[str]:
        if self._machine is None:
            self._machine = SiteRates(self._site, self._state)
        line = self._machine.line(self._sources.loaded(), store_bytes, now_s, now_us)
        return [] if line is None else [line]


class _Arriving:
    """Follow events and logs while both servers are reached."""

    def __init__(self, feeds: Feeds, store: Store, scalars: ScalarStore, sent: Sent) -> None:
        self._feeds, self._store, self._scalars, self._sent = feeds, store, scalars, sent
        self._begin()

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        swept_s = loop.time()  # the first look is one already
        while True:
            sweep = loop.time() - swept_s >= self._feeds.rhythm.sweep_s
            if sweep:
                swept_s = loop.time()
            await self.look(sweep=sweep)
            await asyncio.sleep(self._feeds.rhythm.arrivals_s)

    async def look(self, *, sweep: bool = False) -> None:
        """Look into the buckets that have changed; into all of them for a sweep."""
        if self._sent.begin(self._feeds.number):
            self._begin()
        sizes, behind = await self._store.bucket_sizes(), False
        robots = self._feeds.robots_in(sizes)
        for robot in robots:
            meta, lines = site_bucket(robot, "meta"), site_bucket(robot, "log")
            if sweep or sizes.get(meta) != self._sizes.get(meta):
                await self._tell_events(meta, sweep)
                if meta in sizes and not self._events.unread:
                    self._sizes[meta] = sizes[meta]
            whole = True
            if lines in sizes and (sweep or sizes[lines] != self._sizes.get(lines)):
                whole = await self._tell_logs(robot, lines, sweep)
            if lines in sizes and whole:
                self._sizes[lines] = sizes[lines]
            behind |= not whole
        if not behind and self._feeds.number and not self._sent.reached_back:
            self._sent.reach_back([one for robot in robots for one in self._sent.entries(site_bucket(robot, "log"))])
            self._begin()
            behind = True
        self._feeds.behind = behind and self._feeds.number > 0

    def _begin(self) -> None:
        """Look at everything anew: lines of the last days first, those of before once InfluxDB has had to be fed anew.

        At a site's first start nobody asks for older lines; later on InfluxDB had them.
        """
        now_us, rhythm = time.time_ns() // 1000, self._feeds.rhythm
        back_us = rhythm.event_back_us if self._sent.reached_back else rhythm.log_back_us
        self._events = Arrivals(self._store, self._sent, max(0, now_us - rhythm.event_back_us))
        self._logs = Arrivals(self._store, self._sent, max(0, now_us - back_us))
        self._sizes: dict[str, int] = {}

    async def _tell_events(self, bucket: str, sweep: bool) -> None:
        async for entry, heads in self._events.look(bucket, is_event, sweep=sweep):
            ids, since_us = set[str](), heads[0].time_us
            async for record in self._bodies(bucket, entry, heads):
                ids.add(record.labels.get("event", ""))
                with suppress(FleetboxError):
                    since_us = min(since_us, decode(record.data).time_us)
            found = events_of(self._store, bucket, ids, earliest_us(since_us))
            text = [event_line(one, self._feeds.site, place(self._sent, bucket, one)) async for one in found]
            await self._feeds.write(self._scalars, text)
            self._sent.see(bucket, {entry: [head.time_us for head in heads]})

    async def _tell_logs(self, robot: str, bucket: str, sweep: bool) -> bool:
        """Write lines that have arrived; return False when more wait."""
        number = 0
        async with aclosing(self._logs.look(bucket, _any, sweep=sweep)) as arrived:
            async for entry, heads in arrived:
                chosen = [head for head in heads if is_log(head.labels)][: MOST_LINES - number]
                await self._tell_lines(robot, bucket, entry, chosen)
                other = [head.time_us for head in heads if not is_log(head.labels)]
                self._sent.see(bucket, {entry: [*other, *(head.time_us for head in chosen)]})
                number += len(chosen)
                if number >= MOST_LINES:
                    return False
        return not self._logs.unread

    async def _tell_lines(self, robot: str, bucket: str, entry: str, heads: Sequence[Head]) -> None:
        wanted = [(f"{entry}@{head.time_us}", head.time_us) for head in heads]
        places = self._sent.place(bucket, LOG_SPACE, wanted)
        text: list[str] = []
        async for record in self._bodies(bucket, entry, heads):
            at_us = places[f"{entry}@{record.time_us}"]
            text.append(log_line(record, robot, self._feeds.site, at_us))
        await self._feeds.write(self._scalars, text)

    async def _bodies(self, bucket: str, entry: str, heads: Sequence[Head]) -> AsyncIterator[Record]:
        """Yield the records of some heads; one that is gone meanwhile is left out."""
        if not heads:
            return
        wanted = {head.time_us for head in heads}
        query = self._store.query(bucket, (entry,), start_us=min(wanted), stop_us=max(wanted) + 1)
        async for record in query:
            if record.time_us in wanted:
                yield record


def _any(entry: str) -> bool:
    return "$" not in entry


def _where(influx: Influx | None) -> tuple[str, str, str] | None:
    return (influx.url, influx.org, influx.bucket) if influx else None

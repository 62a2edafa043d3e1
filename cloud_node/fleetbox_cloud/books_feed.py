"""Write the books into InfluxDB, minute by minute, so that dashboards show what `audit` says."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import structlog

from fleetbox.blobs import Store
from fleetbox.disk import write_whole
from fleetbox.errors import NotFound
from fleetbox.ledger import MINUTE_US
from fleetbox.naming import split_bucket
from fleetbox.scalars import BATCH_LINES, ScalarStore
from fleetbox.settings import FleetSettings, Influx
from fleetbox_cloud.books_memory import DAY_US, Memory
from fleetbox_cloud.books_past import Past
from fleetbox_cloud.books_points import View, lines, open_keys, untold
from fleetbox_cloud.comparing import keeps_from_us
from fleetbox_cloud.feeds.hours import Hours
from fleetbox_cloud.feeds.watch import RobotWatch, Sight
from fleetbox_replication.audit.hops import Hop, hops_of

log = structlog.get_logger()

FILE = "books.json"  # in the site's state folder: robot -> until when its pages are in InfluxDB, in µs


@dataclass(frozen=True, slots=True)
class Rhythm:
    """Say how often the feed looks and how much it remembers; seconds and µs."""

    look_s: float = 60.0  # at everybody: what waits for too long becomes lost without a new page
    news_s: float = 10.0  # at robots whose `meta` has grown: one small request for all of them
    known_us: int = 15 * MINUTE_US  # µs of settled minutes kept in memory: 50 robots of 31 streams take 70 MB
    past_s: float = 3.0  # of reading minutes of long ago between two looks: 4 s for a robot's day of 31 streams
    past_rest_s: float = 3.0  # and as long again between two such readings: half a core is for the site's other parts
    again_s: float = 600.0  # between two readings of a robot's older minutes: a day of them takes two seconds


class Told(Protocol):
    """Be told what the books see and write."""

    watch: RobotWatch
    hours: Hours

    @property
    def number(self) -> int:
        """Return how often InfluxDB had to be fed from the beginning."""


class BooksFeed:
    """Keep the measurement `books` of a site's InfluxDB as the ledger in the site's own store tells.

    A point is one stream's minute on one hop: tags robot, site (where the hop leads), stream, class; integer fields
    recorded, selected, kept_on_robot, arrived, waiting, refused, lost, unexplained, dropped, missing. It is written
    again when a page changes it; writing twice changes nothing. Hops that another site writes into the same bucket
    are left to that site.
    """

    def __init__(
        self,
        fleet: FleetSettings,
        site: str,
        connect: Callable[[], Store],
        state: Path,
        rhythm: Rhythm | None = None,
        told: Told | None = None,
    ) -> None:
        self._fleet, self._site, self._connect, self._told = fleet, site, connect, told
        self._path, self._rhythm = state / FILE, rhythm or Rhythm()
        self._robots: dict[str, Memory] = {}
        self._again_s: dict[str, float] = {}
        self._number, self._behind = self._begun()
        self._past: Past | None = None

    @property
    def behind(self) -> int:
        """Return of how many robots minutes of long ago are still to be written again, 1 while nobody has counted."""
        return len(self._behind) or int(self._told is not None and self._told.number != self._number)

    async def run(self) -> None:
        """Feed until cancelled. Raises Unreachable, AccessDenied, NotFound; the next run goes on where this one was."""
        influx = self._fleet.site_place(self._site).influx
        if influx is None:
            return
        self._robots.clear()  # what was read and not written is read again
        self._past = None
        loop, rhythm = asyncio.get_running_loop(), self._rhythm
        sizes: dict[str, int] = {}
        whole_s = loop.time()
        async with self._connect() as store, ScalarStore(influx) as scalars:
            while True:
                before, sizes = sizes, await self._sizes(store)
                if whole := loop.time() >= whole_s:
                    whole_s = loop.time() + rhythm.look_s
                robots = [robot for robot, size in sizes.items() if whole or before.get(robot) != size]
                if self._begin(sizes):
                    robots = list(sizes)
                await self._feed_all(store, scalars, robots, time.time_ns() // 1000)
                if self._behind:
                    await self.feed_past(store, scalars, time.time_ns() // 1000)
                await asyncio.sleep(min(rhythm.look_s, rhythm.past_rest_s if self._behind else rhythm.news_s))

    async def feed(self, store: Store, scalars: ScalarStore, now_us: int) -> int:
        """Write what has changed since the last look; return the number of points."""
        sizes = await self._sizes(store)
        self._begin(sizes)
        return await self._feed_all(store, scalars, sizes, now_us)

    async def feed_past(self, store: Store, scalars: ScalarStore, now_us: int) -> None:
        """Write minutes of before the last day again for `past_s`, robot by robot."""
        loop = asyncio.get_running_loop()
        stop_s = loop.time() + self._rhythm.past_s
        while self._behind and loop.time() < stop_s:
            robot = self._behind[0]
            past = self._past = self._past or await self._past_of(store, scalars, robot, now_us)
            if past is None or past.done(now_us):
                self._past = None
                del self._behind[0]
                self._save()
                continue
            told = await past.step(store, now_us)
            streams = self._told.watch.streams_of(told.ledger, told.keys) if self._told is not None else []
            await self._write(scalars, robot, told.books, streams)
            past.keep(now_us, self._rhythm.known_us)

    async def _past_of(self, store: Store, scalars: ScalarStore, robot: str, now_us: int) -> Past | None:
        hops = self._hops(robot)
        if not hops:
            return None
        span_us = (await keeps_from_us(scalars, now_us) or 0, self._memory(robot, now_us).from_us)
        return await Past.of(store, hops, robot, span_us, self._ships_whole)

    def _begin(self, robots: Iterable[str]) -> bool:
        """Begin from the first page if InfluxDB has lost what it was fed; the last day of all robots goes first."""
        number = self._told.number if self._told is not None else 0
        if number == self._number:
            return False
        self._number, self._behind, self._past = number, list(robots), None
        self._robots.clear()
        self._save()
        return True

    async def _feed_all(self, store: Store, scalars: ScalarStore, robots: Iterable[str], now_us: int) -> int:
        written, looked = 0, False
        for robot in robots:
            hops, looked = self._hops(robot), True
            if hops:
                written += await self._feed(store, scalars, hops, self._memory(robot, now_us), now_us)
        if looked:
            self._save()
        return written

    async def _feed(self, store: Store, scalars: ScalarStore, hops: Sequence[Hop], memory: Memory, now_us: int) -> int:
        changed = await memory.news(store, now_us)
        if memory.again_us is not None and self._may_read_again(memory.ledger.robot):
            changed |= await memory.read_again(store, now_us)
        view = View(now_us, memory.floor_us, self._ships_whole)
        fresh = untold(memory.ledger, hops[0], view) if hops[0].first else {}
        memory.untold |= fresh
        keys = changed | memory.open | fresh.keys()
        text = [line for hop in hops for line in lines(memory.ledger, hop, keys, memory.untold, view)]
        streams: Sequence[str] = ()
        if self._told is not None:  # it sees every robot's pages with us, and its points go with ours or not at all
            streams = self._told.watch.saw(Sight(memory.ledger, hops, changed, keys, view.range, memory.untold))
        await self._write(scalars, memory.ledger.robot, text, streams)
        memory.forget(open_keys(memory.ledger, hops, view), now_us - self._rhythm.known_us)
        return len(text)

    async def _write(self, scalars: ScalarStore, robot: str, books: Sequence[str], streams: Sequence[str]) -> None:
        text = [*books, *streams]
        for at in range(0, len(text), BATCH_LINES):
            report = await scalars.write_lines(text[at : at + BATCH_LINES])
            if report.refused:  # minutes older than the bucket's retention, mostly
                log.info("InfluxDB refused points of the books", site=self._site, **report.refused)
        if self._told is not None and self._told.number == self._number:  # else all of them are written again
            self._told.hours.touch(robot, books)

    def _ships_whole(self, stream: str) -> bool:
        return self._fleet.policy.rule_for(stream).ship == "always"

    async def _sizes(self, store: Store) -> dict[str, int]:
        """Return the robots that are known here, in order, with the bytes of their `meta`."""
        found = sorted((await store.bucket_sizes()).items())
        return {split[0]: size for bucket, size in found if (split := split_bucket(bucket)) and split[1] == "meta"}

    def _hops(self, robot: str) -> list[Hop]:
        """Return the hops up to this site that no other site writes into this InfluxDB."""
        try:
            hops = hops_of(self._fleet, robot, self._site)
        except NotFound:
            return []  # it has left the fleet, or reports elsewhere now
        own = _where(self._fleet.site_place(self._site).influx)
        return [hop for hop in hops if hop.site == self._site or _where(self._fleet.site_place(hop.site).influx) != own]

    def _memory(self, robot: str, now_us: int) -> Memory:
        known = self._robots.get(robot)
        if known is None:
            start_us = max(now_us - DAY_US, self._saved().get(robot, 0) - self._rhythm.known_us)
            known = self._robots[robot] = Memory.since(robot, start_us)
        return known

    def _may_read_again(self, robot: str) -> bool:
        now_s = asyncio.get_running_loop().time()
        if now_s < self._again_s.get(robot, 0.0):
            return False
        self._again_s[robot] = now_s + self._rhythm.again_s
        return True

    def _saved(self) -> dict[str, int]:
        try:
            return {robot: int(read_us) for robot, read_us in self._file()["robots"].items()}
        except (OSError, ValueError, AttributeError, TypeError, KeyError):
            return {}  # a day is written again

    def _begun(self) -> tuple[int, list[str]]:
        """Return under which number InfluxDB was fed, and the robots whose past was not written again yet."""
        try:
            found = self._file()
            return int(found["number"]), [str(robot) for robot in found["behind"]]
        except (OSError, ValueError, TypeError, KeyError):
            return 0, []

    def _file(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self._path.read_text(encoding="utf-8"))
        return found if "robots" in found else {"robots": found}  # older files hold nothing else

    def _save(self) -> None:
        read_us = {robot: memory.read_us for robot, memory in self._robots.items()}
        write_whole(self._path, json.dumps({"number": self._number, "behind": self._behind, "robots": read_us}))


def _where(influx: Influx | None) -> tuple[str, str, str] | None:
    return (influx.url, influx.org, influx.bucket) if influx else None

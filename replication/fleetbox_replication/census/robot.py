"""Keep one robot's part of a place's ledger: look, list, write, remember."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from fleetbox.blobs import Store
from fleetbox.ledger import MINUTE_US, STREAM, Key, minute_of
from fleetbox_replication.census.hearing import hear
from fleetbox_replication.census.jobs import Found, Job, found_by, job_of
from fleetbox_replication.census.judging import Judged, go_on, judge
from fleetbox_replication.census.listing import Stream, list_minutes
from fleetbox_replication.census.notebook import Notebook
from fleetbox_replication.census.rhythm import Rhythm
from fleetbox_replication.census.scope import CensusScope, is_counted
from fleetbox_replication.census.stock import Infos, Stock
from fleetbox_replication.census.tally import Counted
from fleetbox_replication.census.telling import Recent
from fleetbox_replication.census.walker import Walker
from fleetbox_replication.census.watching import Watched, accounted_for, notice, settled
from fleetbox_replication.expectation import expected_streams

LONG_US = 120 * MINUTE_US  # of pages read at most to compare with: about 4,000 lines, 30 ms
LATE_SETTLES = 5  # times the settling time after its end, a minute is judged without streams that still come


class RobotCensus:
    """Tell what a place holds of one robot."""

    def __init__(
        self, connect: Callable[[], Store], scope: CensusScope, robot: str, folder: Path, now_us: Callable[[], int]
    ) -> None:
        self._scope = scope
        self._stock = Stock(connect, scope, robot, now_us)
        self._touches = scope.touches(robot)
        self._notebook = Notebook(folder / f"{robot}.json")
        self._notes = self._notebook.load()
        self._recent, self._reminded = Recent(), False
        self._judged: Judged | None = None
        self._walker = Walker(self._stock)

    @property
    def unfinished(self) -> bool:
        """Tell whether older minutes are still to be listed."""
        return any(item.walk or item.again for item in self._notes.streams.values())

    async def look(self, rhythm: Rhythm) -> int:
        """Look once, tell what is over, go on with a walk; return the number of lines written.

        Nothing is remembered before it is written: whatever interrupts a look, the next one does it again.
        """
        stock, now_us = self._stock, self._stock.now_us()
        infos = await stock.infos()
        if not self._reminded:
            self._recent, self._reminded = await stock.recent(), True
        streams = self._noticed(infos, now_us, rhythm)
        await hear(stock, infos["meta"], self._notes, streams, self._recent)
        touched = self._touches.take() if self._touches else set()
        jobs = self._jobs(streams, touched, now_us, rhythm)
        found = await self._list(infos, jobs)
        written = await stock.write([line for item in found.values() for line in item.lines])
        self._remember(jobs, found)
        self._notes.streams = streams | {
            job.key: settled(job.watched, found[job.key].told, now_us, rhythm) for job in jobs
        }
        written += await self._judge(now_us, rhythm)
        written += await self._walker.step(self._notes, infos, rhythm)
        self._notebook.save(self._notes)
        if self._touches:
            self._touches.settle()
        return written

    def _noticed(self, infos: Infos, now_us: int, rhythm: Rhythm) -> dict[Stream, Watched]:
        known, streams = self._notes.streams, dict[Stream, Watched]()
        for cls, entries in infos.items():
            for info in entries:
                old = known.get((cls, info.name))
                if is_counted(cls, info.name) and (item := notice(old, info, now_us, rhythm)) is not None:
                    streams[cls, info.name] = item
        self._notes.owing.look(key for key, item in streams.items() if not item.quiet)
        for gone in known.keys() - streams.keys():
            self._recent.gone(gone)
            self._notes.owing.gone(gone)
        return streams

    def _jobs(self, streams: Mapping[Stream, Watched], touched: set[Key], now_us: int, rhythm: Rhythm) -> list[Job]:
        by_stream: dict[Stream, list[int]] = {}
        for cls, stream, minute_us in touched:
            by_stream.setdefault((cls, stream), []).append(minute_us)
        jobs = []
        for key, item in streams.items():
            owed = self._notes.owing.due(key, item.told_us, rhythm.owed_at_once)
            job = job_of(key, item, [*by_stream.get(key, ()), *owed], now_us, rhythm)
            if job.again or job.until_us > item.told_us or item.searched or item.told is None or not item.quiet:
                jobs.append(job)
        return jobs

    async def _list(self, infos: Infos, jobs: Sequence[Job]) -> dict[Stream, Found]:
        wanted = [item for job in jobs for item in job.ranges()]
        looks = {job.key: accounted_for(job.watched, job.until_us) for job in jobs}
        until_us = {key: look.latest_us for key, look in looks.items() if look is not None}
        listed = await list_minutes(self._stock.store, self._stock.bucket, wanted, until_us)
        turned_us = {job.key: job.watched.turned_us for job in jobs if job.watched.turned_us}
        gone_us = await self._stock.let_go(infos, {(item.cls, item.stream) for item in wanted}, turned_us)
        told = await self._told(jobs)
        return {job.key: found_by(job, listed, told, gone_us.get(job.key, 0)) for job in jobs}

    async def _told(self, jobs: Sequence[Job]) -> dict[Key, Counted]:
        """Return what was told of the listed minutes: as remembered, else from the pages if they are not far apart."""
        told = {
            (*job.key, minute_us): counted
            for job in jobs
            for minute_us in job.minutes()
            if (counted := self._recent.get(job.key, minute_us)) is not None
        }
        forgotten = {(*job.key, minute_us) for job in jobs for minute_us in job.again} - told.keys()
        if forgotten:
            first_us, last_us = min(key[2] for key in forgotten), max(key[2] for key in forgotten)
            if last_us - first_us < LONG_US:
                lines = await self._stock.told(first_us, last_us + MINUTE_US)
                told |= {key: Counted(line, 0) for key, line in lines.items() if key in forgotten}
        return told

    async def _judge(self, now_us: int, rhythm: Rhythm) -> int:
        """Tell what full minutes miss; what a robot should have recorded is its own census' word."""
        if self._stock.own != STREAM:
            return 0
        streams = self._notes.streams
        expected = expected_streams(self._scope.policy(), streams)
        standing = go_on(self._judged, streams, now_us)
        late_us = minute_of(now_us - LATE_SETTLES * rhythm.settle_us - MINUTE_US)
        judged, found = judge(standing, expected, streams, self._recent, late_us)
        written = await self._stock.write([counted.line for counted in found])
        self._judged = judged
        for counted in found:
            self._recent.keep(counted)
        return written

    def _remember(self, jobs: Iterable[Job], found: Mapping[Stream, Found]) -> None:
        for job in jobs:
            self._notes.owing.listed(job.key, job.again)
            for counted in found[job.key].counted:
                self._recent.keep(counted)
                self._notes.owing.told(counted.line)

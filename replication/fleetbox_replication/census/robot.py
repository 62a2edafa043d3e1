"""Keep one robot's part of a place's ledger: look, list, write, remember."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from fleetbox.blobs import Store
from fleetbox.ledger import Key
from fleetbox_replication.census.hearing import hear
from fleetbox_replication.census.jobs import Found, Job, found_by, job_of
from fleetbox_replication.census.listing import Stream, list_minutes
from fleetbox_replication.census.notebook import Notebook
from fleetbox_replication.census.rhythm import Rhythm
from fleetbox_replication.census.scope import CensusScope, is_counted
from fleetbox_replication.census.stock import Infos, Stock
from fleetbox_replication.census.telling import Recent
from fleetbox_replication.census.walker import Walker
from fleetbox_replication.census.watching import Watched, accounted_for, notice, settled


class RobotCensus:
    """Tell what a place holds of one robot."""

    def __init__(
        self, connect: Callable[[], Store], scope: CensusScope, robot: str, folder: Path, now_us: Callable[[], int]
    ) -> None:
        self._stock = Stock(connect, scope, robot, now_us)
        self._touches = scope.touches(robot)
        self._notebook = Notebook(folder / f"{robot}.json")
        self._notes = self._notebook.load()
        self._recent = Recent()
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
        streams = self._noticed(infos, rhythm)
        await hear(stock.store, stock.bucket("meta"), infos["meta"], self._notes, stock.own)
        touched = self._touches.take() if self._touches else set()
        jobs = self._jobs(streams, touched, now_us, rhythm)
        found = await self._list(infos, jobs)
        written = await stock.write([line for item in found.values() for line in item.lines])
        self._remember(jobs, found)
        self._notes.streams = streams | {
            job.key: settled(job.watched, found[job.key].told, now_us, rhythm) for job in jobs
        }
        written += await self._walker.step(self._notes, infos, rhythm)
        self._notebook.save(self._notes)
        if self._touches:
            self._touches.settle()
        return written

    def _noticed(self, infos: Infos, rhythm: Rhythm) -> dict[Stream, Watched]:
        known, streams = self._notes.streams, dict[Stream, Watched]()
        for cls, entries in infos.items():
            for info in entries:
                item = notice(known.get((cls, info.name)), info, rhythm) if is_counted(cls, info.name) else None
                if item is not None:
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
            if job.again or job.until_us > item.told_us or item.searched or not item.quiet:
                jobs.append(job)
        return jobs

    async def _list(self, infos: Infos, jobs: Sequence[Job]) -> dict[Stream, Found]:
        wanted = [item for job in jobs for item in job.ranges()]
        looks = {job.key: accounted_for(job.watched, job.until_us) for job in jobs}
        until_us = {key: look.latest_us for key, look in looks.items() if look is not None}
        listed = await list_minutes(self._stock.store, self._stock.bucket, wanted, until_us)
        gone_us = await self._stock.let_go(infos, {item.cls for item in wanted})

        def judge(job: Job) -> Callable[[int], bool]:
            turned_us = job.watched.last.oldest_us if job.watched.turned else 0
            oldest_us = max(turned_us, gone_us.get(job.key, 0))
            return lambda minute_us: minute_us < oldest_us

        return {job.key: found_by(job, listed, self._recent, judge(job)) for job in jobs}

    def _remember(self, jobs: Iterable[Job], found: Mapping[Stream, Found]) -> None:
        for job in jobs:
            self._notes.owing.listed(job.key, job.again)
            for counted in found[job.key].counted:
                self._recent.keep(counted)
                self._notes.owing.told(counted.line)

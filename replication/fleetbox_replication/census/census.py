"""Write a place's ledger: list what its store holds, minute by minute, and put it down in pages."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import structlog

from fleetbox.blobs import Store
from fleetbox.errors import AccessDenied, FleetboxError
from fleetbox_replication.census.rhythm import Rhythm
from fleetbox_replication.census.robot import RobotCensus
from fleetbox_replication.census.scope import CensusScope

log = structlog.get_logger()
REST = 4.0  # times as long as a look took: a site with a thousand robots looks less often, not all the time


class Census:
    """Tell what one place holds of each robot, stream and minute, in pages of the ledger.

    `store` gives the open store of the place, `folder` is where the census keeps its place in it, a file a robot.
    Losing that folder, or kill -9 at any moment, makes it list again; it never makes the ledger wrong.

    Example:
        census = Census(lambda: door.store, census_of_robot("r7", policy, touches), state / "census")
        await census.run()
    """

    def __init__(
        self,
        store: Callable[[], Store],
        scope: CensusScope,
        folder: Path,
        rhythm: Rhythm | None = None,
        now_us: Callable[[], int] = lambda: time.time_ns() // 1000,
    ) -> None:
        self._store, self._scope, self._folder = store, scope, folder
        self._rhythm, self._now_us = rhythm or Rhythm(), now_us
        self._robots: dict[str, RobotCensus] = {}
        self._turn = asyncio.Lock()  # a flush may come while the census runs
        self._said = ""

    async def run(self) -> None:
        """Look until cancelled; a store that is away is waited for. Raises AccessDenied."""
        while True:
            began_s = time.monotonic()
            try:
                await self.look()
                self._said = ""
            except AccessDenied:
                raise
            except (FleetboxError, OSError) as error:  # OSError: the disk of the state folder is full
                if str(error) != self._said:
                    log.warning("census waits", place=self._scope.place, why=str(error))
                self._said = str(error)
            took_s = time.monotonic() - began_s
            await asyncio.sleep(max(self._rhythm.look_s, took_s * REST))

    async def look(self) -> int:
        """Look once and tell the minutes that are over; return the number of lines written.

        Every robot has its turn, then the first trouble is raised: Unreachable, AccessDenied, StoreRefused.
        """
        return await self._look(self._rhythm)

    async def flush(self) -> int:
        """Tell everything there is now, open minutes included; return the number of lines written.

        Catches up with older minutes too, for `flush_s` at most. What comes later makes a revision.
        """
        rhythm, until_s = self._rhythm.at_once(), time.monotonic() + self._rhythm.flush_s
        written = await self._look(rhythm)
        while time.monotonic() < until_s and any(robot.unfinished for robot in self._robots.values()):
            written += await self._look(rhythm)
        return written

    async def _look(self, rhythm: Rhythm) -> int:
        async with self._turn:
            names = await self._scope.robots()
            self._robots = {name: self._robots.get(name) or self._begin(name) for name in names}
            written, trouble = 0, None
            for robot in self._robots.values():
                try:
                    written += await robot.look(rhythm)
                except (FleetboxError, OSError) as error:
                    trouble = trouble or error
            if trouble is not None:
                raise trouble
            return written

    def _begin(self, robot: str) -> RobotCensus:
        return RobotCensus(self._store, self._scope, robot, self._folder, self._now_us)

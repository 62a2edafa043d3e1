"""Hold what every question needs: the fleet's settings, open stores, one background loop, a clock."""

from __future__ import annotations

import asyncio
import atexit
from collections.abc import Coroutine
from typing import Any, TypeVar

from fleetbox.background import BackgroundLoop
from fleetbox.clock import Clock
from fleetbox.errors import InputError
from fleetbox.settings import FleetSettings
from fleetbox_query.asking import prepare
from fleetbox_query.events import Where, resolve
from fleetbox_query.moments import DurationLike, TimeLike, duration_us, time_us
from fleetbox_query.question import EVENT, Question
from fleetbox_query.reading import Prepared
from fleetbox_query.stores import Stores

T = TypeVar("T")


class Session:
    """Run questions on a loop of its own, so that they work inside Jupyter's running loop too."""

    def __init__(self, fleet: FleetSettings, clock: Clock | None = None) -> None:
        self.fleet = fleet
        self.loop = BackgroundLoop("fleetbox-query")
        self.stores = Stores()
        self._clock = clock or Clock()
        self._closed = False
        atexit.register(self.close)  # a notebook rarely closes anything: without this, aiohttp complains at its end

    def now_us(self) -> int:
        """Return what "now" means."""
        return self._clock.now_us()

    def moment(self, time: TimeLike | None) -> int | str | None:
        """Return a time as µs, or an `event:` time as it is, to be resolved when the question is asked."""
        if time is None or (isinstance(time, str) and time.strip().startswith(EVENT)):
            return time.strip() if isinstance(time, str) else None
        return time_us(time, self.now_us())

    def since(self, duration: DurationLike) -> int:
        """Return the time in µs that lies a duration before now."""
        return max(0, self.now_us() - duration_us(duration))

    def where(self, question: Question) -> Where:
        """Return which places a question is put to."""
        return Where(question.tier, question.site)

    async def resolve(self, moment: int | str | None, where: Where) -> int:
        """Return a moment as µs."""
        found = await resolve(self.stores, self.fleet, where, moment)
        return self.now_us() if found is None else found

    async def prepare(self, question: Question, *, films: bool = False) -> Prepared:
        """Make a question ready; films: pictures are read from the videos made of them, too."""
        return await prepare(self.stores, self.fleet, question, films=films)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the session's loop and return its value; raises InputError after `close`."""
        if self._closed:
            work.close()
            raise InputError("this connection to the fleet is closed", "connect anew")
        return self.loop.run(work)

    def close(self) -> None:
        """Close the stores and end the loop; calling it again does nothing."""
        if self._closed:
            return
        self._closed = True
        atexit.unregister(self.close)
        self.loop.run(self._end())
        self.loop.stop()

    async def _end(self) -> None:
        """End what still reads ahead before its stores close: a request begun afterwards would open them again."""
        reading = asyncio.all_tasks() - {asyncio.current_task()}
        for task in reading:
            task.cancel()
        await asyncio.gather(*reading, return_exceptions=True)
        await self.stores.close()

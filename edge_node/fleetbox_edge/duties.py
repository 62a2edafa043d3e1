"""What exactly one process per robot does: rings, tasks, the labeler, the ledger, the way onward and its guard."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import structlog

from fleetbox.errors import AccessDenied, FleetboxError, NotFound
from fleetbox.naming import RING_CLASSES
from fleetbox.settings import RobotSettings
from fleetbox_edge.budget_watch import BudgetWatch
from fleetbox_edge.courier import Courier, Memory, Switch
from fleetbox_edge.courier.telling import Tell
from fleetbox_edge.door import RobotDoor
from fleetbox_edge.duty_lock import lock_path, take_lock
from fleetbox_edge.guard import Guard, GuardOptions
from fleetbox_edge.housekeeping import Housekeeping
from fleetbox_edge.live_policy import LivePolicy
from fleetbox_edge.notices import circles_anywhere
from fleetbox_edge.racing import either
from fleetbox_edge.spending import Spending
from fleetbox_edge.triggers.evaluator import Evaluator
from fleetbox_edge.upkeep import Upkeep
from fleetbox_replication.census import Census, Touches, census_of_robot
from fleetbox_replication.labeler import Duty, Labeler
from fleetbox_replication.onward import Onward
from fleetbox_replication.scopes import one_robot

log = structlog.get_logger()

AGAIN_S = 2.0  # after trouble with the store or the relay's port
HEAR_S = 5.0  # until each process has heard of an event and written what circled there: 0.5 s, more on a busy machine
LEAVE_S = 3.0  # a program that ends must not wait for a store that hangs; the next holder lists what is left out


class Duties:
    """Hold `state/duties.lock` and do the robot's duties, or wait until its holder dies.

    `settled` is set once rings and tasks are as they should be, or another process sees to them.
    """

    def __init__(
        self, settings: RobotSettings, door: RobotDoor, live: LivePolicy, backlog: Callable[[], int | None],
        triggers: Evaluator | None = None, tell: Tell | None = None,
    ) -> None:  # fmt: skip
        self._settings, self._door, self._live, self._backlog = settings, door, live, backlog
        self._triggers, self._tell = triggers, tell
        self._spending = Spending(settings.state / "spent")
        self.settled = asyncio.Event()
        self.held = asyncio.Event()
        self.trouble: FleetboxError | None = None
        self.census = self._make_census()
        self.onward = self._make_onward()
        self.upkeep = Upkeep(settings, door, live, self.onward, self._stand)
        self.guard = self._make_guard()
        self.housekeeping = Housekeeping(settings, door, live, self.onward, triggers)

    async def run(self) -> None:
        """Wait for the lock, then serve until cancelled."""
        fd = await take_lock(lock_path(self._settings.state), self.settled.set)
        self.upkeep.follow()
        try:
            self.held.set()
            await self._serve()
        finally:
            await self._leave()
            self.held.clear()
            os.close(fd)

    async def _leave(self) -> None:
        """Put the open minute into the ledger as well: whoever ends in order leaves the books as they stand."""
        with suppress(FleetboxError, OSError, TimeoutError):  # OSError: the disk of the state folder is full
            async with asyncio.timeout(LEAVE_S):
                await self.census.flush()

    async def _serve(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._insist(self.upkeep.run, "rings and tasks"))
            group.create_task(self._insist(self._label, "labeler"))
            group.create_task(self._insist(self._count, "ledger"))
            group.create_task(self._insist(self._keep_house, "idle work"))
            if self._tell is not None:
                group.create_task(self._insist(self._fetch, "orders"))
            if self._triggers is not None:
                group.create_task(self._insist(self._triggers.judge, "triggers"))
            if self.onward is not None:
                group.create_task(self._insist(self.onward.run, "relay"))
            if self.guard is not None:
                group.create_task(self._insist(self._guard, "guard"))

    async def _insist(self, duty: Callable[[], Any], name: str) -> None:
        """Do a duty for ever; what fails is said once per reason and tried again."""
        said = ""
        while True:
            try:
                await duty()
            except FleetboxError as error:
                self.trouble = error
                if str(error) != said:
                    log.warning("duty waits", duty=name, robot=self._settings.robot, why=error.message)
                said = str(error)
                if isinstance(error, AccessDenied):
                    with suppress(FleetboxError):
                        await self._door.renew()
            await asyncio.sleep(AGAIN_S)

    def _stand(self) -> None:
        self.settled.set()
        self.trouble = None

    async def _label(self) -> None:
        await self.settled.wait()
        touches = Touches(self._settings.state / "touches")
        find = one_robot(self._settings.robot, lambda: self._live.current, touches)
        duty = Duty(
            find,
            policy=lambda: self._live.current.hash,
            backlog=self._backlog,
            linger_s=self._linger_s,
            spent=self._spending.add,
            chores=self.housekeeping.chores(self._backlog, self._spending.add),
        )
        await Labeler(self._door.store, duty).run()

    def _linger_s(self) -> float:
        """Return how long an event stays open at least: while anything circles in memory, all have to hear of it."""
        return HEAR_S if circles_anywhere(self._live.current) else 0.0

    async def _fetch(self) -> None:
        assert self._tell is not None
        memory = Memory.at(self._settings.state / "policy")
        switch = Switch(self._settings, self._live, memory, self._tell, wall_us)
        courier = Courier(self._settings, switch, self._tell, self._spans, wall_us)
        mute = self._triggers.mute if self._triggers is not None else lambda reason: None
        watch = BudgetWatch(switch, self._spending, mute, wall_us)
        await either(courier.run(), watch.run())

    async def _spans(self) -> dict[str, tuple[int, int]]:
        """Return what our store holds of each stream: its oldest and newest stamp in µs."""
        found = {}
        for cls in RING_CLASSES:
            with suppress(NotFound):
                for info in await self._door.store.entries(cls):
                    found[info.name] = (info.oldest_us, info.latest_us)
        return found

    async def _count(self) -> None:
        await self.settled.wait()
        await self.census.run()

    async def _keep_house(self) -> None:
        await self.settled.wait()
        await self.housekeeping.run()

    async def _guard(self) -> None:
        assert self.guard is not None
        await self.settled.wait()  # what it tells must not be older than its task
        await self.guard.run()

    def _make_census(self) -> Census:
        settings = self._settings
        touches = Touches(settings.state / "touches")
        scope = census_of_robot(settings.robot, lambda: self._live.current, touches)
        return Census(lambda: self._door.store, scope, settings.state / "census")

    def _make_onward(self) -> Onward | None:
        settings, ahead = self._settings, self._settings.site_place()
        if ahead is None:
            return None
        return Onward(self._door.place, ahead, lambda: self._door.store, settings.state, settings.uplink)

    def _make_guard(self) -> Guard | None:
        if self.onward is None:
            return None
        onward, touches = self.onward, Touches(self._settings.state / "touches")
        options = GuardOptions(unproven=onward.unproven, proven=onward.proven, touch=touches.note)
        return Guard(self._door, self._settings, onward.is_proven, options)


def wall_us() -> int:
    """Return µs since the epoch by this machine's clock."""
    return time.time_ns() // 1000

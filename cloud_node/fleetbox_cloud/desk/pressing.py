"""Go on with the rollouts of a site that may go on by themselves, and mend what was left half handed out."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import structlog

from fleetbox.blobs import Store
from fleetbox.errors import NotFound
from fleetbox.naming import SITE_DESK
from fleetbox_cloud.desk.advancing import Desk, go_on, halt, mend
from fleetbox_cloud.desk.deciding import decide, taken_later
from fleetbox_cloud.desk.rollouts import Rollout
from fleetbox_cloud.desk.shelf import read_rollouts
from fleetbox_cloud.desk.standing import standings

log = structlog.get_logger()

LOOK_S = 5.0  # one request while no rollout runs; stages hold for minutes
SETTLED_US = 10_000_000  # µs; whoever wrote a revision has put its orders by then
MEND_US = 86_400_000_000  # µs; older revisions were mended when they were young


class Presser:
    """Look after the rollouts begun at one site."""

    def __init__(
        self, desk: Desk, now_us: Callable[[], int] = lambda: time.time_ns() // 1000, settled_us: int = SETTLED_US
    ) -> None:
        self._desk, self._now_us, self._settled_us = desk, now_us, settled_us
        self._size = -1
        self._once = True  # read at this size: the engine counts a revision into it before it can be read
        self._rollouts: list[Rollout] = []
        self._held_from: dict[tuple[str, int], int] = {}  # (rollout, stage) -> when it began by this machine's clock
        self._mended: set[tuple[str, int]] = set()  # (rollout, stage)

    async def look(self) -> None:
        """Look once: mend, go on, halt."""
        await self._read()
        for rollout in self._rollouts:
            skip = taken_later(rollout, self._rollouts)
            await self._mend(rollout, skip)
            if rollout.state == "running" and rollout.auto_us is not None:
                await self._press(rollout, skip)

    async def _read(self) -> None:
        size = (await self._desk.store.bucket_sizes()).get(SITE_DESK, 0)
        if size == self._size and not self._once:
            return
        first, now_us = self._size < 0, self._now_us()
        self._rollouts = await read_rollouts(self._desk.store)
        self._once, self._size = size != self._size, size
        for one in self._rollouts:  # the stamp is that of whoever's clock; seen to begin, our own counts
            began_us = min(one.stage_us, now_us) if first else now_us
            self._held_from.setdefault((one.id, one.stage), began_us)

    async def _mend(self, rollout: Rollout, skip: frozenset[str]) -> None:
        key = (rollout.id, rollout.stage)
        age_us = self._now_us() - self._held_from[key]
        if key in self._mended or rollout.state == "over" or age_us < self._settled_us:
            return
        if age_us < MEND_US:
            for robot in await mend(self._desk, rollout, self._now_us(), skip):
                log.info("order put again", rollout=rollout.id, robot=robot)
        self._mended.add(key)

    async def _press(self, rollout: Rollout, skip: frozenset[str]) -> None:
        now_us, robots = self._now_us(), [robot for robot in rollout.reached if robot not in skip]
        found = await standings(self._desk.store, robots, self._rollouts, now_us, rollout.begun_us - MEND_US)
        decision = decide(rollout, found, now_us - self._held_from[rollout.id, rollout.stage])
        if decision.what == "wait":
            return
        log.info("rollout", id=rollout.id, policy=rollout.policy, what=decision.what, why=decision.why)
        if decision.what == "halt":
            await halt(self._desk, rollout, decision.why, now_us)
        else:
            await go_on(self._desk, rollout, rollout.next_stage, now_us, skip)


async def press(store: Callable[[], Store], site: str, look_s: float = LOOK_S) -> None:
    """Look after a site's rollouts until cancelled; raises what its store answers, to be started again."""
    async with store() as own:
        presser = Presser(Desk(own, site))
        while True:
            try:
                await presser.look()
            except NotFound as error:  # a robot's desk is away: the site makes it again
                log.warning("rollout waits", why=error.message)
            await asyncio.sleep(look_s)

"""Hand a stage of a rollout out: note it first, then put the order into each robot's desk."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass

from fleetbox.blobs import Store
from fleetbox.errors import NotFound
from fleetbox.orders import Order, read_orders, write_order
from fleetbox.signing import decode
from fleetbox_cloud.desk.asking import for_each
from fleetbox_cloud.desk.rollouts import Rollout
from fleetbox_cloud.desk.shelf import write_rollout


@dataclass(frozen=True, slots=True)
class Desk:
    """Say where orders are put and who does it: one writer never shares an entry with another."""

    store: Store
    writer: str

    def no_desk(self, robot: str) -> NotFound:
        """Return the error of a robot, or a site, that has no desk there."""
        step = (
            f"the site makes it: is `fleetbox site run` running? or: fleetbox site provision --site {self.store.name}"
        )
        return NotFound(f"{self.store.name} has no desk for {robot}", step)


async def begin(desk: Desk, rollout: Rollout, now_us: int) -> Rollout:
    """Write a new rollout and hand out its stage; return it. Raises NotFound, StoreRefused, Unreachable."""
    done = rollout.next(stage_us=now_us, state="done" if rollout.is_last else "running")
    return await _hand_out(desk, done, done.reached, now_us)


async def go_on(desk: Desk, rollout: Rollout, stage: int, now_us: int, skip: Collection[str] = ()) -> Rollout:
    """Hand a rollout out up to a stage; return its new revision. `skip` names robots that another one took."""
    state = "done" if rollout.upto(stage) == rollout.robots else "running"
    done = rollout.next(stage=stage, stage_us=now_us, state=state, reason="")
    robots = [robot for robot in done.reached if robot not in rollout.reached and robot not in skip]
    return await _hand_out(desk, done, robots, now_us)


async def halt(desk: Desk, rollout: Rollout, why: str, now_us: int) -> Rollout:
    """Stop a rollout where it is and say why; what robots have applied stays."""
    done = rollout.next(state="halted", reason=why)
    await write_rollout(desk.store, done, desk.writer, now_us)
    return done


async def mend(desk: Desk, rollout: Rollout, now_us: int, skip: Collection[str] = ()) -> list[str]:
    """Put the orders again that a rollout notes and that lie in no desk: whoever began it stopped in the middle."""

    async def lacks(robot: str) -> bool:
        return not any([order.id == rollout.id async for order in read_orders(desk.store, robot)])

    looked = await for_each([robot for robot in rollout.reached if robot not in skip], lacks)
    lacking = [robot for robot, missing in looked.items() if missing]
    await _put(desk, rollout, lacking, now_us)
    return lacking


async def _hand_out(desk: Desk, rollout: Rollout, robots: Collection[str], now_us: int) -> Rollout:
    try:
        await write_rollout(desk.store, rollout, desk.writer, now_us)  # first: orders that are missing can be mended
    except NotFound:
        raise desk.no_desk("rollouts") from None
    await _put(desk, rollout, robots, now_us)
    return rollout


async def _put(desk: Desk, rollout: Rollout, robots: Collection[str], now_us: int) -> None:
    body, expires_us = json.loads(rollout.envelope), decode(rollout.envelope).expires_us

    async def one(robot: str) -> None:
        try:
            order = Order(rollout.id, robot, "policy", body, rollout.by, now_us, expires_us)
            await write_order(desk.store, order, desk.writer)
        except NotFound:
            raise desk.no_desk(robot) from None

    await for_each(robots, one)

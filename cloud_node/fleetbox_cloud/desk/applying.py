"""Do what the policy verbs ask at one site: draft, send, go on, wait for answers, say how robots stand."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fleetbox.blobs import Store
from fleetbox.errors import InputError
from fleetbox.orders import writer_here
from fleetbox.settings import FleetSettings, Place
from fleetbox_cloud.desk.advancing import Desk, begin, go_on
from fleetbox_cloud.desk.deciding import Decision, decide, taken_later
from fleetbox_cloud.desk.planning import Drafted, Wish, draft, robots_of_site
from fleetbox_cloud.desk.rollouts import Rollout
from fleetbox_cloud.desk.shelf import find_rollout, read_rollouts
from fleetbox_cloud.desk.standing import FETCHED_US, Standing, standings

ASK_EVERY_S = 1.0  # robots look every 2 s themselves
SKEW_US = 86_400_000_000  # µs; a robot's clock may be behind by less: its answers lie no further back

Tell = Callable[[Sequence[Standing]], None]


@dataclass(frozen=True, slots=True)
class Standings:
    """Hold how the robots of a site stand, and the rollouts begun there, oldest first."""

    site: str
    robots: tuple[Standing, ...]
    rollouts: tuple[Rollout, ...]


@dataclass(frozen=True, slots=True)
class Promotion:
    """Hold the next stage of a rollout before it is handed out: what the last one showed, and who is next."""

    rollout: Rollout
    stage: int
    decision: Decision
    robots: tuple[Standing, ...]
    next_robots: tuple[str, ...]
    skip: frozenset[str]


def site_of(fleet: FleetSettings, name: str | None) -> Place:
    """Return the site meant: the one named, else the one where all records end; InputError when that is unclear."""
    if name is not None:
        return fleet.site_place(name)
    last = [site for site, table in fleet.site.items() if table.next is None]
    if len(last) != 1:
        raise InputError(f"{fleet.source} has {len(last)} sites that pass nothing on: say where", "give --site NAME")
    return fleet.site_place(last[0])


def now_us() -> int:
    """Return the wall clock in µs."""
    return time.time_ns() // 1000


async def preview(fleet: FleetSettings, place: Place, wish: Wish) -> Drafted:
    """Return what `apply` would send. Raises NotFound when no robot is meant, Unreachable."""
    async with Store.at(place) as store:
        robots = await robots_of_site(store, fleet, place.name, wish.robots)
        return await draft(store, fleet, robots, wish, now_us())


async def send(place: Place, rollout: Rollout) -> Rollout:
    """Begin a rollout at a site: its first stage is handed out."""
    async with Store.at(place) as store:
        return await begin(Desk(store, writer_here()), rollout, _not_before(rollout))


async def status(fleet: FleetSettings, place: Place, globs: Sequence[str]) -> Standings:
    """Return how the robots behind a site stand."""
    async with Store.at(place) as store:
        robots = await robots_of_site(store, fleet, place.name, globs)
        rollouts = await read_rollouts(store)
        found = await standings(store, robots, rollouts, now_us())
    mine = tuple(one for one in rollouts if not set(one.robots).isdisjoint(robots))
    return Standings(place.name, tuple(found), mine)


async def promotion(place: Place, name: str, *, whole: bool = False) -> Promotion:
    """Return the next stage of a rollout, or its last with `whole`; raises InputError when all have it already."""
    async with Store.at(place) as store:
        rollout = await find_rollout(store, name)
        every = await read_rollouts(store)
        skip = taken_later(rollout, every)
        robots = [robot for robot in rollout.reached if robot not in skip]
        found = await standings(store, robots, every, now_us(), rollout.begun_us - SKEW_US)
    if rollout.is_last:
        step = "fleetbox policy status"
        raise InputError(f"rollout {rollout.id} has been handed out to all its {len(rollout.robots)} robots", step)
    stage = len(rollout.stages) - 1 if whole else rollout.next_stage
    fresh = tuple(r for r in rollout.upto(stage) if r not in rollout.reached and r not in skip)
    decision = decide(rollout, found, now_us() - rollout.stage_us)
    return Promotion(rollout, stage, decision, tuple(found), fresh, skip)


async def promote(place: Place, promotion: Promotion) -> Rollout:
    """Hand the next stage out."""
    async with Store.at(place) as store:
        return await go_on(
            Desk(store, writer_here()),
            promotion.rollout,
            promotion.stage,
            _not_before(promotion.rollout),
            promotion.skip,
        )


async def answered(place: Place, sent: Sequence[Rollout], timeout_s: float, tell: Tell) -> list[Standing]:
    """Wait until every robot that is online has answered, at most so long; return how all of them stand."""
    robots = sorted({robot for one in sent for robot in one.reached})
    begun_us = min(one.begun_us for one in sent) - SKEW_US
    deadline_s = time.monotonic() + timeout_s
    async with Store.at(place) as store:
        while True:
            every = await read_rollouts(store)
            found = await standings(store, robots, every, now_us(), begun_us)
            tell(found)
            soon = now_us() - max(one.stage_us for one in sent) < FETCHED_US  # one that writes nothing looks offline
            waits = [one for one in found if one.state == "pending" and (soon or not one.offline)]
            if not waits or time.monotonic() > deadline_s:
                return found
            await asyncio.sleep(ASK_EVERY_S)


def _not_before(rollout: Rollout) -> int:
    """Return now, or when a rollout began where that was by a clock ahead of ours: its orders come after others."""
    return max(now_us(), rollout.begun_us)

"""Run `fleetbox record start` and `stop`: begin and end an episode in the robot's own store."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from fleetbox.blobs import Store
from fleetbox.episode_books import write_revisions
from fleetbox.episodes import Episode, apply, first
from fleetbox.errors import InputError, NotFound
from fleetbox.person import person_here
from fleetbox.settings import FleetSettings, Place
from fleetbox_edge.live_episode import begun, check_none_open, ended, open_episodes

META = "meta"
REACH_S = 6.0  # s; as for a mark: whoever records stands beside the robot


@dataclass(frozen=True, slots=True)
class RecordOrder:
    """Hold what one call of `fleetbox record start` asks for, as it was typed."""

    note: str
    robot: str | None = None
    name: str = ""
    streams: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)


def start(fleet: FleetSettings, order: RecordOrder) -> Episode:
    """Begin an episode; raises InputError while one is recorded, Unreachable when the robot's store does not answer."""
    return asyncio.run(_start(fleet, order))


def stop(fleet: FleetSettings, robot: str | None, success: bool | None, labels: Mapping[str, str]) -> list[Episode]:
    """End what is being recorded on a robot, and return it; raises NotFound when nothing is.

    It may have been begun by another program, or before a restart. Where two are open because the store was away when
    the second began, both end.
    """
    return asyncio.run(_stop(fleet, robot, success, labels))


async def _start(fleet: FleetSettings, order: RecordOrder) -> Episode:
    place = _place(fleet, order.robot)
    async with Store.at(place, timeout_s=REACH_S) as store:
        check_none_open(await open_episodes(store, META, place.name))
        now_us = time.time_ns() // 1000
        streams = order.streams or ("**",)
        made = begun(
            place.name, order.note, now_us, person_here(), name=order.name, streams=streams, labels=order.labels
        )
        try:
            await write_revisions(store, META, [first(made)], now_us)
        except NotFound as error:
            step = "start its agent: fleetbox agent run"
            raise NotFound(f"{place.name} records nothing yet: {error.message}", step) from None
    return made


async def _stop(
    fleet: FleetSettings, robot: str | None, success: bool | None, labels: Mapping[str, str]
) -> list[Episode]:
    place = _place(fleet, robot)
    async with Store.at(place, timeout_s=REACH_S) as store:
        found = await open_episodes(store, META, place.name)
        if not found:
            raise NotFound(
                f"no episode is being recorded on {place.name}", 'begin one: fleetbox record start "pick cup"'
            )
        now_us = time.time_ns() // 1000
        revisions = [ended(one, now_us, person_here(), success, labels) for one in found]
        await write_revisions(store, META, revisions, now_us)
    done = [apply(one, revision) for one, revision in zip(found, revisions, strict=True)]
    return [one for one in done if one is not None]


def _place(fleet: FleetSettings, robot: str | None) -> Place:
    known = fleet.known_robots
    if robot is None and len(known) != 1:
        raise InputError("which robot?", f"give --robot, one of: {', '.join(known) or 'any that a glob lets in'}")
    name = robot or known[0]
    place = fleet.robot_place(name)
    if place is None:
        step = "run this on the robot, or make an episode afterwards: fleetbox episode new"
        raise NotFound(f"nothing here says how to reach {name}", step)
    return place

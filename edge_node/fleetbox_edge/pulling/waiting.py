"""Wait for what was asked of a robot: until it has labelled the window, and until its records are at the last site."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping

from fleetbox.blobs import Store
from fleetbox.errors import Incomplete, Unreachable
from fleetbox.events import Event, read_events
from fleetbox.orders import Answer, read_answers
from fleetbox.settings import FleetSettings, Place
from fleetbox_edge.awaiting import Patience, Tell, arrived, labelled
from fleetbox_edge.raising import Raised

SAY_S = 30.0  # a robot may be away for weeks: a line now and then shows that somebody still waits
CLOCKS_US = 86_400_000_000  # µs; a robot that was off for a month may be a day behind until it has the time


async def wait_for(
    fleet: FleetSettings, raised: Raised, tell: Tell, patience: Patience
) -> tuple[Event, Mapping[str, int], str]:
    """Return the event as the robot closed it, what arrived per stream, and where.

    An order waits for its robot without end. Raises Incomplete when the robot has nothing of it or will not do it,
    when nobody labels, or when nothing further arrives.
    """
    closed = await _closed(fleet, raised, tell, patience)
    if not sum(closed.labelled.values()):
        return closed, {}, raised.at
    there, at = await arrived(fleet, closed, tell, patience)
    return closed, there, at


async def _closed(fleet: FleetSettings, raised: Raised, tell: Tell, patience: Patience) -> Event:
    place = fleet.robot_place(raised.event.robot)
    if place is not None and not raised.waits:
        try:
            async with Store.at(place) as store:
                return await labelled(store, raised.event, fleet, tell, patience)
        except Unreachable:
            tell(f"{place.name} stopped answering; its sites are asked instead")
    return await _told(fleet, raised, tell, patience)


async def _told(fleet: FleetSettings, raised: Raised, tell: Tell, patience: Patience) -> Event:
    """Return the closing revision as soon as any place of the route has it."""
    robot, said_s, heard = raised.event.robot, time.monotonic(), set[str]()
    since_us = time.time_ns() // 1000 - CLOCKS_US
    while True:
        for place in fleet.route(robot):
            try:
                async with Store.at(place, timeout_s=SAY_S) as store:
                    closed, answers = await _look(store, place, raised, since_us)
            except Unreachable:
                continue
            if closed is not None:
                return closed
            for answer in answers:
                if (text := _heard(answer)) and text not in heard:
                    heard.add(text)
                    tell(text)
        if time.monotonic() - said_s > SAY_S:
            tell(f"{raised.event.id}: waiting for {robot}; the order stands, also when nobody waits for it")
            said_s = time.monotonic()
        await asyncio.sleep(patience.poll_s)


async def _look(store: Store, place: Place, raised: Raised, since_us: int) -> tuple[Event | None, list[Answer]]:
    """Return the event once it is closed, and else what the robot has answered so far."""
    event, bucket = raised.event, place.bucket(raised.event.robot, "meta")
    known = [one for one in await read_events(store, [bucket], start_us=event.start_us) if one.id == event.id]
    if known and known[0].state == "labelled":
        return known[0], []
    if not raised.order:
        return None, []
    answers = read_answers(store, bucket, since_us)
    return None, [answer async for answer in answers if answer.order == raised.order]


def _heard(answer: Answer) -> str:
    """Return what a person who waits should hear of an answer; raise Incomplete when nothing will come."""
    robot = answer.robot
    if answer.state == "nothing":
        raise Incomplete(
            f"{robot} has nothing of the window: {answer.reason}", f"fleetbox ls {robot} shows what it has"
        )
    if answer.state != "marked":
        raise Incomplete(f"{robot} did not do it ({answer.state}): {answer.reason}", f"fleetbox doctor {robot}")
    return f"{robot} ships it; {answer.reason}" if answer.reason else f"{robot} ships it"

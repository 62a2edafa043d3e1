"""Wait for what was pulled: until the robot has labelled the window, and until its records are at the last site."""

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
REFUSED = ("refused", "failed", "expired")


async def wait_for(
    fleet: FleetSettings, raised: Raised, tell: Tell, patience: Patience
) -> tuple[Event, Mapping[str, int], str]:
    """Return the event as the robot closed it, what arrived per stream, and where.

    An order waits for its robot without end. Raises Incomplete when the robot refuses it, when nobody labels, or when
    nothing further arrives.
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
    robot, said_s = raised.event.robot, time.monotonic()
    while True:
        for place in fleet.route(robot):
            try:
                async with Store.at(place, timeout_s=SAY_S) as store:
                    found = await _look(store, place, raised)
            except Unreachable:
                continue
            if found is not None:
                return found
        if time.monotonic() - said_s > SAY_S:
            tell(f"{raised.event.id}: waiting for {robot}; the order stands, also when nobody waits for it")
            said_s = time.monotonic()
        await asyncio.sleep(patience.poll_s)


async def _look(store: Store, place: Place, raised: Raised) -> Event | None:
    event, bucket = raised.event, place.bucket(raised.event.robot, "meta")
    known = [one for one in await read_events(store, [bucket], start_us=event.start_us) if one.id == event.id]
    if known and known[0].state == "labelled":
        return known[0]
    if raised.order:
        _check([answer async for answer in read_answers(store, bucket) if answer.order == raised.order])
    return None


def _check(answers: list[Answer]) -> None:
    for answer in answers:
        if answer.state in REFUSED:
            raise Incomplete(
                f"{answer.robot} {answer.state} the pull: {answer.reason}", f"fleetbox doctor {answer.robot}"
            )

"""Marks events on a scene's robot, as a person at any place would, and waits until they are closed."""

from __future__ import annotations

import time

from fleetbox.errors import Unreachable
from fleetbox.events import Event, new_event, read_events, write_event
from fleetbox_local.drill.scene import Scene, until
from fleetbox_local.drill.setting import ROBOT

PRE_US = 5_000_000
POST_US = 1_000_000


async def mark(scene: Scene, kind: str, pre_us: int = PRE_US, post_us: int = POST_US) -> Event:
    """Mark an event at this moment in the robot's own store."""
    now_us = time.time_ns() // 1000
    event = new_event(
        Event("", kind, ROBOT, now_us, now_us - pre_us, now_us + post_us, policy=scene.fleet.policy.hash, by="drill")
    )
    async with scene.store("robot") as store:
        await write_event(store, scene.place("robot").bucket(ROBOT, "meta"), event, now_us)
    return event


async def wait_closed(scene: Scene, timeout_s: float) -> None:
    """Wait until the labeler has closed every event on the robot: from then on what they select stands."""
    bucket = scene.place("robot").bucket(ROBOT, "meta")
    async with scene.store("robot") as store:

        async def closed() -> bool:
            try:
                return all(event.state == "labelled" for event in await read_events(store, [bucket]))
            except Unreachable:  # it may answer at the next look
                return False

        await until(closed, "the labeler did not close every event", timeout_s)

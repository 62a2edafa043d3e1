"""Hear of events that other processes of the robot raise, so that what circles here reaches the disk for them too."""

from __future__ import annotations

import asyncio

import structlog

from fleetbox.blobs import Store
from fleetbox.errors import FleetboxError
from fleetbox_edge.circling import Rings
from fleetbox_edge.door import RobotDoor
from fleetbox_replication.event_watch import EventWatch

log = structlog.get_logger()

LOOK_S = 0.3  # one small GET; a ring in memory holds 2 s more than its span, so that nothing is gone by then
BUCKET = "meta"


class EventEar:
    """Look for open events in the robot's own store while streams circle in this process."""

    def __init__(self, rings: Rings, door: RobotDoor) -> None:
        self._rings, self._door = rings, door
        self._watched: Store | None = None
        self._watch: EventWatch | None = None

    async def run(self) -> None:
        """Listen until cancelled; a store that is away is asked again, and what circles waits for it meanwhile."""
        while True:
            await asyncio.sleep(LOOK_S)
            if not self._rings.circles:
                continue
            try:
                await self.look()
            except FleetboxError as error:
                log.debug("events of other processes are not heard now", why=error.message)

    async def look(self) -> None:
        """Bring to the disk what events that are new here want. Raises FleetboxError."""
        store = self._door.store
        if self._watch is None or self._watched is not store:  # the token was replaced, and the client with it
            self._watched, self._watch = store, EventWatch(store, BUCKET, "")
        for event in await self._watch.news():
            self._rings.want(event)

"""Hear of events that other processes of the robot raise, so that what circles here reaches the disk for them too."""

from __future__ import annotations

import asyncio
import time

import structlog

from fleetbox.blobs import Store
from fleetbox.errors import FleetboxError
from fleetbox_edge.circling import Rings
from fleetbox_edge.door import RobotDoor
from fleetbox_edge.notices import Notices
from fleetbox_replication.event_watch import EventWatch

log = structlog.get_logger()

LOOK_S = 0.3  # one small GET; a ring in memory holds 2 s more than its span, so that nothing is gone by then
SWEEP_S = 30.0  # a notice is a file of 300 bytes, and its window is over
BUCKET = "meta"


class EventEar:
    """Look for open events in the notices of other processes and in the robot's store, while streams circle here."""

    def __init__(self, rings: Rings, door: RobotDoor, notices: Notices) -> None:
        self._rings, self._door, self._notices = rings, door, notices
        self._watched: Store | None = None
        self._watch: EventWatch | None = None
        self._swept_s = time.monotonic()

    async def run(self) -> None:
        """Listen until cancelled; a store that is away is asked again, and what circles waits for it meanwhile."""
        while True:
            await asyncio.sleep(LOOK_S)
            if not self._rings.circles:
                continue
            self.read()
            try:
                await self.look()
            except FleetboxError as error:
                log.debug("events of other processes are not heard now", why=error.message)

    def read(self) -> None:
        """Take up notices that are new; now and then remove old ones."""
        for event in self._notices.news():
            self._rings.want(event)
        if time.monotonic() - self._swept_s > SWEEP_S:
            self._swept_s = time.monotonic()
            self._notices.sweep(self._rings.clock.now_us())

    async def look(self) -> None:
        """Take up events in the store that are new. Raises FleetboxError."""
        store = self._door.store
        if self._watch is None or self._watched is not store:  # the token was replaced, and the client with it
            self._watched, self._watch = store, EventWatch(store, BUCKET, "")
        for event in await self._watch.news():
            self._rings.want(event)

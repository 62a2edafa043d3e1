"""What exactly one process per robot does: rings, tasks, the relay, the labeler."""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import structlog

from fleetbox.blobs import Store
from fleetbox.errors import AccessDenied, FleetboxError
from fleetbox.naming import CLASSES
from fleetbox.settings import RobotSettings
from fleetbox_edge.door import RobotDoor
from fleetbox_replication.apply import apply_place
from fleetbox_replication.labeler import Duty, Labeler
from fleetbox_replication.plan import plan
from fleetbox_replication.relay import Relay
from fleetbox_replication.relay_secret import relay_secret
from fleetbox_replication.scopes import one_robot
from fleetbox_replication.sweep import Sweeper
from fleetbox_replication.tasks import wanted_tasks

log = structlog.get_logger()

TAKE_OVER_S = 1.0  # how soon another process notices that the holder has died
AGAIN_S = 2.0  # after trouble with the store or the relay's port
RENEW_S = 60.0  # rings and tasks are looked at again: somebody may have removed one


class Duties:
    """Hold `state/duties.lock` and do the robot's duties, or wait until its holder dies.

    `settled` is set once rings and tasks are as they should be, or another process sees to them.
    """

    def __init__(self, settings: RobotSettings, door: RobotDoor, backlog: Callable[[], int | None]) -> None:
        self._settings, self._door, self._backlog = settings, door, backlog
        self.settled = asyncio.Event()
        self.held = asyncio.Event()
        self.trouble: FleetboxError | None = None

    async def run(self) -> None:
        """Wait for the lock, then serve until cancelled."""
        fd = await self._take_lock()
        try:
            self.held.set()
            await self._serve()
        finally:
            self.held.clear()
            os.close(fd)

    async def _take_lock(self) -> int:
        while True:
            fd = try_lock(lock_path(self._settings.state))
            if fd is not None:
                return fd
            self.settled.set()
            await asyncio.sleep(TAKE_OVER_S)

    async def _serve(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._insist(self._keep_rings, "rings and tasks"))
            group.create_task(self._insist(self._label, "labeler"))
            if self._settings.site_place() is not None:
                group.create_task(self._insist(self._pass_on, "relay"))

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

    async def _keep_rings(self) -> None:
        while True:
            for cls in CLASSES:
                await self._door.ensure_bucket(cls)
            await self._keep_tasks()
            self.settled.set()
            self.trouble = None
            await asyncio.sleep(RENEW_S)

    async def _keep_tasks(self) -> None:
        place, settings = self._settings.place(), self._settings
        if place.next is None:
            return
        rule = settings.policy.hop_rule(place.next)
        wanted = wanted_tasks(place, [settings.robot], rule, relay_secret(place.current_token()))
        changes = plan(place.name, wanted, await self._door.store.tasks())
        for done in await apply_place(self._door.store, place, changes, remove=True):
            if done.error is not None:
                raise done.error

    async def _label(self) -> None:
        await self.settled.wait()
        find = one_robot(self._settings.robot, lambda: self._settings.policy)
        duty = Duty(find, policy=self._settings.policy.hash, backlog=self._backlog)
        await Labeler(self._door.store, duty).run()

    async def _pass_on(self) -> None:
        site = self._settings.site_place()
        assert site is not None
        relay = Relay(
            self._settings.relay, site.url, site.current_token, relay_secret(self._door.place.current_token())
        )
        await relay.start()
        try:
            await Sweeper(lambda: self._door.store, lambda: Store.at(site), relay).run()
        finally:
            await relay.stop()


def lock_path(state: Path) -> Path:
    """Return the file whose lock says which process does the duties."""
    return state / "duties.lock"


def try_lock(path: Path, *, note: bool = True) -> int | None:
    """Take a lock file and note our process in it; return the descriptor, or None when another process holds it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(fd)
        return None
    if note:
        os.ftruncate(fd, 0)
        os.write(fd, str(os.getpid()).encode())
    return fd

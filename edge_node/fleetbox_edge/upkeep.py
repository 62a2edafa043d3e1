"""Keep a robot's buckets and tasks as robot.toml and the policy in force want them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

from fleetbox.naming import CLASSES
from fleetbox.settings import RobotSettings
from fleetbox_edge.door import RobotDoor
from fleetbox_edge.live_policy import LivePolicy
from fleetbox_edge.racing import either
from fleetbox_replication.apply import apply_place
from fleetbox_replication.onward import Onward
from fleetbox_replication.plan import plan
from fleetbox_replication.relay_secret import relay_secret
from fleetbox_replication.secret_mark import SecretMark, until_changed
from fleetbox_replication.tasks import wanted_tasks

RENEW_S = 60.0  # rings and tasks are looked at again: somebody may have removed one


class Upkeep:
    """Make buckets and tasks, and make them anew when a token or the policy changes; `stands` hears that they do."""

    def __init__(
        self, settings: RobotSettings, door: RobotDoor, live: LivePolicy, onward: Onward | None,
        stands: Callable[[], None],
    ) -> None:  # fmt: skip
        self._settings, self._door, self._live, self._onward, self._stands = settings, door, live, onward, stands
        self._switched = asyncio.Event()

    def follow(self) -> None:
        """Hear of policies from now on, whichever thread switches them."""
        loop = asyncio.get_running_loop()
        self._live.follow(lambda: _set_soon(loop, self._switched))

    async def run(self) -> None:
        """Keep them until cancelled; raises FleetboxError for what the store refuses."""
        while True:
            for cls in CLASSES:
                await self._door.ensure_bucket(cls)
            secret = await self._keep_tasks()
            self._stands()
            with suppress(TimeoutError):
                async with asyncio.timeout(RENEW_S):
                    await either(until_changed(self._door.place.current_token, secret), self._switched.wait())
            await self._door.renew()

    async def _keep_tasks(self) -> str:
        """Make the tasks as they should be; return the secret they show the relay."""
        place, settings = self._settings.place(), self._settings
        self._switched.clear()  # before the policy is read: one that comes meanwhile has us come again
        self._pace()
        secret = relay_secret(place.current_token())
        if place.next is None:
            return secret
        mark = SecretMark(settings.state, secret)
        policy = self._live.current
        uplink = policy.uplink or settings.uplink
        wanted = wanted_tasks(place, [settings.robot], policy.hop_rule(place.next), secret, uplink)
        changes = plan(place.name, wanted, await self._door.store.tasks(), renew=not mark.known)
        for done in await apply_place(self._door.store, place, changes, remove=True):
            if done.error is not None:
                raise done.error
        mark.keep()
        if self._onward is not None and any(change.action == "update" for change in changes):
            self._onward.alarm()
        return secret

    def _pace(self) -> None:
        """Have the relay keep the uplink that the policy in force says, else robot.toml's."""
        if self._onward is not None:
            uplink = self._live.current.uplink or self._settings.uplink
            self._onward.pace.max_bytes_s, self._onward.pace.order = uplink.max, uplink.order


def _set_soon(loop: asyncio.AbstractEventLoop, event: asyncio.Event) -> None:
    with suppress(RuntimeError):  # the loop has ended: nobody waits any more
        loop.call_soon_threadsafe(event.set)

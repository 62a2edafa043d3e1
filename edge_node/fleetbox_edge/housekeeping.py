"""Do a robot's work that can wait: room on its disk, pictures into video, and what is to travel later."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import structlog

from fleetbox.errors import InputError
from fleetbox.settings import RobotSettings
from fleetbox.settings.policy import Idle
from fleetbox_edge.idle import Follows, Idleness
from fleetbox_edge.live_policy import LivePolicy
from fleetbox_edge.ports import Door
from fleetbox_edge.retention import Keeper, KeeperOptions
from fleetbox_edge.transcoding import Transcoder
from fleetbox_edge.transcoding.transcoder import TranscoderOptions
from fleetbox_edge.triggers.condition import Condition
from fleetbox_edge.triggers.evaluator import Evaluator
from fleetbox_replication.census import Touches
from fleetbox_replication.late_shipping import LateOptions, LateShipping
from fleetbox_replication.onward import Onward

log = structlog.get_logger()

Chore = Callable[[], Awaitable[object]]


class Housekeeping:
    """Hold what the duties do beside their work; `run` watches for idleness and transcodes.

    Whatever removes or labels records is a chore, done in the labeler's loop: no record may go in the moment in which
    an event asks for it, and none is patched by two.
    """

    def __init__(
        self, settings: RobotSettings, door: Door, live: LivePolicy, onward: Onward | None, triggers: Evaluator | None
    ) -> None:
        self._settings, self._door, self._live, self._onward, self._triggers = settings, door, live, onward, triggers
        self._touches = Touches(settings.state / "touches")
        self.idleness = Idleness(lambda: live.current, self._watch, self._unwatch, self._heard_us)
        self.transcoder = Transcoder(
            door, settings.robot, lambda: live.current, settings.state,
            TranscoderOptions(idle=self._is_idle, proven=self._is_proven, touch=self._touches.note),
        )  # fmt: skip
        self.keeper = self._make_keeper()
        self._said = ""  # why nothing could be removed

    async def run(self) -> None:
        """Watch and transcode until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.idleness.run())
            group.create_task(self.transcoder.run())

    def chores(self, backlog: Callable[[], int | None], spent: Callable[[int], None]) -> tuple[Chore, ...]:
        """Return what the labeler is to do in its loop; `backlog` is the oldest time in µs not written yet."""
        late = LateShipping(
            lambda: self._door.store, lambda: self._live.current, self._settings.state / "late.json",
            LateOptions(idle=self._is_idle, backlog=backlog, touched=self._touches.note, spent=spent),
        )  # fmt: skip
        return late.step, self._clear, self._look

    async def _clear(self) -> None:
        await self._noted(self.transcoder.clear)

    async def _look(self) -> None:
        await self._noted(self.keeper.look)

    async def _noted(self, chore: Chore) -> None:
        """Do what notes first which records are to go; without room for the note nothing goes uncounted."""
        try:
            await chore()
        except OSError as error:
            if str(error) != self._said:
                log.warning("no record can be removed now", robot=self._settings.robot, why=str(error))
            self._said = str(error)

    def _make_keeper(self) -> Keeper:
        options, onward = KeeperOptions(filmed=self.transcoder.films.times, touch=self._touches.note), self._onward
        if onward is not None:
            options = replace(options, proven=onward.proven, knows=lambda: onward.knows)
        return Keeper(self._door, self._settings, lambda: self._live.current, options)

    def _is_idle(self) -> bool:
        return self.idleness.idle

    def _is_proven(self, cls: str, stream: str, minute_us: int) -> bool:
        return self.keeper.is_proven(cls, stream, minute_us)

    def _heard_us(self) -> int:
        """Return the clock by which conditions hold."""
        return self._triggers.heard_us() if self._triggers is not None else 0

    def _watch(self, idle: Idle) -> Follows | None:
        """Follow the policy's expression through what triggers hear; a faulty one is said, and the robot never idle."""
        if self._triggers is None or idle.on is None or idle.when is None:
            return None
        try:
            condition = Condition(idle.on, idle.when, idle.hold)
        except InputError as error:
            log.error("the policy's `idle` cannot work", robot=self._settings.robot, why=error.message)
            return None
        self._triggers.watch(condition)
        return condition

    def _unwatch(self, follows: Follows) -> None:
        if self._triggers is not None and isinstance(follows, Condition):
            self._triggers.unwatch(condition=follows)

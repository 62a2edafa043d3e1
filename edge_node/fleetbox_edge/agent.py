"""The asynchronous half of a recorder: carries the spool's contents into the store and does the robot's duties."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

import aiofiles.os
import structlog

from fleetbox.errors import AccessDenied, FleetboxError, InputError
from fleetbox.labels import Labels
from fleetbox.settings import RobotSettings
from fleetbox_edge.courier.telling import kind_of
from fleetbox_edge.door import RobotDoor
from fleetbox_edge.duties import Duties
from fleetbox_edge.event_ear import EventEar
from fleetbox_edge.leftovers import Leftovers
from fleetbox_edge.live_policy import LivePolicy
from fleetbox_edge.live_rows import LiveRows
from fleetbox_edge.notices import Notices
from fleetbox_edge.parcels import Gone, Parcel
from fleetbox_edge.ports import Hooks
from fleetbox_edge.schemas import Schemas
from fleetbox_edge.selection import labels_at_write
from fleetbox_edge.session import Session
from fleetbox_edge.spending import Spending
from fleetbox_edge.store_disk import StoreDisk
from fleetbox_edge.telling import Teller
from fleetbox_edge.triggers.evaluator import Evaluator
from fleetbox_edge.writer import Writer
from fleetbox_replication.census import Touches

log = structlog.get_logger()

TICK_S = 0.1  # chunks close within a tick of their bound; a spare segment is ready before a camera needs it
SETTLE_S = 5.0  # records wait this long for tasks to stand: what is written before them travels only when repaired
STEP_NS = 1_000_000_000  # a clock that jumped by more was set, not slewed: stamps of two anchors must not mix
FOLLOW_S = 0.5  # how soon every process of a robot has a new policy: one stat a look
LOOK_AGAIN_S = 5.0  # how soon the spool of another process that died is found


class Agent:
    """Run one recorder's background work on one event loop; with `duties` also the robot's, if no other does."""

    def __init__(self, settings: RobotSettings, session: Session, live: LivePolicy, *, duties: bool) -> None:
        self._settings, self._session, self._live = settings, session, live
        self.door = RobotDoor(settings.place(), settings.state / "turns")
        self.schemas = Schemas(self.door, settings.robot, session.bound_us)
        self.spending = Spending(settings.state / "spent")
        self.writer = Writer(session, self.door, settings.robot, self._hooks())
        self.teller = Teller(session, self.door, settings.robot)
        self.triggers = Evaluator(settings, session, live, self._push)
        self.duties = Duties(settings, self.door, live, session.oldest_us, self.triggers, self._say) if duties else None
        self.leftovers = Leftovers(session, self.door)
        self.troubles: dict[str, FleetboxError] = {}
        self.replaying = True  # until the first look at what dead processes left is over
        self._policy = live.current  # by which records are kept: the one before it until all that is followed suit
        self._kept_cache: dict[tuple[str, str], Labels] = {}
        self._ready = asyncio.Event()
        live.follow(self._kept_anew)

    def _hooks(self) -> Hooks:
        settings = self._settings
        touches = Touches(settings.state / "touches")
        disk = StoreDisk(settings.store, settings.store_data)
        return Hooks(self._kept, self._made, touches.note, self._trouble, disk.room)

    async def run(self) -> None:
        """Work until cancelled."""
        jobs: list[Coroutine[Any, Any, None]] = [
            self._tick(), self._write(), self._schemas(), self._sync(), self._replay(), self._tell(),
            self._follow(), self._circle(), self._watch(), self.triggers.run(),
            LiveRows(self._session.tap, self._settings.state).run(),
        ]  # fmt: skip
        if self.duties is not None:
            jobs.append(self._serve(self.duties))
        try:
            async with asyncio.TaskGroup() as group:
                for job in jobs:
                    group.create_task(job)
        finally:
            self.spending.flush(now=True)
            await self.door.close()

    def kick(self, cls: str | None = None) -> None:
        """Send what waits; callable from any thread through the loop."""
        self.writer.kick(cls)

    def _push(self) -> None:
        self._session.seal_all()  # what an event asks for is in the store as soon as the event
        self.kick()

    async def _serve(self, duties: Duties) -> None:
        """Keep the duties going: whatever fails there, the robot goes on being recorded."""
        while True:
            try:
                await duties.run()
            except Exception as error:
                duties.trouble = FleetboxError(f"the duties of {self._settings.robot} failed: {error!r}")
                log.exception("duties begin again", robot=self._settings.robot)
            await asyncio.sleep(LOOK_AGAIN_S)

    async def _write(self) -> None:
        if self.duties is not None:
            try:
                async with asyncio.timeout(SETTLE_S):
                    await self.duties.settled.wait()
            except TimeoutError:
                log.warning("records are written before the robot's tasks stand", robot=self._settings.robot)
        self._ready.set()
        await self.writer.run()

    async def _schemas(self) -> None:
        await self._ready.wait()
        await self.schemas.run()

    async def _tell(self) -> None:
        await self._ready.wait()
        await self.teller.run()

    async def _tick(self) -> None:
        session = self._session
        margin_us = 2 * int(TICK_S * 1e6)
        while True:
            await asyncio.sleep(TICK_S)
            session.seal_all(session.clock.now_us() - session.bound_us + margin_us)
            await self._make_spares()
            await self._lighten()
            await self._collect()
            if abs(session.clock.step_ns()) > STEP_NS:
                log.warning("the clock was set; a new session begins", robot=self._settings.robot)
                session.renew()

    async def _make_spares(self) -> None:
        with self._session.lock:
            due = self._session.spool.due_spare()
        if due is None:
            return
        await asyncio.to_thread(self._session.make_spare, *due)

    async def _lighten(self) -> None:
        """Pack rows that no longer fit in memory into the spool."""
        heavy = self._session.outbox.heavy
        while heavy:
            parcel = heavy.popleft()
            if parcel.state != "waiting":
                continue
            try:
                body = await asyncio.to_thread(parcel.payload)
            except (Gone, InputError):
                continue  # sent or given up meanwhile; what cannot be packed the writer meets too, and counts
            self._session.compact(parcel, body)

    async def _collect(self) -> None:
        garbage = self._session.spool.garbage
        while garbage:
            segment = garbage.popleft()
            segment.release()
            with suppress(OSError):  # gone already, when room was needed at once
                await aiofiles.os.remove(segment.path)

    async def _sync(self) -> None:
        spool = self._settings.spool
        classes = [cls for cls, mode in spool.fsync.items() if mode != "never"]
        while classes:
            await asyncio.sleep(spool.fsync_every / 1e6)
            with self._session.lock:
                segments = [segment for cls in classes for segment in self._session.spool.unsynced(cls)]
            for segment in segments:
                with suppress(OSError):  # freed meanwhile: the store has it
                    await asyncio.to_thread(segment.sync)
            with self._session.lock:
                for cls in classes:
                    self._session.spool.sweep(cls)

    async def _replay(self) -> None:
        await self._ready.wait()
        while True:
            try:
                await self.leftovers.run()
                self._trouble("spool", None)
            except OSError as error:
                self._trouble("spool", FleetboxError(f"a leftover spool cannot be read: {error}"))
            self.replaying = False
            await asyncio.sleep(LOOK_AGAIN_S)

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(FOLLOW_S)
            self._live.look()
            self.spending.flush()

    async def _circle(self) -> None:
        """Bring what events claimed of rings in memory into the spool, and let the rest grow old."""
        while True:
            await asyncio.sleep(TICK_S)
            if self._session.claims:
                await asyncio.to_thread(self._session.move_all)
            self._session.turn()

    async def _watch(self) -> None:
        """Hear of events that other processes raise, while anything circles here."""
        await EventEar(self._session, self.door, Notices(self._settings.state)).run()

    def _say(self, stream: str, body: bytes, labels: Labels) -> None:
        """Record what the duties have to say as a program's own records: safe at once, sent when the store takes it."""
        self._session.blob(stream, kind_of(stream), body, None, labels)
        self.writer.kick("meta")

    def _made(self, parcel: Parcel, body: bytes) -> None:
        """Learn from a record on its way to the store; what is selected as it is written counts against the budget."""
        self.schemas.learn(parcel, body)
        if "keep" in self._kept(parcel.address.cls, parcel.address.stream):
            self.spending.add(len(body))

    def _kept_anew(self) -> None:
        """Have what was accepted so far be kept as the policy said when it was, whenever it is written."""
        session = self._session
        with session.lock:
            session.seal_all()
            for parcel in session.outbox.outstanding():
                if parcel.kept is None:
                    parcel.kept = self._kept(parcel.address.cls, parcel.address.stream)
            self._policy = self._live.current
            self._kept_cache = {}  # another dict: whoever is just filling the old one fills nothing that counts

    def _kept(self, cls: str, stream: str) -> Labels:
        cache = self._kept_cache
        if (cls, stream) not in cache:
            cache[cls, stream] = labels_at_write(self._policy, cls, stream)
        return cache[cls, stream]

    def _trouble(self, cls: str, error: FleetboxError | None) -> None:
        """Remember what stands in the way of a class, and say it when it changes."""
        before = self.troubles.get(cls)
        if error is None:
            self.troubles.pop(cls, None)
            if before is not None:
                log.info("records are written again", cls=cls, robot=self._settings.robot)
            return
        self.troubles[cls] = error
        if before is None or type(before) is not type(error):
            step = error.next_step or "nothing: it is tried again"
            level = log.error if isinstance(error, AccessDenied) else log.warning
            level("records wait in the spool", cls=cls, robot=self._settings.robot, why=error.message, next=step)

"""Save what was promoted and would be overwritten before its site has it: copy it from the ring to `kept`.

Nothing else is copied: what no policy selected turns over freely, and what the site has proven to hold needs no saving.
Once the site holds what was saved, it leaves `kept` again as soon as that is half full.
What is foreseen of rings, disk and `kept` is told in passing (`Health`).
"""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import structlog

from fleetbox.errors import AccessDenied, FleetboxError, NotFound, StoreRefused
from fleetbox.ledger import MINUTE_US
from fleetbox.naming import RING_CLASSES
from fleetbox.settings import RobotSettings
from fleetbox_edge.forecast import Forecast, Seen, forecast
from fleetbox_edge.health import Health
from fleetbox_edge.horizon import Look, Ring, doomed, growth_rate, margin_bytes, mean_rate, smoothed
from fleetbox_edge.release import KEPT, Calm, FindProven, Moment, Release, Touch
from fleetbox_edge.rescue import Due, IsProven, NoRoom, Rescue, Room
from fleetbox_edge.writer import Door

log = structlog.get_logger()

LOOK_S = 5.0  # a hundredth of the margin: what is written between two looks cannot outrun it
SHORTEST_S = 0.2  # a ring that turns in seconds is a test or a mistake: it gets what a busy core allows
LOOKS_A_TURN = 200  # a ring that turns in minutes is looked at before much of it can go
WAITING_S = 30.0  # what waits is asked for: a day's outage is some ten thousand minutes to list
FULL_WAIT_S = 60.0  # while nothing can be saved: soon enough after somebody made room, and listing costs time


@dataclass(slots=True)
class Guarded:
    """Count what the guard did since it began, in records; `full` says why it cannot save what is due, else None.

    `released` were saved, are proven at the site and were taken out of `kept` again; `at_risk` were due at the last
    look and could not be saved.
    """

    saved: int = 0
    saved_bytes: int = 0
    released: int = 0
    at_risk: int = 0
    full: str | None = None


class Minute(Protocol):
    """Name a minute of a stream that the site is not proven to hold."""

    @property
    def cls(self) -> str:
        """Return the class."""

    @property
    def stream(self) -> str:
        """Return the stream."""

    @property
    def minute_us(self) -> int:
        """Return its start in µs."""


@dataclass(frozen=True, slots=True)
class GuardOptions:
    """Bring in time, disk, and what the site holds.

    `unproven` yields the minutes not proven there, the oldest first; `proven` finds those of a stream that are;
    `touch` tells the ledger which minutes to count again.
    """

    unproven: Callable[[], Iterable[Minute]] = tuple
    proven: FindProven = lambda bucket, stream, start_us, count: ()
    touch: Touch = lambda cls, stream, time_us: None
    calm: Calm = field(default_factory=Calm)
    free_bytes: Callable[[], int] | None = None  # of the disk that the robot's state is on, which its store shares
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    monotonic_s: Callable[[], float] = time.monotonic
    now_us: Callable[[], int] = lambda: time.time_ns() // 1000


class Guard:
    """Watch the rings of a robot's store. `is_proven` tells of which minutes the site holds all that is selected.

    A minute of which nothing is selected may count as proven or not. `run` never raises into its holder: what goes
    wrong is said and tried again. `seen` is the forecast by the last look, None before the first.
    """

    def __init__(
        self, door: Door, settings: RobotSettings, is_proven: IsProven, options: GuardOptions | None = None
    ) -> None:
        self._door, self._settings, self._options = door, settings, options or GuardOptions()
        self._rescue = Rescue(door, is_proven, self._options.touch)
        self._release = Release(door, self._options.proven, self._options.touch, self._options.calm)
        self._health = Health(lambda: door.store)
        self._before: dict[str, Look] = {}
        self._rates: dict[str, float] = {}  # smoothed, for the forecast
        self._oldest_us: dict[str, int] = {}
        self._asked_s = float("-inf")
        self._wait_s = LOOK_S
        self._said = False
        self.counts = Guarded()
        self.seen: Forecast | None = None

    async def run(self) -> None:
        """Look and save until cancelled."""
        while True:
            try:
                await self.look()
            except (FleetboxError, OSError) as error:
                log.debug("guard waits", robot=self._settings.robot, why=str(error))
                if isinstance(error, AccessDenied):
                    with suppress(FleetboxError):
                        await self._door.renew()
            await self._options.sleep(self._wait_s)

    async def look(self) -> int:
        """Look at every ring once and save what is due, what goes first first; return how many records were saved."""
        counts, before = self.counts, self.counts.saved
        self._wait_s, counts.at_risk = LOOK_S, 0
        dues = [due for cls in RING_CLASSES if (due := await self._due(cls))]
        kept = await self._make_room(await self._kept())
        spare_bytes = self._free_bytes() - self._settings.ring.leave_free
        room, full = _room(kept, spare_bytes), None
        for due, stream in [(ring, stream) for ring in dues for stream in ring.until_us]:
            try:
                done = await self._rescue.save(due, stream, room)
            except NoRoom as end:
                full, done = str(end), end.done
                self._wait_s = max(self._wait_s, min(FULL_WAIT_S, due.again_s))
            except StoreRefused as refusal:  # one stream in trouble must not keep the others from being saved
                log.warning("the guard passes a stream over", robot=self._settings.robot, why=refusal.message)
                continue
            counts.saved += done.saved
            counts.saved_bytes += done.saved_bytes
            counts.at_risk += done.left
        self._say(full)
        await self._foretell(kept, spare_bytes)
        return counts.saved - before

    async def _due(self, cls: str) -> Due | None:
        """Find out which entries of a ring go next; None when none do."""
        store = self._door.store
        try:
            spec, entries = await store.bucket_spec(cls), await store.entries(cls)
        except NotFound:
            return None  # the duties have not made it yet
        ring = Ring(spec.quota_bytes if spec and spec.quota_type == "FIFO" else 0, tuple(entries))
        look, before = Look(ring, self._options.monotonic_s()), self._before.get(cls)
        rate = max(mean_rate(ring), growth_rate(before, look) if before else 0.0)
        self._rates[cls] = smoothed(self._rates[cls], before, look) if before else mean_rate(ring)
        self._before[cls] = look
        until_us = doomed(ring, margin_bytes(ring, rate))
        if not until_us:
            return None
        turn_s = ring.quota_bytes / max(rate, 1.0)
        self._wait_s = min(self._wait_s, max(SHORTEST_S, turn_s / LOOKS_A_TURN))
        return Due(cls, {entry.name: entry for entry in entries}, until_us, ring.newest_us, turn_s, look.at_s)

    async def _kept(self) -> Ring:
        """Return `kept` as it stands; without a quota when it is not bounded."""
        store = self._door.store
        await self._door.ensure_bucket(KEPT)
        spec, entries = await store.bucket_spec(KEPT), await store.entries(KEPT)
        return Ring(spec.quota_bytes if spec and spec.quota_type == "HARD" else 0, tuple(entries))

    async def _make_room(self, kept: Ring) -> Ring:
        """Let go of what the site holds; return `kept` as it stands then."""
        at_s = self._options.monotonic_s()
        if not self._release.is_due(at_s):
            return kept
        waiting = {minute.stream for minute in self._options.unproven() if minute.cls == KEPT}
        rings = {cls: look.ring for cls, look in self._before.items()}
        try:
            freed = await self._release.make_room(kept, Moment(at_s, self._options.now_us(), rings, waiting))
        except StoreRefused as refusal:  # saving goes on with the room there is
            log.warning("the guard cannot make room in kept", robot=self._settings.robot, why=refusal.message)
            return kept
        self.counts.released += freed.records
        return await self._kept() if freed.records else kept

    def _free_bytes(self) -> int:
        return self._options.free_bytes() if self._options.free_bytes else free_bytes_of(self._settings.state)

    async def _foretell(self, kept: Ring, spare_bytes: int) -> None:
        """Make the forecast and tell it where the site can read it."""
        now_s = self._options.monotonic_s()
        if now_s - self._asked_s >= WAITING_S:
            self._asked_s, self._oldest_us = now_s, self._oldest()
        rings = {cls: look.ring for cls, look in self._before.items()}
        seen = Seen(
            self._settings.robot, self._options.now_us(), rings, self._rates, self._oldest_us, kept, spare_bytes
        )
        counts = self.counts
        self.seen = forecast(seen, saved=counts.saved, at_risk=counts.at_risk, full=counts.full)
        with suppress(NotFound):  # the duties have not made `meta` yet
            await self._health.tell(self.seen)

    def _oldest(self) -> dict[str, int]:
        """Return per class the oldest minute that is not proven and still in its ring; what has left it is settled."""
        oldest_us: dict[str, int] = {}
        for minute in self._options.unproven():
            look = self._before.get(minute.cls)
            if look is not None and minute.minute_us + MINUTE_US > look.ring.oldest_us:
                oldest_us.setdefault(minute.cls, minute.minute_us)
        return oldest_us

    def _say(self, full: str | None) -> None:
        """Say once that nothing more can be saved, and once that it can be again."""
        self.counts.full = full
        if (full is not None) == self._said:
            return
        self._said = full is not None
        if full is None:
            log.info("records can be saved in kept again", robot=self._settings.robot)
            return
        step = "bring the link to the site back, or give `ring.kept` in robot.toml more room"
        log.warning(
            "kept takes no more: promoted records will be overwritten before the site has them",
            robot=self._settings.robot, why=full, at_risk=self.counts.at_risk, next=step,
        )  # fmt: skip


def _room(kept: Ring, spare_bytes: int) -> Room:
    """Return how much may be copied: what `kept` has left, and never below the disk's floor."""
    disk = Room(spare_bytes, "the disk has reached its floor")
    if not kept.quota_bytes or spare_bytes < kept.room_bytes:
        return disk
    return Room(kept.room_bytes, "kept is full")


def free_bytes_of(path: Path) -> int:
    """Return the free bytes of the disk that a path is on, or will be."""
    there = next(folder for folder in (path.absolute(), *path.absolute().parents) if folder.exists())
    return shutil.disk_usage(there).free

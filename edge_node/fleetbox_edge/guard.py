"""Save what was promoted and would be overwritten before its site has it: copy it from the ring to `kept`.

Nothing else is copied: what no policy selected turns over freely, and what the site has proven to hold needs no saving.
"""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import structlog

from fleetbox.errors import AccessDenied, FleetboxError, NotFound, StoreRefused
from fleetbox.naming import RING_CLASSES
from fleetbox.settings import RobotSettings
from fleetbox_edge.horizon import Look, Ring, doomed, margin_bytes, write_rate
from fleetbox_edge.rescue import KEPT, Due, IsProven, NoRoom, Rescue, Room
from fleetbox_edge.writer import Door

log = structlog.get_logger()

LOOK_S = 5.0  # a hundredth of the margin: what is written between two looks cannot outrun it
SHORTEST_S = 0.2  # a ring that turns in seconds is a test or a mistake: it gets what a busy core allows
LOOKS_A_TURN = 200  # a ring that turns in minutes is looked at before much of it can go
FULL_WAIT_S = 60.0  # while nothing can be saved: soon enough after somebody made room, and listing costs time


@dataclass(slots=True)
class Guarded:
    """Count what the guard did since it began, in records; `full` says why it cannot save what is due, else None.

    `at_risk` are the records that were due at the last look and could not be saved.
    """

    saved: int = 0
    saved_bytes: int = 0
    at_risk: int = 0
    full: str | None = None


class Guard:
    """Watch the rings of a robot's store. `is_proven` tells of which minutes the site holds all that is selected.

    A minute of which nothing is selected counts as proven. `run` never raises into its holder: what goes wrong is
    said and tried again. `rings` and `rates` (bytes a second, by class) are those of the last look.
    """

    def __init__(
        self,
        door: Door,
        settings: RobotSettings,
        is_proven: IsProven,
        *,
        free_bytes: Callable[[], int] | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._door, self._settings = door, settings
        self._free_bytes = free_bytes or (lambda: free_bytes_of(settings.state))
        self._sleep, self._monotonic_s = sleep, monotonic_s
        self._rescue = Rescue(door, is_proven)
        self._before: dict[str, Look] = {}
        self._wait_s = LOOK_S
        self._said: str | None = None
        self.counts = Guarded()
        self.rings: dict[str, Ring] = {}
        self.rates: dict[str, float] = {}

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
            await self._sleep(self._wait_s)

    async def look(self) -> int:
        """Look at every ring once and save what is due, what goes first first; return how many records were saved."""
        counts, before = self.counts, self.counts.saved
        self._wait_s, counts.at_risk = LOOK_S, 0
        dues = [due for cls in RING_CLASSES if (due := await self._due(cls))]
        room = await self._room() if dues else Room()
        full: str | None = None
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
        self._tell(full)
        return counts.saved - before

    async def _due(self, cls: str) -> Due | None:
        """Find out which entries of a ring go next; None when none do."""
        store = self._door.store
        try:
            spec, entries = await store.bucket_spec(cls), await store.entries(cls)
        except NotFound:
            return None  # the duties have not made it yet
        ring = Ring(spec.quota_bytes if spec and spec.quota_type == "FIFO" else 0, tuple(entries))
        look = Look(ring, self._monotonic_s())
        rate = write_rate(self._before.get(cls), look)
        self._before[cls], self.rings[cls], self.rates[cls] = look, ring, rate
        until_us = doomed(ring, margin_bytes(ring, rate))
        if not until_us:
            return None
        turn_s = ring.quota_bytes / max(rate, 1.0)
        self._wait_s = min(self._wait_s, max(SHORTEST_S, turn_s / LOOKS_A_TURN))
        return Due(cls, {entry.name: entry for entry in entries}, until_us, ring.newest_us, turn_s, look.at_s)

    async def _room(self) -> Room:
        """Tell how much may be copied: what `kept` has left, and never below the disk's floor."""
        store = self._door.store
        await self._door.ensure_bucket(KEPT)
        spec, entries = await store.bucket_spec(KEPT), await store.entries(KEPT)
        disk = Room(self._free_bytes() - self._settings.ring.leave_free, "the disk has reached its floor")
        if spec is None or spec.quota_type != "HARD":
            return disk
        kept = Room(spec.quota_bytes - sum(entry.size_bytes for entry in entries), "its quota is used up")
        return min(kept, disk, key=lambda room: room.left_bytes)

    def _tell(self, full: str | None) -> None:
        """Say once that nothing more can be saved, and once that it can be again."""
        self.counts.full = full
        if (full is None) == (self._said is None):
            return
        self._said = full
        if full is None:
            log.info("records can be saved in kept again", robot=self._settings.robot)
            return
        step = "bring the link to the site back, or give `ring.kept` in robot.toml more room"
        log.warning(
            "kept takes no more: promoted records will be overwritten before the site has them",
            robot=self._settings.robot, why=full, at_risk=self.counts.at_risk, next=step,
        )  # fmt: skip


def free_bytes_of(path: Path) -> int:
    """Return the free bytes of the disk that a path is on, or will be."""
    there = next(folder for folder in (path.absolute(), *path.absolute().parents) if folder.exists())
    return shutil.disk_usage(there).free

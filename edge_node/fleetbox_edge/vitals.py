"""Log how a robot's machine and its agent stand, as rows of the streams `fleetbox/host` and `fleetbox/agent`."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import structlog

from fleetbox.errors import FleetboxError, NotFound
from fleetbox.machine import Machine, finite
from fleetbox.measurements import AGENT_STREAM, HOST_STREAM
from fleetbox.settings import RobotSettings
from fleetbox_edge.drops import SUFFIX, read_drops
from fleetbox_edge.duties import Duties
from fleetbox_edge.recorder import Recorder
from fleetbox_edge.spool.spool import lock_folder, spool_folders
from fleetbox_edge.store_disk import store_folder
from fleetbox_replication.dead_letters import DeadLetters, letters_of

log = structlog.get_logger()

LOCK = "health"  # folder in the state folder: of two agents on one robot only one measures
IN_USE = 2  # segments of a class that may stand while nothing waits: the one being written and a spare

Row = dict[str, float]


@dataclass(frozen=True, slots=True)
class Clocks:
    """Bring in time: µs since the epoch and seconds that only run forward."""

    now_us: Callable[[], int] = lambda: time.time_ns() // 1000
    monotonic_s: Callable[[], float] = time.monotonic


class Vitals:
    """Log a row of each stream when it is due; `tick` is called about once a second and costs nothing until then."""

    def __init__(self, recorder: Recorder, clocks: Clocks | None = None) -> None:
        settings = recorder.settings
        self._recorder, self._settings, self._clocks = recorder, settings, clocks or Clocks()
        self._machine, self._uplink = Machine(), Uplink()
        self._store_folder = settings.store_data
        self._due_s = self._clocks.monotonic_s()  # a row at once: a board shows a robot that has just started
        self._lock_fd: int | None = None
        self._said = ""

    def tick(self) -> bool:
        """Measure and log if that is due; return whether it was. What cannot be measured is left out and said once."""
        every_us, now_s = self._settings.agent.health, self._clocks.monotonic_s()
        if every_us is None or now_s < self._due_s:
            return False
        self._due_s = max(self._due_s + every_us / 1e6, now_s)
        if not self._may():
            return False
        try:
            self._recorder.log(HOST_STREAM, self._machine.read(self._folder()))
            self._recorder.log(AGENT_STREAM, self.agent_row())
        except (FleetboxError, OSError) as error:  # an agent that cannot measure itself goes on working
            if str(error) != self._said:
                log.warning("the agent's health is not measured", robot=self._settings.robot, why=str(error))
            self._said = str(error)
        return True

    def close(self) -> None:
        """Let another agent measure."""
        if self._lock_fd is not None:
            os.close(self._lock_fd)
            self._lock_fd = None

    def agent_row(self) -> Row:
        """Return the row of `fleetbox/agent` as of now."""
        settings, duties = self._settings, self._recorder.duties
        folders = spool_folders(settings.state / "spool" / settings.robot)
        found: dict[str, float | None] = {
            "policy": float(self._recorder.live.current.version),
            "spool.bytes": float(sum(_size(path) for folder in folders for path in folder.glob("*.seg"))),
            "spool.oldest_s": self._oldest_s(folders),
            "dropped": float(sum(_dropped(path) for folder in folders for path in folder.glob(f"*{SUFFIX}"))),
            "dead_letters": _letters(settings),
        }
        if duties is not None:
            found |= rings(duties) | self._uplink.measure(duties, self._clocks.monotonic_s())
        return finite(found)

    def _may(self) -> bool:
        if self._lock_fd is None:
            folder = self._settings.state / LOCK
            with suppress(OSError):
                folder.mkdir(parents=True, exist_ok=True)
                self._lock_fd = lock_folder(folder)
        return self._lock_fd is not None

    def _folder(self) -> Path:
        """Return a folder on the disk of the robot's store; that of our own state where it cannot be told."""
        if self._store_folder is None or not self._store_folder.exists():
            self._store_folder = store_folder(self._settings.store)
        return self._store_folder or self._settings.state

    def _oldest_s(self, folders: list[Path]) -> float:
        """Return for how long the oldest row has waited for the store; 0 when nothing waits.

        Of other programs only full segments show: they are as old as their files.
        """
        now_us, own = self._clocks.now_us(), self._recorder.oldest_waiting_us()
        at_us = [] if own is None else [own]
        at_us += [made for folder in folders for made in _waiting_since_us(folder)]
        return max(0.0, (now_us - min(at_us, default=now_us)) / 1e6)


class Uplink:
    """Tell how many bytes a second left the robot between two looks."""

    def __init__(self) -> None:
        self._before: tuple[float, int] | None = None

    def measure(self, duties: Duties, now_s: float) -> dict[str, float | None]:
        """Return the rate since the look before, and the cap; {} without a site."""
        if duties.onward is None:
            return {}
        pace, before = duties.onward.pace, self._before
        self._before = (now_s, pace.sent_bytes)
        rate = None
        if before is not None and now_s > before[0]:
            rate = (pace.sent_bytes - before[1]) / (now_s - before[0])
        return {"uplink.bytes_s": rate, "uplink.max_bytes_s": pace.max_bytes_s}


def rings(duties: Duties) -> dict[str, float | None]:
    """Return per ring class the bytes it holds, and how many hours it holds at its present rate; as the guard saw."""
    seen = duties.guard.seen if duties.guard is not None else None
    found: dict[str, float | None] = {}
    for cls, ring in (seen.rings if seen is not None else {}).items():
        found[f"ring.{cls}.used_bytes"] = float(ring.size_bytes)
        found[f"ring.{cls}.held_h"] = ring.holds_h
    return found


def _letters(settings: RobotSettings) -> float | None:
    """Return how many records the site would not take; None where no site is."""
    if settings.site_place() is None:
        return None
    try:
        letters = DeadLetters.read(letters_of(settings.state))
    except NotFound:
        return 0.0  # no relay has run yet
    try:
        return float(len(letters))
    finally:
        letters.close()


def _dropped(path: Path) -> int:
    """Return how many rows and blobs one file of drops names."""
    with suppress(OSError, ValueError):
        return sum(drop.rows for drop, _ in read_drops(path.read_bytes()))
    return 0


def _waiting_since_us(folder: Path) -> Iterator[int]:
    """Yield for each class when its oldest segment was made, where more stand than are in use."""
    chains: dict[str, list[Path]] = {}
    for path in sorted(folder.glob("*.seg")):
        chains.setdefault(path.name.partition("-")[0], []).append(path)
    for chain in chains.values():
        if len(chain) > IN_USE:
            with suppress(OSError):  # freed meanwhile: the store has it
                yield chain[0].stat().st_ctime_ns // 1000


def _size(path: Path) -> int:
    with suppress(OSError):  # freed meanwhile
        return path.stat().st_size
    return 0

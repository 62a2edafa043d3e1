"""Leave events for the robot's other processes, and for its next start, in a folder: they need no store for it."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import structlog

from fleetbox import events
from fleetbox.errors import InputError
from fleetbox.settings import Policy

log = structlog.get_logger()

SUFFIX = ".json"
LATE_US = 60_000_000  # µs; a notice lies so long after its window's end


def circles_anywhere(policy: Policy) -> bool:
    """Tell whether any stream circles in memory only."""
    return any(rule.ring is not None for rule in policy.stream.values())


class Notices:
    """Write and read events in `state/notices`, one file each, while their windows last."""

    def __init__(self, state: Path) -> None:
        self._folder = state / "notices"
        self._known: set[str] = set()

    def post(self, event: events.Event) -> None:
        """Leave an event that was raised here. What the disk refuses the others still hear of through the store."""
        path = self._folder / f"{event.id}{SUFFIX}"
        fresh = path.with_suffix(f".{os.getpid()}")
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            fresh.write_bytes(events.encode(event))
            fresh.replace(path)
        except OSError as error:
            log.warning("an event is told to other processes through the store alone", why=str(error))

    def news(self) -> list[events.Event]:
        """Return the events that are new here."""
        try:
            names = {path.name for path in self._folder.iterdir() if path.suffix == SUFFIX}
        except OSError:  # nobody has left any yet
            return []
        fresh = [event for name in sorted(names - self._known) if (event := self._read(name)) is not None]
        self._known = names
        return fresh

    def sweep(self, now_us: int) -> None:
        """Remove those whose windows are over."""
        for name in self._known:
            event = self._read(name)
            if event is None or event.stop_us < now_us - LATE_US:
                with suppress(OSError):  # another process was quicker
                    (self._folder / name).unlink()

    def _read(self, name: str) -> events.Event | None:
        try:
            return events.decode((self._folder / name).read_bytes())
        except (OSError, InputError):  # swept by another process, or torn by a power cut
            return None

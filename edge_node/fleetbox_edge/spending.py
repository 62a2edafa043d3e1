"""Add up the bytes that were selected to travel, over all of a robot's processes and their restarts.

Each process appends what it selected to `state/spent/<hour>`, a line every few seconds; whoever judges sums them up.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import structlog

log = structlog.get_logger()

HOUR_US, MINUTE_US, DAY_US = 3_600_000_000, 60_000_000, 86_400_000_000
FLUSH_US = 5_000_000  # µs; what kill -9 may leave uncounted, against a line of 30 bytes each time
KEEP_HOURS = 26  # a day, and the hours at both its ends


@dataclass
class _Hour:
    """Hold what was read of one hour's file: up to which byte, and bytes selected by minute."""

    read_bytes: int = 0
    minutes: dict[int, int] = field(default_factory=dict)


class Spending:
    """Count selected bytes and tell how many there were since a time; thread-safe.

    `folder` is shared by the robot's processes; one that cannot be written loses counts and nothing else.
    """

    def __init__(self, folder: Path, now_us: Callable[[], int] = lambda: time.time_ns() // 1000) -> None:
        self._folder, self._now_us = folder, now_us
        self._waiting_bytes, self._flushed_us = 0, 0
        self._lock = threading.Lock()
        self._hours: dict[str, _Hour] = {}

    def add(self, size_bytes: int) -> None:
        """Count bytes that were just selected."""
        with self._lock:
            self._waiting_bytes += size_bytes

    def flush(self, *, now: bool = False) -> None:
        """Write down what was counted when that is due, or at once."""
        now_us = self._now_us()
        with self._lock:
            due = now or not 0 <= now_us - self._flushed_us < FLUSH_US
            if not due or not self._waiting_bytes:
                return
            size, self._waiting_bytes, self._flushed_us = self._waiting_bytes, 0, now_us
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with self._file(now_us).open("a", encoding="ascii") as file:
                file.write(f"\n{now_us} {size}\n")  # on a line of its own, even behind one cut short by a full disk
        except OSError as error:  # a full disk: nothing can be written down, and little is selected either
            log.debug("selected bytes not counted", size=size, why=str(error))

    def since(self, start_us: int) -> int:
        """Return how many bytes were selected since a time, to the minute; a day back at most."""
        first = max(start_us, self._now_us() - DAY_US) // MINUTE_US
        self._read(first * MINUTE_US)
        return self._waiting_bytes + sum(
            size for hour in self._hours.values() for minute, size in hour.minutes.items() if minute >= first
        )

    def prune(self) -> None:
        """Remove what is older than a day."""
        oldest = self._file(self._now_us() - KEEP_HOURS * HOUR_US).name
        with suppress(OSError):
            for path in list(self._folder.iterdir()):
                if path.name < oldest:
                    path.unlink(missing_ok=True)
                    self._hours.pop(path.name, None)

    def _file(self, time_us: int) -> Path:
        return self._folder / f"{time_us // HOUR_US:08d}"

    def _read(self, start_us: int) -> None:
        """Read on in the files of a time and later."""
        oldest = self._file(start_us).name
        with suppress(OSError):
            for path in sorted(self._folder.iterdir()):
                if path.name >= oldest:
                    self._read_on(path, self._hours.setdefault(path.name, _Hour()))

    def _read_on(self, path: Path, hour: _Hour) -> None:
        with suppress(OSError), path.open("rb") as file:
            file.seek(hour.read_bytes)
            whole = file.read().rpartition(b"\n")[0]  # another process may just be writing the rest
            hour.read_bytes += len(whole) + 1 if whole else 0
            for line in whole.splitlines():
                words = line.split()
                if len(words) == 2 and all(word.isdigit() for word in words):
                    minute = int(words[0]) // MINUTE_US
                    hour.minutes[minute] = hour.minutes.get(minute, 0) + int(words[1])

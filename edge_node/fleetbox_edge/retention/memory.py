"""Keep what the disk lacked and what was given up for it in the robot's state folder, for `doctor` and `status`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from fleetbox.disk import write_whole

FILE = "room.json"
AGAIN_US = 60_000_000  # µs; one that says the same is written again after a minute: its age tells that somebody looks


@dataclass(frozen=True, slots=True)
class Memory:
    """Hold what a keeper last found: bytes lacking to the floor, and to the headroom above it; times in µs.

    `records` and `sizes` (bytes) count by reason what was removed since it began.
    """

    at_us: int = 0
    since_us: int = 0
    below_bytes: int = 0
    short_bytes: int = 0
    records: Mapping[str, int] = field(default_factory=dict)
    sizes: Mapping[str, int] = field(default_factory=dict)

    def is_news(self, told: Memory | None) -> bool:
        """Tell whether it is worth writing after what was written last."""
        if told is None or not told.at_us <= self.at_us < told.at_us + AGAIN_US:
            return True
        now = (self.below_bytes > 0, self.short_bytes > 0, dict(self.records))
        return now != (told.below_bytes > 0, told.short_bytes > 0, dict(told.records))


def write_memory(state: Path, memory: Memory) -> None:
    """Write it down, whole or not at all. Raises OSError."""
    write_whole(state / FILE, json.dumps(asdict(memory)))


def read_memory(state: Path) -> Memory | None:
    """Return what was written last, None when there is nothing that can be read."""
    try:
        raw: dict[str, Any] = json.loads((state / FILE).read_text(encoding="utf-8"))
        return Memory(**raw)
    except (OSError, ValueError, TypeError, AttributeError):
        return None

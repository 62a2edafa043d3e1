"""What a lint finds, and what it may know of a robot's streams."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Level = Literal["error", "warning"]


@dataclass(frozen=True, slots=True)
class Finding:
    """Point at one place of a policy that cannot be meant so.

    error: it can never do what it says; warning: it does something else than most people mean by it.
    """

    level: Level
    key: str  # as in the file: trigger.hard_brake.when
    message: str
    next_step: str

    def __str__(self) -> str:
        return f"{self.level.upper():7} {self.key}: {self.message}\n        next: {self.next_step}"

    def as_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        return {"level": self.level, "key": self.key, "message": self.message, "next_step": self.next_step}


@dataclass(frozen=True, slots=True)
class KnownStream:
    """Describe a stream a robot has recorded: class, type, fields (name -> dtype), and rates where known."""

    name: str
    cls: str = "sensor"
    type: str = ""
    fields: Mapping[str, str] = field(default_factory=dict)
    hz: float | None = None
    bytes_per_s: float | None = None

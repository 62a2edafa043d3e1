"""Say what an ingest found in a file and what became of it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

MAX_FAILURES = 20  # named one by one; the rest is counted


@dataclass(frozen=True, slots=True)
class Damage:
    """Point at the first byte that could not be read; lost_messages is None where nothing tells how many."""

    at_byte: int
    why: str
    unread_bytes: int
    lost_messages: int | None = None
    lost_is_estimate: bool = False


@dataclass(slots=True)
class StreamCount:
    """Count one stream's messages and what they became."""

    topic: str
    schema: str
    type: str
    messages: int = 0
    records: int = 0
    rows: int = 0
    bytes: int = 0
    first_us: int | None = None
    last_us: int | None = None

    def saw(self, time_us: int) -> None:
        """Widen the span by one message's time."""
        self.messages += 1
        self.first_us = time_us if self.first_us is None else min(self.first_us, time_us)
        self.last_us = time_us if self.last_us is None else max(self.last_us, time_us)


@dataclass(slots=True)
class IngestReport:
    """Hold the counts of one ingested file.

    messages: read from the file; rows: of them, in chunks. records = written + already + those
    replaced or refused, which stand in completed and failed; bytes: their payloads.
    bumped: stamps moved by a µs or more because another message had them.
    undecoded: messages kept as raw bytes although their schema promised fields.
    headerless: messages keyed by log time because they carry no header stamp.
    suspect: messages from a part of the file whose checksum fails.
    overlapping: records beside another recording's under the same time.
    completed: chunks of an earlier, shorter copy replaced by the whole ones.
    """

    file: str
    robot: str
    bucket: str
    session: str = ""
    clock: str = "log"
    messages: int = 0
    records: int = 0
    rows: int = 0
    bytes: int = 0
    written: int = 0
    already: int = 0
    bumped: int = 0
    undecoded: int = 0
    headerless: int = 0
    suspect: int = 0
    overlapping: int = 0
    completed: int = 0
    failed: list[str] = field(default_factory=list)
    failed_count: int = 0
    stopped: str | None = None
    damage: Damage | None = None
    streams: dict[str, StreamCount] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """Tell whether every message of an undamaged file is in the store."""
        return self.damage is None and not self.failed_count and self.stopped is None

    @property
    def damaged_at(self) -> int | None:
        """Return the first unreadable byte, or None."""
        return self.damage.at_byte if self.damage else None

    def fail(self, why: str, count: int = 1) -> None:
        """Count something that was not kept, and name the first of them."""
        self.failed_count += count
        if len(self.failed) < MAX_FAILURES:
            self.failed.append(why)

    def as_dict(self) -> dict[str, Any]:
        """Return the report for JSON."""
        return {**asdict(self), "complete": self.complete, "damaged_at": self.damaged_at}

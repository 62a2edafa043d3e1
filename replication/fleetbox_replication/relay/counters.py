"""What the relay did and why it waits, in numbers an operator can act on."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass
from typing import Any

from fleetbox_replication.relay.vouching import next_step

KEPT_CONFLICTS = 100  # enough to see the pattern; the count goes on


@dataclass(slots=True)
class Refusal:
    """Add up one reason why the destination did not take records of one bucket."""

    bucket: str
    status: int
    message: str
    since_us: int
    last_us: int
    count: int = 0
    active: bool = True


class RelayCounters:
    """Count what passed, what was healed and what is refused; time comes in with every call."""

    def __init__(self, destination: str, now_us: int) -> None:
        self.destination = destination
        self.since_us = now_us
        self.counts: Counter[str] = Counter()
        self.healed: Counter[str] = Counter()
        self.conflicts: deque[dict[str, Any]] = deque(maxlen=KEPT_CONFLICTS)
        self.last_success_us: int | None = None
        self._refusals: dict[tuple[str, int], Refusal] = {}

    def vouched(self, bucket: str, records: int, size: int, now_us: int) -> None:
        """Count a batch that is stored whole; whatever held up its bucket is over."""
        self.counts.update(batches=1, records=records, bytes=size)
        self.last_success_us = now_us
        for refusal in self._refusals.values():
            if refusal.bucket in (bucket, ""):
                refusal.active = False

    def refused(self, bucket: str, status: int, message: str, now_us: int) -> None:
        """Count an attempt the destination did not take; 0 means it did not answer."""
        key = (bucket, status)
        refusal = self._refusals.get(key)
        if refusal is None or not refusal.active:
            count = refusal.count if refusal else 0
            refusal = self._refusals[key] = Refusal(bucket, status, message, now_us, now_us, count)
        refusal.count += 1
        refusal.message, refusal.last_us = message, now_us

    def refusing(self, bucket: str) -> bool:
        """Tell whether the destination answered no to the last batch of this bucket."""
        return any(item.active and item.bucket == bucket and item.status != 0 for item in self._refusals.values())

    def conflict(self, bucket: str, entry: str, time_us: int, message: str) -> None:
        """Note a record the destination will never take because another one stands there."""
        self.counts["conflicts"] += 1
        self.conflicts.append({"bucket": bucket, "entry": entry, "time_us": time_us, "message": message})

    def show(self) -> dict[str, Any]:
        """Return everything as plain values."""
        names = ("batches", "records", "bytes", "updates", "already", "retried", "kept", "denied")
        rare = ("conflicts", "cuts", "brought")
        return {
            "destination": self.destination,
            "since_us": self.since_us,
            "last_success_us": self.last_success_us,
            **{name: self.counts[name] for name in names + rare},
            "healed": dict(self.healed),
            "last_conflicts": list(self.conflicts),
            "refused": [_shown(item) for item in self._refusals.values()],
        }


def _shown(refusal: Refusal) -> dict[str, Any]:
    return {
        "bucket": refusal.bucket,
        "status": refusal.status,
        "message": refusal.message,
        "count": refusal.count,
        "since_us": refusal.since_us,
        "last_us": refusal.last_us,
        "active": refusal.active,
        "next_step": next_step(refusal.status, refusal.bucket),
    }

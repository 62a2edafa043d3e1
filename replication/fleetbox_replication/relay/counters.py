"""What the relay did and why it waits, in numbers an operator can act on."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass
from typing import Any

from fleetbox_replication.next_steps import next_step
from fleetbox_replication.relay.vouching import Answer, judge_answer

KEPT_CONFLICTS = 100  # enough to see the pattern; the count goes on
KEPT_ENTRIES = 5  # of a refusal that meets many
STALE_US = 60_000_000  # µs; the engine tries a held batch again after 10 s, unless its source has let it go


@dataclass(slots=True)
class Refusal:
    """Add up one reason why the destination does not take records of one entry, or of a whole bucket or store."""

    bucket: str
    entry: str
    status: int
    message: str
    since_us: int
    last_us: int
    count: int = 0
    active: bool = True

    @property
    def next_step(self) -> str:
        """Return what ends the refusal."""
        return next_step(self.status, self.bucket, self.message)


class RelayCounters:
    """Count what passed, what was healed and what is refused; time comes in with every call."""

    def __init__(self, destination: str, now_us: int) -> None:
        self.destination = destination
        self.since_us = now_us
        self.counts: Counter[str] = Counter()
        self.healed: Counter[str] = Counter()
        self.conflicts: deque[dict[str, Any]] = deque(maxlen=KEPT_CONFLICTS)
        self.last_success_us: int | None = None
        self._refusals: dict[tuple[str, str, int], Refusal] = {}

    def vouched(self, bucket: str, entry: str, records: int, size: int, now_us: int) -> None:
        """Count a batch that is stored whole; what held up its entry is over, and what others have not met since."""
        self.counts.update(batches=1, records=records, bytes=size)
        self.last_success_us = now_us
        for refusal in self._refusals.values():
            if refusal.bucket not in (bucket, "") or not refusal.active:
                continue
            if refusal.entry in (entry, "") or now_us - refusal.last_us > STALE_US:
                refusal.active = False

    def refused(self, bucket: str, entry: str, status: int, message: str, now_us: int) -> None:
        """Count an attempt the destination did not take; 0 means it did not answer."""
        key = (bucket, entry, status)
        refusal = self._refusals.get(key)
        if refusal is None or not refusal.active:
            count = refusal.count if refusal else 0
            refusal = self._refusals[key] = Refusal(bucket, entry, status, message, now_us, now_us, count)
        refusal.count += 1
        refusal.message, refusal.last_us = message, now_us

    def refusing(self, bucket: str) -> Refusal | None:
        """Return the last answer by which records of this bucket are held, None when none are or nothing answers."""
        held = [item for item in self._refusals.values() if item.active and item.bucket == bucket]
        return max((item for item in held if _is_answer(item.status)), key=lambda item: item.last_us, default=None)

    def held_up(self) -> set[str]:
        """Return the buckets of which the destination refuses records right now."""
        return {item.bucket for item in self._refusals.values() if item.active and _is_answer(item.status)}

    def conflict(self, bucket: str, entry: str, time_us: int, message: str) -> None:
        """Note a record the destination will never take because another one stands there."""
        self.counts["conflicts"] += 1
        self.conflicts.append({"bucket": bucket, "entry": entry, "time_us": time_us, "message": message})

    def show(self) -> dict[str, Any]:
        """Return everything as plain values."""
        names = ("batches", "records", "bytes", "updates", "already", "retried", "kept", "denied")
        rare = ("conflicts", "cuts", "brought", "letters")
        return {
            "destination": self.destination,
            "since_us": self.since_us,
            "last_success_us": self.last_success_us,
            **{name: self.counts[name] for name in names + rare},
            "healed": dict(self.healed),
            "last_conflicts": list(self.conflicts),
            "refused": [_shown(list(same)) for same in self._by_bucket()],
        }

    def _by_bucket(self) -> list[list[Refusal]]:
        """Group what is refused by bucket and status; what is over is shown once nothing of the kind goes on."""
        groups: dict[tuple[str, int], list[Refusal]] = {}
        for item in self._refusals.values():
            groups.setdefault((item.bucket, item.status), []).append(item)
        return [[item for item in group if item.active] or group for group in groups.values()]


def _is_answer(status: int) -> bool:
    return judge_answer("POST", status) is not Answer.AGAIN


def _shown(same: list[Refusal]) -> dict[str, Any]:
    latest = max(same, key=lambda item: item.last_us)
    return {
        "bucket": latest.bucket,
        "entries": sorted(item.entry for item in same if item.entry)[:KEPT_ENTRIES],
        "status": latest.status,
        "message": latest.message,
        "count": sum(item.count for item in same),
        "since_us": min(item.since_us for item in same),
        "last_us": latest.last_us,
        "active": latest.active,
        "next_step": latest.next_step,
    }

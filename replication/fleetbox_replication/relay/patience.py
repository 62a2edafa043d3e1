"""Decide when a record that is refused by itself is let through as a dead letter, so that it cannot block its entry.

The engine keeps a refused batch far better than any list of ours, so only what is the record's own fault is let
through. Whose fault it is shows in what the destination takes meanwhile:

- 413, 422, 431 of a record sent alone: at once; no waiting changes its labels or its size.
- Any other refusal: after a while, and only if the destination took other records of the bucket since. Where room is
  the reason (400, 507) one at least as large: a nearly full bucket takes small records and is full all the same.
- No answer, or a passing trouble, for one record again and again while others pass: after ten times as long.

What nothing passes beside is no record's fault: after a hundred letters in a row the bucket is held like any other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from fleetbox_replication.relay.destination import Entry
from fleetbox_replication.relay.vouching import Answer, judge_answer
from fleetbox_replication.wire import Part

IN_A_ROW = 100  # letters of a bucket that takes nothing: a whole batch of the engine (85) may be at fault, not more
LONGER = 10  # times the patience: where only the size speaks for the record, and for passing troubles
FORGET_S = 600.0  # a cause not met for so long is over; on a slow uplink one pass over all entries takes minutes
REMEMBERED = 10_000  # records held at once by their own refusals; beyond it the oldest start anew
OWN_FAULT = (413, 422, 431)
NO_ROOM = (400, 507)

Key = tuple[str, int]  # path of the entry, time in µs


@dataclass(slots=True)
class _Cause:
    """Remember one status in one entry: since when, and the largest record the bucket has taken since."""

    since_s: float
    last_s: float
    largest: int


class Patience:
    """Remember refusals of single records and what was taken beside them; `enabled` is whether letters can be kept."""

    def __init__(self, monotonic_s: Callable[[], float], patience_s: float, enabled: bool) -> None:
        self._monotonic_s = monotonic_s
        self._patience_s = patience_s
        self._enabled = enabled
        self._causes: dict[str, dict[tuple[str, int], _Cause]] = {}  # bucket -> (path, status)
        self._held: dict[Key, float] = {}  # since when, in s
        self._row: dict[str, set[Key]] = {}  # bucket -> letters since it took a record

    def took(self, bucket: str, parts: Iterable[Part]) -> None:
        """Note that the destination has written records of a bucket."""
        sizes = [part.size for part in parts]
        if not sizes:
            return
        self._row.pop(bucket, None)
        largest = max(sizes)
        for cause in self._causes.get(bucket, {}).values():
            cause.largest = max(cause.largest, largest)

    def stored(self, entry: Entry, parts: Iterable[Part]) -> None:
        """Forget what was held against records that are stored now."""
        if self._held:
            for part in parts:
                self._held.pop((entry.path, part.time_us), None)

    def holds(self, entry: Entry, parts: Iterable[Part]) -> bool:
        """Tell whether one of these records was refused by itself before."""
        return bool(self._held) and any((entry.path, part.time_us) in self._held for part in parts)

    def lets_go(self, entry: Entry, part: Part, status: int, beside: int = -1) -> bool:
        """Decide on a record refused alone; `beside` is the largest record taken in the same request, -1 for none."""
        now_s, key = self._monotonic_s(), (entry.path, part.time_us)
        cause = self._cause(entry, status, now_s)
        cause.largest = max(cause.largest, beside)
        if self._enabled and self._ripe(cause, key, part, status, now_s) and self._row_has_room(entry.bucket, key):
            self._held.pop(key, None)
            return True
        if len(self._held) >= REMEMBERED and key not in self._held:
            self._held.pop(next(iter(self._held)))
        self._held.setdefault(key, now_s)
        return False

    def _cause(self, entry: Entry, status: int, now_s: float) -> _Cause:
        causes = self._causes.setdefault(entry.bucket, {})
        for key in [key for key, cause in causes.items() if now_s - cause.last_s > FORGET_S]:
            del causes[key]
        cause = causes.setdefault((entry.path, status), _Cause(now_s, now_s, -1))
        cause.last_s = now_s
        return cause

    def _ripe(self, cause: _Cause, key: Key, part: Part, status: int, now_s: float) -> bool:
        if status in OWN_FAULT:
            return True
        if judge_answer("POST", status) is Answer.AGAIN:
            return cause.largest >= 0 and now_s - self._held.get(key, now_s) >= LONGER * self._patience_s
        waited_s, as_large = now_s - cause.since_s, cause.largest >= part.size
        if waited_s < self._patience_s:
            return False
        if as_large or (status not in (*NO_ROOM, 500) and cause.largest >= 0):
            return True
        return status == 500 and cause.largest >= 0 and waited_s >= LONGER * self._patience_s

    def _row_has_room(self, bucket: str, key: Key) -> bool:
        row = self._row.setdefault(bucket, set())
        if key not in row and len(row) >= IN_A_ROW:
            return False
        row.add(key)
        return True

"""Tell how far a ring has turned: how fast it is written, how long it holds, which records it lets go of next.

The engine makes room by removing, from all entries of the bucket, the block that begins earliest: whole, with all its
records, and also when it is the one being written. So a slow stream loses its newest record with its oldest.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from fleetbox.blobs import EntryInfo
from fleetbox.ledger import MINUTE_US, minute_of

MARGIN_S = 600.0  # two looks at the doomed part of a slow ring; copying it takes a tenth: a disk outruns any recording
MARGIN_SHARE = 0.01  # of the ring: one that idled for days has a mean rate far below what it writes when it drives
YOUNG_S = 60.0  # a younger ring counts as this old: a hundred lines within a millisecond are a burst, not a rate
SMOOTH_S = 300.0  # a forecast shall not jump with every chunk, and follow a robot that begins to drive
LONG_BLOCKS = 2  # blocks are not told apart over HTTP: one may span twice the mean of its entry


@dataclass(frozen=True, slots=True)
class Ring:
    """Hold what a bucket's listing says; without a quota (0) it never turns."""

    quota_bytes: int
    entries: tuple[EntryInfo, ...] = ()

    @property
    def size_bytes(self) -> int:
        """Return the bytes it holds."""
        return sum(entry.size_bytes for entry in self.entries)

    @property
    def room_bytes(self) -> int:
        """Return the bytes it takes before it lets go of something."""
        return max(0, self.quota_bytes - self.size_bytes)

    @property
    def oldest_us(self) -> int:
        """Return the time in µs of the oldest record; 0 when there is none."""
        return min((entry.oldest_us for entry in self._filled), default=0)

    @property
    def newest_us(self) -> int:
        """Return the time in µs of the newest record; 0 when there is none."""
        return max((entry.latest_us for entry in self._filled), default=0)

    @property
    def span_s(self) -> float:
        """Return the seconds between its oldest and its newest record."""
        return (self.newest_us - self.oldest_us) / 1e6

    @property
    def _filled(self) -> list[EntryInfo]:
        return [entry for entry in self.entries if entry.blocks]


@dataclass(frozen=True, slots=True)
class Look:
    """Hold a ring as it was at one moment of a clock that only runs forward, in s."""

    ring: Ring
    at_s: float


def mean_rate(ring: Ring) -> float:
    """Return the bytes a second written, as the mean over all that the ring holds.

    One that really fills within a minute counts as turning when a tenth of it is full; two looks tell its real rate.
    """
    return ring.size_bytes / max(YOUNG_S, ring.span_s) if ring.span_s > 0 else 0.0


def growth_rate(before: Look, now: Look) -> float:
    """Return the bytes a second written between two looks."""
    known = {entry.name: entry for entry in before.ring.entries}
    grown = sum(_growth(known.get(entry.name), entry) for entry in now.ring.entries)
    return grown / (now.at_s - before.at_s) if now.at_s > before.at_s else 0.0


def smoothed(rate: float, before: Look, now: Look) -> float:
    """Return a rate that follows what is written within some minutes: chunks and batches come in jerks.

    A ring that is younger than that has its mean.
    """
    if now.ring.span_s < SMOOTH_S:
        return mean_rate(now.ring)
    share = min(1.0, (now.at_s - before.at_s) / SMOOTH_S)
    return rate + share * (growth_rate(before, now) - rate)


def margin_bytes(ring: Ring, rate_bytes_s: float) -> int:
    """Return how many more bytes to look ahead: what is written in ten minutes, at least a hundredth of the ring."""
    return min(ring.quota_bytes, round(max(rate_bytes_s * MARGIN_S, ring.quota_bytes * MARGIN_SHARE)))


def doomed(ring: Ring, more_bytes: int) -> dict[str, int]:
    """Return per entry the time in µs before which its records may go when so many more bytes are written.

    Ordered by which goes first. Blocks count as equal parts of their entry, except that the last one to go may be
    longer; looking again after each few per cent of the ring corrects what this gets wrong.
    """
    over_bytes = ring.size_bytes + more_bytes - ring.quota_bytes
    filled = sorted((entry for entry in ring.entries if entry.blocks), key=lambda entry: entry.oldest_us)
    if over_bytes <= 0 or not ring.quota_bytes or not filled:
        return {}
    reach_us = _reach(filled, over_bytes)
    return {
        entry.name: min(entry.latest_us + 1, reach_us + LONG_BLOCKS * _block_us(entry) + 1)
        for entry in filled
        if entry.oldest_us <= reach_us
    }


def minutes(start_us: int, stop_us: int) -> Iterable[int]:
    """Return the minutes, as their starts in µs, that [start_us, stop_us) touches."""
    return range(minute_of(start_us), stop_us, MINUTE_US)


def hours_to_full(ring: Ring, rate_bytes_s: float) -> float | None:
    """Return the hours until the ring begins to turn; 0 when it does, None when it never will."""
    if not ring.quota_bytes or (rate_bytes_s <= 0 and ring.room_bytes):
        return None
    return ring.room_bytes / rate_bytes_s / 3600 if ring.room_bytes else 0.0


def hours_held(ring: Ring, rate_bytes_s: float) -> float | None:
    """Return how many hours of records the full ring holds at this rate; None for one that never turns."""
    if not ring.quota_bytes or rate_bytes_s <= 0:
        return None
    return ring.quota_bytes / rate_bytes_s / 3600


def hours_to_floor(rings: Iterable[tuple[Ring, float]], spare_bytes: int) -> float | None:
    """Return the hours until rings (with their rates) that still grow have used up `spare_bytes` of disk.

    None when they are full before that, or do not grow.
    """
    hours, left = 0.0, float(max(0, spare_bytes))
    filling = [(ring.room_bytes / rate / 3600, rate * 3600) for ring, rate in rings if rate > 0 and ring.room_bytes]
    for full_h, _ in sorted(filling):
        per_hour = sum(rate for until_h, rate in filling if until_h >= full_h)
        if per_hour * (full_h - hours) >= left:
            return hours + left / per_hour
        hours, left = full_h, left - per_hour * (full_h - hours)
    return None


def _growth(before: EntryInfo | None, now: EntryInfo) -> float:
    """Return the bytes an entry grew by; what it let go of meanwhile is made good by its density."""
    if before is None or not before.blocks:
        return now.size_bytes
    grown = float(now.size_bytes - before.size_bytes)
    if now.oldest_us != before.oldest_us and before.latest_us > before.oldest_us:
        density = before.size_bytes / (before.latest_us - before.oldest_us)
        grown = max(grown, density * (now.latest_us - before.latest_us))
    return max(0.0, grown)


def _block_us(entry: EntryInfo) -> int:
    return -(-(entry.latest_us - entry.oldest_us) // entry.blocks)


def _freed(entry: EntryInfo, reach_us: int) -> float:
    """Return the bytes that go with the entry's blocks that begin at `reach_us` or before."""
    if entry.oldest_us > reach_us:
        return 0.0
    block_us = max(1, _block_us(entry))
    gone = min(entry.blocks, (reach_us - entry.oldest_us) // block_us + 1)
    return entry.size_bytes * gone / entry.blocks


def _reach(filled: list[EntryInfo], over_bytes: int) -> int:
    """Return the beginning in µs of the last block that has to go to free so many bytes."""
    low, high = filled[0].oldest_us, max(entry.latest_us for entry in filled)
    while low < high:
        middle = (low + high) // 2
        if sum(_freed(entry, middle) for entry in filled) >= over_bytes:
            high = middle
        else:
            low = middle + 1
    return low

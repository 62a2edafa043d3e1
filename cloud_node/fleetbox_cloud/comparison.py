"""Decide which minutes InfluxDB holds too little of, and how much to ask or mend at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fleetbox.ledger import MINUTE_US
from fleetbox.points import TIME_FIELD, Points, clean
from fleetbox.rollups import rolled
from fleetbox.tallies import Minutes

DAY_US = 86_400_000_000
NO_CHUNK = "no chunk"  # the store has let the minute's chunks go: nothing here can bring its numbers back
UNEXPLAINED = "unexplained"  # written again from the chunks, and InfluxDB still has less


@dataclass(frozen=True, slots=True)
class Budget:
    """Bound a stretch of minutes by its values and its length in µs; one minute is always allowed."""

    values: int
    span_us: int


ASKED = Budget(20_000_000, DAY_US)  # InfluxDB adds up a million counts a second, mostly of many values
MENDED = Budget(2_000_000, 600_000_000)  # rows opened at a time: 16 MB of numbers, three times that as lines


@dataclass(frozen=True, slots=True)
class Stretch:
    """Hold minutes to be treated together: how many values each should have, by its start in µs."""

    wanted: Mapping[int, int]

    @property
    def start_us(self) -> int:
        """Return the start of the first minute."""
        return min(self.wanted)

    @property
    def stop_us(self) -> int:
        """Return the end of the last minute."""
        return max(self.wanted) + MINUTE_US


def stretches(wanted: Mapping[int, int], budget: Budget) -> Iterator[Stretch]:
    """Cut minutes into stretches within a budget, oldest first."""
    held: dict[int, int] = {}
    values = 0
    for minute_us in sorted(wanted):
        n = wanted[minute_us]
        if held and (values + n > budget.values or minute_us + MINUTE_US - min(held) > budget.span_us):
            yield Stretch(held)
            held, values = {}, 0
        held[minute_us] = n
        values += n
    if held:
        yield Stretch(held)


def short_of(wanted: Mapping[int, int], held: Mapping[int, int]) -> dict[int, int]:
    """Return by minute how many values are not there; more than wanted is no fault: others may write too."""
    return {minute_us: n - held.get(minute_us, 0) for minute_us, n in wanted.items() if held.get(minute_us, 0) < n}


def wanted_of(given: Minutes, keeps_from_us: int | None) -> dict[int, int]:
    """Return how many values InfluxDB should hold by minute: what it took, and has no right to have let go since."""
    return {
        minute_us: tally.values
        for minute_us, tally in given.items()
        if tally.values and (keeps_from_us is None or minute_us >= keeps_from_us)
    }


def distinct(points: Sequence[Points], *, raw: bool = False) -> dict[int, int]:
    """Return by minute how many values points make in InfluxDB: those of a time that two chunks have count once.

    In roll-ups values of equal times count if one chunk holds them; as `raw` points they are one.
    """
    import numpy as np

    if not raw:
        found: dict[int, int] = {}
        for steps in rolled(points, MINUTE_US, overlapping=True).values():
            for minute_us, n in zip(steps.at_us.tolist(), steps.count.tolist(), strict=True):
                found[minute_us] = found.get(minute_us, 0) + int(n)
        return found
    times: dict[str, list[Any]] = {}
    for part in points:
        rows_us = np.asarray(part.time_us, np.int64)
        for name, column in part.fields.items():
            if name != TIME_FIELD:
                times.setdefault(clean(name), []).append(rows_us[np.isfinite(np.asarray(column, np.float64))])
    counts = Counter[int]()
    for stamps in times.values():
        own = np.unique(np.concatenate(stamps))
        for minute, n in zip(*np.unique(own // MINUTE_US, return_counts=True), strict=True):
            counts[int(minute) * MINUTE_US] += int(n)
    return dict(counts)

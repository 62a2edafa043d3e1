"""Decide which stream is due when: ticks at exact multiples of each period, so that nothing drifts."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Tick:
    """Hold one sample that is due: t in s since the start, and which stream it is of."""

    t: float
    index: int


def ticks(rates_hz: Sequence[float], seconds: float | None) -> Iterator[Tick]:
    """Yield the ticks of all streams in the order of time, from 0 up to `seconds`, or for ever."""
    due = [(0.0, index, 0) for index in range(len(rates_hz))]
    heapq.heapify(due)
    while due:
        t, index, number = due[0]
        if seconds is not None and t >= seconds:
            return
        yield Tick(t, index)
        # A product, not a sum: after an hour of 30 Hz a sum is off by more than a frame's rounding.
        heapq.heapreplace(due, ((number + 1) / rates_hz[index], index, number + 1))

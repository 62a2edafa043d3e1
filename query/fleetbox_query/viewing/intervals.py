"""Turn intervals into lanes of states: where each begins and ends, overlapping ones as one; plain values."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

Lane = tuple[str, str, str]  # a robot, what the lane is of, its name


@dataclass(frozen=True, slots=True)
class Interval:
    """Hold a stretch of time, in µs since the epoch, both ends included, on its lane."""

    lane: Lane
    state: str
    start_us: int
    stop_us: int


def lanes(intervals: Iterable[Interval]) -> dict[Lane, list[tuple[int, str | None]]]:
    """Return each lane's states in order of time; None is where none holds any more."""
    made: dict[Lane, list[tuple[int, str | None]]] = {}
    for one in sorted(intervals, key=lambda one: (one.lane, one.start_us)):
        changes = made.setdefault(one.lane, [])
        if changes and one.start_us <= changes[-1][0]:  # begins before the last one's end
            changes[-1] = (max(changes[-1][0], one.stop_us), None)
        else:
            changes += [(one.start_us, one.state), (max(one.stop_us, one.start_us + 1), None)]
    return made

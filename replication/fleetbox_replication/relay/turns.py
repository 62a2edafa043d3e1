"""Decide whose piece goes next: the higher class, but nobody waits for ever."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

LONG_S = 2.0  # a destination gives up on a silent sender after 30 s; this leaves room for many who have waited long
EVERY = 4  # of four pieces one may go to who has waited long: the first class keeps three quarters of the cap


@dataclass(frozen=True, slots=True)
class Waiting:
    """Hold who waits: its class's place in the order, 0 for the first, and for how long."""

    rank: int
    waited_s: float


def next_turn(waiting: Sequence[Waiting], turn: int) -> int:
    """Return the index of who is served; `waiting` is in order of arrival, `turn` counts those served before."""
    oldest = max(range(len(waiting)), key=lambda index: waiting[index].waited_s)
    if turn % EVERY == 0 and waiting[oldest].waited_s >= LONG_S:
        return oldest
    return min(range(len(waiting)), key=lambda index: waiting[index].rank)  # the first to come, of its class

"""Say how often a census looks, and when a minute is over."""

from __future__ import annotations

from dataclasses import dataclass

from fleetbox.chunks import BOUND_US


@dataclass(frozen=True, slots=True)
class Rhythm:
    """Hold the times of a census, in s and µs."""

    look_s: float = 10.0  # five small requests a robot: a minute is told at most this long after it has settled
    settle_us: int = BOUND_US + 3_000_000  # µs; a chunk closes after its bound and is in the store 0.2 s to 2 s later

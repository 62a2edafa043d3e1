"""Say where playback is: plain values that a clock moves."""

from __future__ import annotations

from dataclasses import dataclass, replace

SLOWEST, FASTEST = 0.01, 100.0  # what Foxglove's own player offers
SECOND_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Playhead:
    """Hold a position in [start_ns, stop_ns] as of a moment of a steady clock in s; it moves while it plays."""

    start_ns: int
    stop_ns: int
    from_ns: int
    since_s: float
    speed: float = 1.0
    playing: bool = False

    def at(self, now_s: float) -> int:
        """Return the position in ns since the epoch."""
        moved = (now_s - self.since_s) * self.speed * SECOND_NS if self.playing else 0.0
        return min(self.stop_ns, max(self.start_ns, self.from_ns + round(moved)))

    def is_over(self, now_s: float) -> bool:
        """Tell whether the end is reached."""
        return self.at(now_s) >= self.stop_ns

    def seconds_until(self, time_ns: int, now_s: float) -> float:
        """Return how long it takes to get there; below zero where it has passed."""
        moved_ns = self.from_ns + (now_s - self.since_s) * self.speed * SECOND_NS
        return (time_ns - moved_ns) / SECOND_NS / self.speed

    def played(self, now_s: float) -> Playhead:
        """Return it playing on."""
        return replace(self, from_ns=self.at(now_s), since_s=now_s, playing=True)

    def paused(self, now_s: float) -> Playhead:
        """Return it standing where it is."""
        return replace(self, from_ns=self.at(now_s), since_s=now_s, playing=False)

    def sought(self, time_ns: int, now_s: float) -> Playhead:
        """Return it at another position, within its bounds."""
        return replace(self, from_ns=min(self.stop_ns, max(self.start_ns, time_ns)), since_s=now_s)

    def at_speed(self, speed: float, now_s: float) -> Playhead:
        """Return it at another speed, within what players offer."""
        return replace(self, from_ns=self.at(now_s), since_s=now_s, speed=min(FASTEST, max(SLOWEST, speed)))

"""Say how often a census looks, when a minute is over, and how much it may cost."""

from __future__ import annotations

from dataclasses import dataclass, replace

from fleetbox.chunks import BOUND_US
from fleetbox.ledger import MINUTE_US


@dataclass(frozen=True, slots=True)
class Rhythm:
    """Hold the times and bounds of a census, in s and µs."""

    look_s: float = 10.0  # five small requests a robot: a minute is told at most this long after it has settled
    settle_us: int = BOUND_US + 3_000_000  # µs; a chunk closes after its bound and is in the store 0.2 s to 2 s later
    stretch_us: int = 60 * MINUTE_US  # µs listed at once: 60 lines a stream in memory, 4 s for a 30 fps camera
    near_us: int = 2 * MINUTE_US  # µs; a record that came late without a note is most likely this young
    search_us: int = 600_000_000  # µs between two searches of a whole entry: one costs 45 µs for each of its records
    walk_share: float = 0.1  # of the time: a day of 31 streams with a camera is caught up with in 20 min
    owed_at_once: int = 60  # minutes of a stream listed again in one look because another place tells of more
    flush_s: float = 10.0  # how long flush() may go on catching up: a clean stop is not to be killed over it

    now: bool = False  # tell minutes that are not over, too; what comes later makes a revision

    @property
    def quiet_looks(self) -> int:
        """Return after how many looks without a change an entry's last minute is over whatever the clock says."""
        return max(1, round((MINUTE_US + self.settle_us) / 1e6 / self.look_s)) if self.look_s else 1

    def at_once(self) -> Rhythm:
        """Return a rhythm that waits for nothing."""
        return replace(self, now=True, search_us=0, walk_share=1.0)

"""Decide how large a stretch of time to read next, so that memory stays bounded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from fleetbox_query.plan import FAR_US, Source, Window

FIRST_BYTES = 1_000_000  # the first stretch is small: somebody is waiting for the first rows
MOST_BYTES = 32_000_000  # later ones grow to this; two are held at a time, the one given out and the next
CAP_BYTES = 4 * MOST_BYTES  # where records lie closer than expected, a stretch ends here


@dataclass(frozen=True, slots=True)
class Progress:
    """Say where reading has got to and how many bytes the next stretch should hold."""

    at_us: int
    budget_bytes: int = FIRST_BYTES

    def after(self, reached_us: int) -> Progress:
        """Return the progress after a stretch that reached this far."""
        return replace(self, at_us=reached_us, budget_bytes=min(self.budget_bytes * 4, MOST_BYTES))


def extent(sources: Sequence[Source]) -> list[tuple[int, int, float]]:
    """Return (first, last, bytes per µs) of every wanted stretch of records, as the stores count them."""
    out = []
    for source in sources:
        largest = max(source.holdings, key=lambda holding: holding.entry.size_bytes).entry
        oldest = min(holding.entry.oldest_us for holding in source.holdings)
        latest = max(holding.entry.latest_us for holding in source.holdings)
        density = largest.size_bytes / max(1, latest - oldest)
        out += [(start, min(stop, latest + 1), density) for start, stop in source.record_windows(oldest, FAR_US)]
    return [(start, stop, density) for start, stop, density in out if start < stop]


def next_slice(stretches: Sequence[tuple[int, int, float]], progress: Progress) -> Window | None:
    """Return the next stretch of record time, or None at the end; empty time between records is skipped."""
    left = [(max(start, progress.at_us), stop, density) for start, stop, density in stretches if stop > progress.at_us]
    if not left:
        return None
    start = min(first for first, _, _ in left)
    edges = sorted({edge for first, stop, _ in left for edge in (first, stop) if edge > start})
    at, budget = start, float(progress.budget_bytes)
    for edge in edges:
        density = sum(one for first, stop, one in left if first <= at < stop)
        if density * (edge - at) > budget:
            return start, at + max(1, int(budget / density))
        budget -= density * (edge - at)
        at = edge
        if edge == edges[-1]:
            break
    return start, FAR_US

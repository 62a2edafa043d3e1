"""Cut an event's window into slices, so that one of days is worked through in steps."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from fleetbox.events import Event

SLICE_US = 300_000_000  # µs; what is found in five minutes of a busy robot is 10 MB, whatever the window's length
SLICE_COST = 20  # records; a query that finds nothing takes as long as labelling so many


@dataclass(frozen=True, slots=True)
class Slice:
    """Hold a stretch of a window in µs: records that begin in [first_us, stop_us)."""

    first_us: int
    stop_us: int


def slices(event: Event, bound_us: int, since_us: int = 0) -> Iterator[Slice]:
    """Yield a window's slices that end after `since_us`, in order of time; no record lies in two.

    Where one ends does not depend on `since_us` nor on the bound, so that a later call can go on there. The first
    looks a chunk's length back: what begins there may reach into the window.
    """
    first_us, edge_us = max(0, event.start_us - bound_us), event.start_us
    while first_us <= event.stop_us:
        edge_us = min(edge_us + SLICE_US, event.stop_us + 1)
        if edge_us > since_us:
            yield Slice(first_us, edge_us)
        first_us = edge_us

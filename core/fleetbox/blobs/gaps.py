"""Notice what a ring overwrote while a query was reading it; the engine skips it in silence."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise
from statistics import median_low

from fleetbox.blobs.patterns import matches_any
from fleetbox.blobs.reading import Query
from fleetbox.blobs.values import EntryInfo, Gap
from fleetbox.records import Head

CHECK_S = 0.25  # a listing costs about a millisecond: a few a second are free beside the reading
REASON = "left the store while it was being read"


class Watch:
    """Compare the oldest record of each entry with the place a reader has reached in it."""

    def __init__(self, query: Query, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self._query = query
        self._monotonic_s = monotonic_s
        self._checked_s = monotonic_s()
        self._place: dict[str, int] = {}  # everything up to here is delivered or reported
        self._latest: dict[str, int] = {}  # the newest record known at the last check
        self._recent: dict[str, list[int]] = {}  # delivered since the last check

    def due(self) -> bool:
        """Tell whether a listing should be taken."""
        return self._monotonic_s() - self._checked_s >= CHECK_S

    def delivered(self, items: Iterable[Head]) -> None:
        """Note what the reader got."""
        for item in items:
            self._recent.setdefault(item.entry, []).append(item.time_us)

    def check(self, listing: Sequence[EntryInfo]) -> list[Gap]:
        """Return what vanished since the last check before it was delivered."""
        self._checked_s = self._monotonic_s()
        now = {info.name: info for info in listing if info.records and matches_any(self._query.entries, info.name)}
        gaps = list(self._gaps(now))
        for entry, times in self._recent.items():
            self._place[entry] = max(times[-1], self._place.get(entry, 0))
        self._recent.clear()
        begin_us = self._query.start_us or 0
        for name, info in now.items():
            self._latest[name] = info.latest_us
            self._place[name] = max(self._place.get(name, 0), begin_us - 1, info.oldest_us - 1)
        return gaps

    def _gaps(self, now: dict[str, EntryInfo]) -> Iterator[Gap]:
        for name, latest_us in self._latest.items():
            end_us = latest_us + 1 if name not in now else min(latest_us + 1, now[name].oldest_us)
            if self._query.stop_us is not None:
                end_us = min(end_us, self._query.stop_us)
            place_us = self._place[name]
            if end_us <= place_us + 1:
                continue
            for from_us, to_us in missed(place_us, self._recent.get(name, []), end_us):
                yield Gap(name, from_us, to_us, REASON)


def missed(place_us: int, times: Sequence[int], end_us: int) -> Iterator[tuple[int, int]]:
    """Yield the stretches a reader missed, when the ring took everything up to `end_us`, past its place.

    `times` are what it got since, in order. They may lie before or after the holes: what is twice as wide as usual
    between two of them is one. The engine skips a block it is about to remove, so a hole may reach past `end_us`.
    """
    usual_us = median_low(later - earlier for earlier, later in pairwise(times)) if len(times) > 2 else 0
    for earlier, later in pairwise([place_us, *times]):
        if earlier + 1 < later and earlier < end_us and later - earlier > 2 * usual_us:
            yield earlier + 1, later
    last_us = times[-1] if times else place_us
    if last_us + 1 < end_us:
        yield last_us + 1, end_us

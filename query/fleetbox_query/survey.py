"""Ask what a choice of streams holds, without moving it."""

from __future__ import annotations

from dataclasses import dataclass

from fleetbox_query.counting import Count, count
from fleetbox_query.coverage import Coverage
from fleetbox_query.covering import cover
from fleetbox_query.expressions import Expression
from fleetbox_query.moments import DurationLike, duration_us
from fleetbox_query.reading import Prepared, Reading
from fleetbox_query.sizing import Size, announce, size
from fleetbox_query.stream_choice import StreamChoice


@dataclass(frozen=True, repr=False)
class Survey(StreamChoice):
    """Hold a question about streams and tell what its answer would be, from heads and schemas."""

    def size(self) -> Size:
        """Return records, rows, bytes, by which place, and seconds to fetch; moves nothing.

        Exact up to 200,000 records, beyond that the stores' own totals in proportion to time. With a filter by label it
        says how many records must be looked at first. Seconds rest on what was read from a place before, else a guess.

        Example:
            print(fleet.select("r1/**").last("1h").size())
        """
        return self.session.run(size(self.session.stores, self.prepared(films=True)))

    def count(self, *, warn: bool = True) -> Count:
        """Return how many records, rows and bytes there are, from heads; only chunks at a border are read.

        Example:
            print(fleet.select("r1/imu").last("1h").count().rows)
        """
        reading = self._reading()
        if warn:
            announce(reading.prepared)
        counted = self.session.run(count(self.session.stores, reading))
        if warn:
            counted.provenance.warn()
        return counted

    def coverage(self, *, gap: DurationLike | None = None) -> Coverage:
        """Return where in time each stream has data and where holes, and what only an absent robot told that it holds.

        gap: how long a silence makes a hole; by default three usual distances between records, at least a second.
        Heads are listed (30 µs a record), nothing is read. Minutes an absent robot told of come from its ledger.

        Example:
            for stream in fleet.select("r1/**").last("1d").coverage():
                print(stream.name, stream.share, stream.holes, stream.elsewhere)
        """
        gap_us = None if gap is None else duration_us(gap)
        found = self.session.run(cover(self.session, self.question, gap_us))
        found.provenance.warn()
        return found

    def prepared(self, *, films: bool = False) -> Prepared:
        """Return the question made ready: which streams are read from where; no record is read.

        Example:
            print(fleet.select("r1/imu").prepared().sources)
        """
        return self.session.run(self.session.prepare(self.question, films=films))

    def explain(self) -> Expression:
        """Return how the conditions are split between the stores and this program; reads schemas only.

        Example:
            print(fleet.select("r1/imu").where("ax > 5 && site == 'edge-1'").explain().engine_when)
        """
        return self.prepared().expression

    def _reading(self) -> Reading:
        return Reading(self.session.stores, self.prepared(films=True))

"""Give out the items of a question in order of time, reading ahead by one stretch."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import replace

from fleetbox.background import BackgroundLoop, ended
from fleetbox_query.expressions import Expression
from fleetbox_query.films import FROM
from fleetbox_query.items import Item, Notes, items_of
from fleetbox_query.plan import FAR_US, Source
from fleetbox_query.provenance import Provenance
from fleetbox_query.reading import Piece, Prepared, Reading

Stretch = tuple[list[Piece], int] | None


class Records(Iterator[Item]):
    """Iterate over rows and blobs in order of time; memory holds two stretches of them, whatever the answer's size.

    `provenance` says which places were read so far and what is missing; at the end it warns when something is.
    """

    def __init__(self, loop: BackgroundLoop, reading: Reading, *, warn: bool = True) -> None:
        self._loop = loop
        self._reading = reading
        self._warn = warn
        self.notes = Notes()
        self._ahead: Future[Stretch] | None = loop.start(reading.next())
        self._open: list[tuple[int, int, Item, Iterator[Item]]] = []  # records begun: next time, turn, item, the rest
        self._count = 0
        self._given: dict[tuple[str, str], int] = {}  # the last time given out of each stream
        self._ready: Iterator[Item] = iter(())

    def __repr__(self) -> str:
        return f"Records({', '.join(dict.fromkeys(one.name for one in self.sources))})"

    @property
    def provenance(self) -> Provenance:
        """Return where the items so far came from and what is missing."""
        return replace(self._reading.provenance, unreadable=tuple(self.notes.unreadable))

    @property
    def prepared(self) -> Prepared:
        """Return the question as it was made ready."""
        return self._reading.prepared

    @property
    def sources(self) -> tuple[Source, ...]:
        """Return the streams being read."""
        return self._reading.prepared.sources

    @property
    def expression(self) -> Expression:
        """Return the conditions, as split between the stores and this program."""
        return self._reading.prepared.expression

    @property
    def places_read(self) -> tuple[str, ...]:
        """Return the names of the places read so far."""
        return tuple(self.provenance.places_read)

    def __next__(self) -> Item:
        while True:
            for item in self._ready:
                return item
            if not self._fill():
                raise StopIteration

    def close(self) -> None:
        """Stop reading ahead; what was not given out is dropped."""
        if self._ahead is not None:
            self._ahead.cancel()
            self._ahead = None

    def _fill(self) -> bool:
        if self._ahead is None:
            return False
        stretch = ended(self._ahead)
        if stretch is None:
            self._ahead = None
            self._ready = self._until(FAR_US)
            if self._warn:
                self.provenance.warn(stacklevel=4)
            return True
        self._ahead = self._loop.start(self._reading.next())
        self._ready = self._merged(*stretch)
        return True

    def _merged(self, pieces: list[Piece], reached_us: int) -> Iterator[Item]:
        """Yield items below what has been read; a chunk is opened when its time comes, its later rows wait."""
        for piece in pieces:
            yield from self._until(piece.record.time_us)
            self._hold(iter(items_of(piece, self._reading.prepared.expression, self.notes)))
        yield from self._until(reached_us)

    def _until(self, time_us: int) -> Iterator[Item]:
        while self._open and self._open[0][0] < time_us:
            _, _, item, rest = heapq.heappop(self._open)
            self._hold(rest)
            if FROM not in item.labels:
                self._given[item.robot, item.stream] = item.time_us
            elif self._is_twice(item):
                continue
            yield item

    def _is_twice(self, item: Item) -> bool:
        """Tell whether a frame's own picture is there still: it has just been given out, or comes at once."""
        if self._given.get((item.robot, item.stream)) == item.time_us:
            return True
        same = (other for time_us, _, other, _ in self._open if time_us == item.time_us)
        return any(FROM not in other.labels and other.stream == item.stream for other in same)

    def _hold(self, rest: Iterator[Item]) -> None:
        for item in rest:
            heapq.heappush(self._open, (item.time_us, self._count, item, rest))
            self._count += 1
            return

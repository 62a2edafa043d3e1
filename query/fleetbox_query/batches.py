"""Give out a selection as Arrow tables of one stretch of time each, so that memory stays bounded."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from fleetbox.background import BackgroundLoop, ended
from fleetbox_query.frames import table_line, tables_of
from fleetbox_query.plan import Source
from fleetbox_query.provenance import Provenance
from fleetbox_query.reading import Reading
from fleetbox_query.streaming import Stretch
from fleetbox_query.widening import Rounding, warn_of_rounding

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True)
class Batch:
    """Hold some rows or blobs of one stream, in order of time: `table` as `arrow()` has it."""

    robot: str
    stream: str
    table: pa.Table

    def __repr__(self) -> str:
        return f"Batch({table_line(self.name, self.table)})"

    @property
    def name(self) -> str:
        """Return "robot/stream"."""
        return f"{self.robot}/{self.stream}"


class Batches(Iterator[Batch]):
    """Iterate over the tables of a selection, reading ahead by one stretch; memory holds two, whatever its size.

    Batches of one stream follow one another by the times of their records: where sessions overlap, rows of the next
    batch may lie before the last row of this one. `provenance` says what was read so far and what is missing.
    """

    def __init__(self, loop: BackgroundLoop, reading: Reading, *, warn: bool = True) -> None:
        self._loop = loop
        self._reading = reading
        self._warn = warn
        self._unreadable: list[str] = []
        self.rounding: Rounding = {}  # "robot/stream:field" -> values that lost digits as floats
        self._ahead: Future[Stretch] | None = loop.start(reading.next())
        self._ready: list[Batch] = []

    def __repr__(self) -> str:
        return f"Batches({', '.join(dict.fromkeys(one.name for one in self.sources))})"

    @property
    def provenance(self) -> Provenance:
        """Return where the batches so far came from and what is missing."""
        return replace(self._reading.provenance, unreadable=tuple(self._unreadable))

    @property
    def sources(self) -> tuple[Source, ...]:
        """Return the streams being read."""
        return self._reading.prepared.sources

    def __next__(self) -> Batch:
        while not self._ready:
            if not self._fill():
                raise StopIteration
        return self._ready.pop(0)

    def close(self) -> None:
        """Stop reading ahead; what was not given out is dropped."""
        if self._ahead is not None:
            self._ahead.cancel()
            self._ahead = None

    def _fill(self) -> bool:
        if self._ahead is None:
            return False
        try:
            stretch = ended(self._ahead)
        except BaseException:  # Ctrl-C too: nobody comes for what is being read ahead
            self.close()
            raise
        if stretch is None:
            self._ahead = None
            if self._warn:
                self.provenance.warn(stacklevel=4)
                warn_of_rounding(self.rounding, stacklevel=4)
            return False
        self._ahead = self._loop.start(self._reading.next())
        pieces, _ = stretch
        names = {piece.source.name: (piece.source.robot, piece.source.stream) for piece in pieces}
        tables = tables_of(pieces, self._reading.prepared.expression, self._unreadable, self.rounding)
        self._ready = [Batch(*names[name], table) for name, table in tables.items()]
        return True

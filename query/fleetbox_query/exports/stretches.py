"""Read a question's rows as Arrow tables, stretch by stretch in order of time, so that memory stays bounded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from fleetbox import chunks
from fleetbox.background import BackgroundLoop, ended
from fleetbox_query.frames import tables_of
from fleetbox_query.plan import FAR_US
from fleetbox_query.provenance import Provenance
from fleetbox_query.reading import Piece, Reading
from fleetbox_query.widening import Rounding

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True)
class Stretch:
    """Hold all rows before `reached_us` that no earlier stretch had: tables by stream, each of one schema."""

    reached_us: int
    tables: dict[str, list[pa.Table]]


class Stretches(Iterator[Stretch]):
    """Iterate over stretches of tables, reading one ahead; every row comes once, in a stream's order of time."""

    def __init__(self, loop: BackgroundLoop, reading: Reading, rounding: Rounding) -> None:
        self._rounding = rounding
        self._loop = loop
        self._reading = reading
        self._unreadable: list[str] = []
        self._ahead: Future[tuple[list[Piece], int] | None] | None = loop.start(reading.next())
        self._later = Later()

    @property
    def provenance(self) -> Provenance:
        """Return where the rows so far came from and what is missing."""
        return replace(self._reading.provenance, unreadable=tuple(self._unreadable))

    def __next__(self) -> Stretch:
        if self._ahead is None:
            raise StopIteration
        read = ended(self._ahead)
        if read is None:
            self._ahead = None
            return Stretch(FAR_US, self._later.until(FAR_US))
        self._ahead = self._loop.start(self._reading.next())
        pieces, reached_us = read
        self._later.take(tables_of(pieces, self._reading.prepared.expression, self._unreadable, self._rounding))
        return Stretch(reached_us, self._later.until(reached_us))

    def close(self) -> None:
        """Stop reading ahead."""
        if self._ahead is not None:
            self._ahead.cancel()
            self._ahead = None


class Later:
    """Hold rows of chunks that reach beyond what has been read, until it has been."""

    def __init__(self) -> None:
        self._tables: dict[str, list[pa.Table]] = {}

    def take(self, tables: Mapping[str, pa.Table]) -> None:
        """Add tables by stream, each in order of time."""
        for name, table in tables.items():
            self._tables.setdefault(name, []).append(table)

    def until(self, reached_us: int) -> dict[str, list[pa.Table]]:
        """Hand out the rows before a time: tables by stream, each of one schema."""
        given: dict[str, list[pa.Table]] = {}
        later: dict[str, list[pa.Table]] = {}
        for name, tables in self._tables.items():
            for table in _joined(tables):
                at = _rows_before(table, reached_us)
                if at:
                    given.setdefault(name, []).append(table.slice(0, at))
                if at < table.num_rows:
                    later.setdefault(name, []).append(table.slice(at))
        self._tables = later
        return given


def _joined(tables: list[pa.Table]) -> list[pa.Table]:
    """Join tables in order of time where their schemas agree; a stream whose schema changed keeps several."""
    import numpy as np
    import pyarrow as pa

    out: list[pa.Table] = []
    for table in tables:
        if not out or not out[-1].schema.equals(table.schema):
            out.append(table)
            continue
        both = pa.concat_tables([out[-1], table])
        times = times_us(both)
        out[-1] = both if bool((np.diff(times) >= 0).all()) else both.take(np.argsort(times, kind="stable"))
    return out


def _rows_before(table: pa.Table, time_us: int) -> int:
    import numpy as np

    return int(np.searchsorted(times_us(table), time_us, side="left"))


def times_us(table: pa.Table) -> Any:
    """Return a table's times as an int64 array, µs since the epoch."""
    import pyarrow as pa

    return table[chunks.TIME].cast(pa.int64()).to_numpy()

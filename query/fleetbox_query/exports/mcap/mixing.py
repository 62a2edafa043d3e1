"""Read a question's rows as tables and its blobs as items, stretch by stretch: rows need not be taken singly."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fleetbox.background import BackgroundLoop, ended
from fleetbox_query.exports.stretches import Later
from fleetbox_query.frames import tables_of
from fleetbox_query.items import Item, is_chunk
from fleetbox_query.plan import FAR_US
from fleetbox_query.reading import Piece, Reading
from fleetbox_query.streaming import Records
from fleetbox_query.widening import Rounding

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True)
class Mixed:
    """Hold everything before `reached_us` that no earlier one had: tables by stream, and items in order of time."""

    reached_us: int
    tables: dict[str, list[pa.Table]]
    items: Iterator[Item]


class Mixing(Records):
    """Hand out stretches; the items of one are to be taken before the next is asked for."""

    def __init__(self, loop: BackgroundLoop, reading: Reading, rounding: Rounding) -> None:
        super().__init__(loop, reading, warn=False)
        self._rounding = rounding
        self._later = Later()

    def next_stretch(self) -> Mixed | None:
        """Return the next stretch; None after the last."""
        if self._ahead is None:
            return None
        read = ended(self._ahead)
        if read is None:
            self._ahead = None
            return Mixed(FAR_US, self._later.until(FAR_US), self._until(FAR_US))
        self._ahead = self._loop.start(self._reading.next())
        pieces, reached_us = read
        rows = [piece for piece in pieces if _is_rows(piece)]
        self._later.take(tables_of(rows, self.expression, self.notes.unreadable, self._rounding))
        blobs = [piece for piece in pieces if not _is_rows(piece)]
        return Mixed(reached_us, self._later.until(reached_us), self._merged(blobs, reached_us))


def _is_rows(piece: Piece) -> bool:
    return not piece.source.film and is_chunk(piece.record)

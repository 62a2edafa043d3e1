"""Turn the chunks of one stream into points: what is a number becomes float64, the rest stays in the chunks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from fleetbox.chunks import RESERVED_COLUMNS, TIME, table
from fleetbox.errors import InputError
from fleetbox.ledger import minute_of
from fleetbox.points import Points
from fleetbox.records import Head, Record
from fleetbox.tallies import Minutes, Tally, merge

UNDECODABLE = "undecodable"


@dataclass(frozen=True, slots=True)
class Chunk:
    """Hold a chunk that opened: its record, its numbers as float64 beside their times, its first and last row's time.

    A chunk without rows has its own time as both.
    """

    record: Record
    numbers: Any
    first_us: int
    last_us: int


def opened(records: Iterable[Record]) -> tuple[list[Chunk], list[Record]]:
    """Return the chunks of one entry, and those that could not be opened.

    Numbers are cast to float64, truth values to 0 and 1; text, bytes and lists are left out, and so are the exact
    clocks.
    """
    import pyarrow as pa

    broken, found = list[Record](), list[Chunk]()
    for record in records:
        try:
            numbers = _numbers(table(record.data))
        except (InputError, KeyError, pa.ArrowException):
            broken.append(record)
            continue
        found.append(Chunk(record, numbers, *_span_us(numbers[TIME], record.time_us)))
    return found, broken


def points(chunks: Iterable[Chunk], robot: str, site: str) -> list[Points]:
    """Return the points of chunks of one entry, those of equal columns as one: small ones cost by the piece."""
    import pyarrow as pa

    stream, tables = "", dict[Any, list[Any]]()
    for chunk in chunks:
        stream = chunk.record.entry
        tables.setdefault(chunk.numbers.schema, []).append(chunk.numbers)
    whole = [pa.concat_tables(alike).combine_chunks() for alike in tables.values()]  # pieces cost arrow by the piece
    return [_points(one, stream, robot, site) for one in whole]


def within(found: Iterable[Points], spans_us: Sequence[tuple[int, int]]) -> list[Points]:
    """Return the rows that lie in one of the spans [start, stop), which are in order and apart."""
    import numpy as np
    import pyarrow as pa

    edges = np.array(spans_us, np.int64).reshape(-1)
    cut = []
    for part in found:
        inside = pa.array(np.searchsorted(edges, np.asarray(part.time_us), side="right") % 2 == 1)
        fields = {name: column.filter(inside) for name, column in part.fields.items()}
        cut.append(replace(part, time_us=part.time_us.filter(inside), fields=fields))
    return cut


def unopened(broken: Iterable[Record]) -> Minutes:
    """Return the tally of chunks that do not open: the rows their labels tell, in the minute they begin in."""
    minutes: Minutes = {}
    for record in broken:
        rows = rows_of(record)
        merge(minutes, {minute_of(record.time_us): Tally(rows, refused={UNDECODABLE: rows})})
    return minutes


def rows_of(record: Head) -> int:
    """Return how many rows a chunk says it has; one that says nothing counts as one."""
    text = record.labels.get("rows", "")
    return int(text) if text.isdecimal() else 1


def length_us(record: Head) -> int:
    """Return how far a chunk says it reaches."""
    text = record.labels.get("t_end", "")
    return max(0, int(text) - record.time_us) if text.isdecimal() else 0


def _span_us(times: Any, else_us: int) -> tuple[int, int]:
    import numpy as np

    stamps = np.asarray(times)
    return (int(stamps.min()), int(stamps.max())) if len(stamps) else (else_us, else_us)


def _numbers(chunk: Any) -> Any:
    import pyarrow as pa

    names = list(_numeric(chunk.schema))
    if chunk[TIME].null_count:
        raise InputError("a chunk has rows without a time")
    columns = {TIME: chunk[TIME].cast(pa.int64())}
    for name in names:
        column = chunk[name]
        if pa.types.is_boolean(column.type):
            column = column.cast(pa.int8())  # arrow has no cast from bool to float64
        columns[name] = column.cast(pa.float64(), safe=False)  # beyond 2^53 the last digits go: InfluxDB holds float64
    return pa.table(columns)


def _numeric(schema: Any) -> Iterable[str]:
    import pyarrow as pa

    kinds = pa.types
    for field in schema:
        number = kinds.is_floating(field.type) or kinds.is_integer(field.type) or kinds.is_boolean(field.type)
        if number and field.name not in RESERVED_COLUMNS:
            yield field.name


def _points(alike: Any, stream: str, robot: str, site: str) -> Points:
    fields = {name: alike[name] for name in alike.column_names if name != TIME}
    return Points(stream, robot, site, alike[TIME], fields)

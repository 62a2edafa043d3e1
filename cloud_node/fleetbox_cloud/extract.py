"""Turn the chunks of one stream into points: what is a number becomes float64, the rest stays in the chunks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from fleetbox.chunks import RESERVED_COLUMNS, TIME, table
from fleetbox.errors import InputError
from fleetbox.points import Points
from fleetbox.records import Record


def points(records: Sequence[Record], robot: str, site: str) -> tuple[list[Points], int]:
    """Return the points of chunks of one entry, and how many chunks could not be opened.

    Numbers are cast to float64, truth values to 0 and 1; text, bytes and lists are left out, and so are the exact
    clocks. Chunks of equal columns become one value: small chunks cost by the piece.
    """
    import pyarrow as pa

    broken, tables = 0, dict[Any, list[Any]]()
    for record in records:
        try:
            found = _numbers(table(record.data))
        except (InputError, KeyError, pa.ArrowException):
            broken += 1
            continue
        tables.setdefault(found.schema, []).append(found)
    entry = records[0].entry if records else ""
    return [_points(pa.concat_tables(alike), entry, robot, site) for alike in tables.values()], broken


def _numbers(chunk: Any) -> Any:
    import pyarrow as pa

    names = list(_numeric(chunk.schema))
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

"""Fit chunks into a table's columns: one row per row, names every reader takes, types that only ever widen.

A table's column never changes its type. A field that comes with another type than its column's is cast where that is
exact (whole numbers into floats); else it gets a column of its own beside it, `ax__double` beside `ax`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import xxhash

from fleetbox import chunks
from fleetbox.errors import InputError
from fleetbox.labels import RESERVED
from fleetbox.records import Record

if TYPE_CHECKING:
    import pyarrow as pa

STAMPS = (chunks.TIME, *chunks.CLOCKS)  # which no field can be named
OWN = ("robot", "day", "record_us", "xxh", "session", "seq", "labels", *STAMPS)
_UNUSABLE = re.compile(r"[ ,;{}()\n\t=]")  # what Parquet and Spark take in no column name


def rows_of(
    robot: str,
    records: Sequence[Record],
    schema: Mapping[str, pa.DataType],
    bad: list[str],
    floats: Collection[str] = (),
) -> list[pa.Table]:
    """Return the rows of one stream's chunks as tables that fit the table's schema, in the order given.

    Records that do not open are named in `bad`. floats: fields of which the stream's own schema says so.
    """
    fit = Fit(schema)
    fit.expect(floats)
    groups = _alike(records, bad)
    fit.widen(tables[0] for _, tables in groups)
    import pyarrow as pa

    out = []
    for mine, tables in groups:
        rows = fit.table(pa.concat_tables(tables))
        own = _own(robot, mine, [table.num_rows for table in tables], rows[chunks.TIME])
        # Ours come first: the format keeps the bounds of the first 32 columns, by which files are passed over.
        out.append(pa.table(own | {name: rows[name] for name in rows.column_names}))
    return out


class Fit:
    """Choose the column for each field, given the table's; columns it makes are there for what follows."""

    def __init__(self, schema: Mapping[str, pa.DataType]) -> None:
        self._known = dict(schema)

    def expect(self, floats: Iterable[str]) -> None:
        """Take fields that are new to the table as floats, whatever the first of their chunks have."""
        import pyarrow as pa

        for name in floats:
            self._known.setdefault(self._named(name), pa.float64())

    def widen(self, tables: Iterable[pa.Table]) -> None:
        """Take a field that is new to the table as a float at once where some of its chunks have floats."""
        import pyarrow as pa

        kinds: dict[str, set[pa.DataType]] = {}
        for table in tables:
            for field in table.schema:
                kinds.setdefault(field.name, set()).add(plain_kind(field.type))
        for name, found in kinds.items():
            if len(found) > 1 and found <= {pa.int64(), pa.float64()}:
                self._known.setdefault(self._named(name), pa.float64())

    def table(self, rows: pa.Table) -> pa.Table:
        """Return the rows with every field in its column."""
        import pyarrow as pa

        out: dict[str, pa.ChunkedArray] = {}
        for name in rows.column_names:
            if name in STAMPS:
                out[name] = rows[name]
            elif (values := _plain_values(rows[name])) is not None:
                column, values = self._placed(self._named(name), values)
                out[column] = values
        return pa.table(out)

    def _placed(self, name: str, values: pa.ChunkedArray) -> tuple[str, pa.ChunkedArray]:
        import pyarrow as pa

        kind = self._known.setdefault(name, values.type)
        if kind == values.type:
            return name, values
        if pa.types.is_floating(kind) and pa.types.is_integer(values.type):
            try:
                return name, values.cast(kind)
            except pa.ArrowInvalid:  # a whole number beyond 2^53 is no float
                pass
        return self._placed(f"{name}__{_kind_text(values.type)}", values)

    def _named(self, name: str) -> str:
        """Return a field's column; one that a reader would confuse with another gets a suffix of its own."""
        column = _UNUSABLE.sub("_", name)
        folded = column.casefold()
        same = [known for known in self._known if known.casefold() == folded]
        if folded in OWN:
            column = f"field__{column}"
        elif same and column not in same:
            column = f"{column}__{xxhash.xxh3_64_hexdigest(name.encode())[:4]}"
        return column


def plain_kind(kind: pa.DataType) -> pa.DataType:
    """Return the type a column of these values has: whole numbers as int64, others as float64, lists of either."""
    import pyarrow as pa

    is_ = pa.types
    if is_.is_integer(kind):
        return pa.int64() if kind != pa.uint64() else kind
    if is_.is_floating(kind):
        return pa.float64()
    if is_.is_boolean(kind) or is_.is_null(kind):
        return kind
    if is_.is_binary(kind) or is_.is_large_binary(kind):
        return pa.binary()
    if is_.is_list(kind) or is_.is_large_list(kind) or is_.is_fixed_size_list(kind):
        inner = plain_kind(kind.value_type)
        return pa.list_(pa.int64() if inner == pa.uint64() else inner)
    return pa.timestamp("us", tz="UTC") if is_.is_timestamp(kind) else pa.string()


def _plain_values(values: pa.ChunkedArray) -> pa.ChunkedArray | None:
    """Return values as a table can hold them; None for a field without any. The format knows no unsigned numbers."""
    import pyarrow as pa

    kind = plain_kind(values.type)
    if pa.types.is_null(kind):
        return None
    if kind == pa.uint64():
        try:
            return values.cast(pa.int64())
        except pa.ArrowInvalid:
            return values.cast(pa.decimal128(20, 0))
    return values if values.type == kind else values.cast(kind)


def _alike(records: Sequence[Record], bad: list[str]) -> list[tuple[list[Record], list[pa.Table]]]:
    """Open chunks and group those of one schema: they are cast together."""
    groups: dict[pa.Schema, tuple[list[Record], list[pa.Table]]] = {}
    for record in records:
        try:
            table = _opened(record)
        except InputError as error:
            bad.append(f"{record.bucket}/{record.entry} at {record.time_us}: {error.message}")
            continue
        mine = groups.setdefault(table.schema.remove_metadata(), ([], []))
        mine[0].append(record)
        mine[1].append(table)
    return list(groups.values())


def _opened(record: Record) -> pa.Table:
    import pyarrow as pa

    said = record.labels.get("xxh")
    if said and said != xxhash.xxh3_64_hexdigest(record.data):
        raise InputError(f"{record.size} bytes are not those that were written: their xxh3 differs from {said}")
    table = chunks.table(record.data)
    if chunks.TIME not in table.column_names:
        raise InputError("a chunk without stamps")
    kept = [name for name in table.column_names if name != chunks.CDR]
    stamps = table[chunks.TIME].cast(pa.timestamp("us", tz="UTC"))
    table = table.select(kept)
    return table.set_column(table.column_names.index(chunks.TIME), chunks.TIME, stamps).replace_schema_metadata()


def _own(robot: str, records: Sequence[Record], rows: Sequence[int], stamps: pa.ChunkedArray) -> dict[str, Any]:
    """Say where each row is from: robot, day, record, session and number, the chunk's own labels; `rows` of each."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    counts = np.array(rows)
    at = pa.array(np.repeat(np.arange(len(records)), counts))
    within = np.arange(len(stamps)) - np.repeat(np.cumsum(counts) - counts, counts)
    first = [int(seq) if (seq := record.labels.get("seq", "")).isdecimal() else None for record in records]

    def each(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
        return pa.array(values, kind).take(at)

    return {
        "robot": each([robot] * len(records), pa.string()),
        "day": stamps.cast(pa.date32()),
        "record_us": each([record.time_us for record in records], pa.int64()),
        "xxh": each([mark_of(record) for record in records], pa.string()),
        "session": each([record.labels.get("session") for record in records], pa.string()),
        "seq": pc.add(each(first, pa.int64()), pa.array(within)),
        "labels": each([labels_text(record.labels) for record in records], pa.string()),
    }


def mark_of(record: Record) -> str:
    """Return what tells two records of one stream and time apart."""
    return record.labels.get("xxh") or str(record.size)


def labels_text(labels: Mapping[str, str]) -> str | None:
    """Return the labels that people gave, as JSON; None where there are none."""
    given = {name: value for name, value in sorted(labels.items()) if name not in RESERVED}
    return json.dumps(given) if given else None


def _kind_text(kind: pa.DataType) -> str:
    import pyarrow as pa

    if pa.types.is_list(kind):
        return f"list_{_kind_text(kind.value_type)}"
    return str(kind).partition("[")[0].partition("(")[0].replace("int64", "long")

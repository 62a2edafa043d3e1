"""Find a kind that holds what a stream's chunks have of one field, and say where its numbers are rounded for it."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa


Rounding = dict[str, int]  # "robot/stream:field" -> values rounded


class Rounded(UserWarning):
    """Warn that whole numbers beyond 2^53 were made floats, because the same field holds floats elsewhere."""


def widest(found: set[pa.DataType]) -> pa.DataType:
    """Return a type that holds the values of all of them: mixed numbers as floats, what does not fit as text."""
    import pyarrow as pa

    kinds = sorted(found, key=str)
    if len(kinds) == 1:
        return kinds[0]
    if all(pa.types.is_integer(kind) and kind != pa.uint64() for kind in kinds):
        return pa.int64()
    if all(_is_number(kind) for kind in kinds):
        return pa.float64()
    if all(pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind) for kind in kinds):
        return pa.list_(widest({kind.value_type for kind in kinds}))
    return pa.string()


def note_rounded(told: Rounding, name: str, table: pa.Table, schema: pa.Schema) -> None:
    """Count, by "robot/stream:field", the values of a stream's table that lose digits when cast to another schema."""
    for field in table.schema:
        if field.name in schema.names and (lost := _lost(table[field.name], schema.field(field.name).type)):
            told[f"{name}:{field.name}"] = told.get(f"{name}:{field.name}", 0) + lost


def rounded_lines(told: Rounding) -> list[str]:
    """Return a line for each such field, with what keeps the digits."""
    return [
        f"{field} holds whole numbers and floats: as floats {lost:,} of its values beyond 2^53 are rounded; "
        "`query --format ndjson` gives each row as it was recorded"
        for field, lost in sorted(told.items())
    ]


def warn_of_rounding(told: Rounding, stacklevel: int = 3) -> None:
    """Warn with Rounded of each."""
    for line in rounded_lines(told):
        warnings.warn(Rounded(line), stacklevel=stacklevel)


def _lost(column: pa.ChunkedArray, kind: pa.DataType) -> int:
    """Return how many values are another number as a float than as the whole number they are."""
    import pyarrow as pa
    import pyarrow.compute as pc

    while pa.types.is_nested(column.type) and pa.types.is_nested(kind):
        column, kind = pc.list_flatten(column), kind.value_type
    if not (pa.types.is_integer(column.type) and pa.types.is_floating(kind)):
        return 0
    try:
        column.cast(kind)  # refuses what lies beyond 2^53
    except pa.ArrowInvalid:
        back = column.cast(kind, safe=False).cast(column.type, safe=False)
        return pc.sum(pc.not_equal(column, back)).as_py() or 0
    return 0


def _is_number(kind: pa.DataType) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind))

"""Write a table's rows as JSON texts, a column at a time: ten times as fast as a row at a time."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from fleetbox import chunks
from fleetbox_query.plain import plain_value

if TYPE_CHECKING:
    import pyarrow as pa

HIDDEN = (chunks.TIME, chunks.CDR, *chunks.CLOCKS)
_WORDS = {float("nan"): '"NaN"', float("inf"): '"Infinity"', float("-inf"): '"-Infinity"'}


def nested(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Turn dotted names into objects, which Foxglove plots by path; a name beside its own parent stays dotted."""
    out: dict[str, Any] = {}
    for name, value in fields.items():
        *parents, last = name.split(".")
        if any(".".join(parents[:count]) in fields for count in range(1, len(parents) + 1)):
            out[name] = value
            continue
        at = out
        for parent in parents:
            at = at.setdefault(parent, {})
        at[last] = value
    return out


def texts_of(table: pa.Table) -> pa.Array:
    """Return each row as the bytes of a JSON object; numbers in full, what JSON lacks as texts, bytes as base64."""
    import pyarrow as pa
    import pyarrow.compute as pc

    shown = [name for name in table.column_names if name not in HIDDEN]
    parts: list[Any] = []
    text = ""
    for piece in _pieces(nested({name: _Column(table[name]) for name in shown})):
        if isinstance(piece, str):
            text += piece
        else:
            parts += [text, piece.texts()]
            text = ""
    if not parts:
        return pa.array([b"{}"] * table.num_rows, pa.binary())
    return pc.binary_join_element_wise(*parts, text, "").cast(pa.binary())


class _Column:
    def __init__(self, values: pa.ChunkedArray) -> None:

        self._values = values.combine_chunks() if values.num_chunks != 1 else values.chunk(0)
        self._kind: pa.DataType = values.type

    def texts(self) -> pa.Array:
        import pyarrow as pa
        import pyarrow.compute as pc

        values, kind = self._values, self._kind
        if pa.types.is_boolean(kind) or pa.types.is_integer(kind):
            texts = values.cast(pa.string())
        elif pa.types.is_floating(kind):
            texts = _numbers(values.cast(pa.float64()))
        elif pa.types.is_string(kind):
            coded = values.dictionary_encode()
            texts = pa.array([json.dumps(one) for one in coded.dictionary.to_pylist()], pa.string()).take(coded.indices)
        else:
            rows = values.to_pylist()
            texts = pa.array([None if row is None else json.dumps(plain_value(row)) for row in rows], pa.string())
        return pc.fill_null(texts, "null") if texts.null_count else texts


def _numbers(values: pa.Array) -> pa.Array:
    import pyarrow as pa
    import pyarrow.compute as pc

    texts = values.cast(pa.string())
    if pc.all(pc.is_finite(values)).as_py() is not False:
        return texts
    for number, word in _WORDS.items():
        odd = pc.is_nan(values) if number != number else pc.equal(values, number)
        texts = pc.if_else(pc.fill_null(odd, False), word, texts)
    return texts


def _pieces(at: Any) -> Iterator[Any]:
    """Yield JSON text and columns by turns, as they stand in a row's object."""
    if isinstance(at, _Column):
        yield at
        return
    for number, (name, value) in enumerate(at.items()):
        yield ("{" if not number else ",") + json.dumps(name) + ":"
        yield from _pieces(value)
    yield "}" if at else "{}"

"""Pack rows: one msgpack payload per row on the way in, one Arrow chunk per many on the way out."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any

import msgpack

from fleetbox import chunks

_SIZES = {"d": 8, "q": 8, "?": 1}
_NUMPY = {"d": ">f8", "q": ">i8", "?": "?"}
_HEAD = struct.Struct(">7sQcq")  # a row's msgpack so far: array(4), shape as uint32, seq as uint64, stamp as int64
STAMP_MARK = b"\xd3"  # msgpack's mark of an int64
ROW_MARK = 0x94  # msgpack's array of four: a row; every other frame is a longer array that begins with its kind


def kind_of(value: Any) -> str:
    """Name how a field's value is stored: d, q, ? (float, int, bool), "7d" (list), s (text), n (missing), * (other)."""
    kind = type(value)
    if kind is float:
        return "d"
    if kind is bool:
        return "?"
    if kind is int:
        return "q"
    if kind is str:
        return "s"
    if value is None:
        return "n"
    if isinstance(value, list | tuple) and value:
        inner = {kind_of(item) for item in value}
        if inner <= {"d", "q"}:
            return f"{len(value)}{'d' if 'd' in inner else 'q'}"
        if inner == {"?"}:
            return f"{len(value)}?"
    if isinstance(value, float | int):
        return "d" if isinstance(value, float) else "q"
    return "*"


def widen(known: str | None, new: str) -> str:
    """Return the kind a field has after a value of a new kind: a float stays a float when a whole number comes."""
    if known is None or known == new or known == "n":
        return new
    if new == "n":
        return known
    return f"{new[:-1]}d" if known[-1:] == "d" and new[-1:] == "q" else new


@dataclass(frozen=True, slots=True)
class Shape:
    """Say how the rows of one stretch of a stream are stored: names, kinds, and whether bytes are of fixed size."""

    number: int
    names: tuple[str, ...]
    kinds: tuple[str, ...]
    loose: bool
    codec: struct.Struct = field(init=False, repr=False, compare=False)
    head: bytes = field(init=False, repr=False, compare=False)
    bin_head: bytes = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        size = 0 if self.loose else sum(_count(kind) * _SIZES[kind[-1]] for kind in self.kinds)
        layout = "" if self.loose else "".join(self.kinds)
        head = b"\xc4" + size.to_bytes(1) if size < 256 else b"\xc6" + size.to_bytes(4)
        object.__setattr__(self, "bin_head", head)
        object.__setattr__(self, "head", bytes([ROW_MARK, 0xCE]) + self.number.to_bytes(4) + b"\xcf")
        object.__setattr__(self, "codec", struct.Struct(f"{_HEAD.format}{len(head)}s{layout}"))

    @property
    def row_bytes(self) -> int:
        """Return about how many bytes a row takes in a chunk."""
        if self.loose:
            return 8 + 24 * len(self.kinds)  # a guess: text is short, and the bound is a soft one
        return 8 + sum(_count(kind) * _SIZES[kind[-1]] for kind in self.kinds)

    def pack(self, seq: int, time_us: int, values: Sequence[Any]) -> bytes:
        """Return one row's payload; raises struct.error for a value that is not of its field's kind."""
        if self.loose:
            body: bytes = msgpack.packb([self.number, seq, time_us, msgpack.packb(list(values))])
            return body
        flat: list[Any] = []
        for kind, value in zip(self.kinds, values, strict=True):
            flat.extend(value) if len(kind) > 1 else flat.append(value)
        return self.codec.pack(self.head, seq, STAMP_MARK, time_us, self.bin_head, *flat)

    def chunk(self, payloads: Sequence[bytes]) -> bytes:
        """Return rows as one chunk."""
        times, columns = self._loose_columns(payloads) if self.loose else self._fixed_columns(payloads)
        return chunks.encode(times, columns)

    def _fixed_columns(self, payloads: Sequence[bytes]) -> tuple[Any, dict[str, Any]]:
        import numpy as np

        formats: list[Any] = [">i8"]
        offsets = [_HEAD.size - 8]
        at = _HEAD.size + len(self.bin_head)
        for kind in self.kinds:
            scalar = _NUMPY[kind[-1]]
            formats.append((scalar, (_count(kind),)) if len(kind) > 1 else scalar)
            offsets.append(at)
            at += _count(kind) * _SIZES[kind[-1]]
        names = [str(index) for index in range(len(formats))]
        dtype = np.dtype({"names": names, "formats": formats, "offsets": offsets, "itemsize": at})
        rows = np.frombuffer(b"".join(payloads), dtype)
        columns = {name: _native(rows[str(index)]) for index, name in enumerate(self.names, 1)}
        return _native(rows["0"]), columns

    def _loose_columns(self, payloads: Sequence[bytes]) -> tuple[Any, dict[str, Any]]:
        rows = [msgpack.unpackb(payload) for payload in payloads]
        values = zip(*(msgpack.unpackb(row[3]) for row in rows), strict=True)
        columns = map(_widened, self.kinds, values)
        return [row[2] for row in rows], dict(zip(self.names, columns, strict=True))


def shape_of(number: int, row: Mapping[str, Any], known: Mapping[str, str], *, loose: bool) -> Shape:
    """Return the shape that holds this row and the kinds its fields are known to have."""
    kinds = tuple(widen(known.get(name), kind_of(value)) for name, value in row.items())
    fixed = all(kind[-1] in _SIZES for kind in kinds) and all(value is not None for value in row.values())
    return Shape(number, tuple(row), kinds, loose or not fixed)


def picker(shape: Shape) -> Callable[[dict[str, Any]], tuple[Any, ...]] | None:
    """Return what takes a flat dict's values in the shape's order, or None for rows that need more care."""
    if shape.loose or len(shape.names) < 2 or any(len(kind) > 1 for kind in shape.kinds):
        return None
    return itemgetter(*shape.names)


def renumbered(shape: Shape, payload: bytes, seq: int, time_us: int) -> bytes:
    """Return a row's payload with another number and stamp."""
    if shape.loose:
        body: bytes = msgpack.packb([shape.number, seq, time_us, msgpack.unpackb(payload)[3]])
        return body
    return shape.head + seq.to_bytes(8) + STAMP_MARK + time_us.to_bytes(8) + payload[_HEAD.size :]


def merge(pieces: Sequence[bytes]) -> bytes:
    """Return pieces of one schema, each an Arrow stream, as one chunk."""
    import pyarrow as pa

    table = pa.concat_tables([chunks.table(piece) for piece in pieces]).combine_chunks()
    columns = {name: table.column(name).chunk(0) for name in table.column_names}
    times = columns.pop(chunks.TIME).view(pa.int64())
    clocks = {name: columns.pop(name) for name in chunks.CLOCKS if name in columns}
    return chunks.encode(times, columns, clocks=clocks)


def row_time(payload: bytes) -> int:
    """Return the stamp of a row's payload."""
    stamp: int = msgpack.unpackb(payload)[2]
    return stamp


def count_rows(piece: bytes) -> int:
    """Return the rows of an Arrow piece."""
    rows: int = chunks.table(piece).num_rows
    return rows


def first_time(piece: bytes) -> int:
    """Return the first stamp of an Arrow piece."""
    import pyarrow as pa

    stamp: int = chunks.table(piece).column(chunks.TIME)[0].cast(pa.int64()).as_py()
    return stamp


def _count(kind: str) -> int:
    return int(kind[:-1] or 1)


def _widened(kind: str, values: Sequence[Any]) -> Sequence[Any]:
    """Return a field's values with whole numbers as floats where the stream has had floats there."""
    if kind == "d":
        return [float(value) if type(value) is int else value for value in values]
    if kind[-1:] == "d":
        return [[float(item) for item in value] if value is not None else None for value in values]
    return values


def _native(values: Any) -> Any:
    import numpy as np

    return np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("="))

"""Turn ROS 2 messages into rows: one column for every leaf of their definition."""

from __future__ import annotations

import base64
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import pyarrow as pa
from mcap.exceptions import McapError
from mcap.records import Schema
from mcap_ros2.decoder import DecoderFactory

from fleetbox.chunks import RESERVED_COLUMNS
from fleetbox.errors import InputError
from fleetbox.labels import Labels, check_user_labels
from fleetbox.types import images
from fleetbox_edge.ingest.decoding import Blob, Decoder, Raw, Row
from fleetbox_edge.ingest.ros2_schema import BYTE_KINDS, FLOATS, Definitions, parse_definitions, short_name

ROW_BYTES = 64 * 1024  # a message with a byte sequence (a picture, a cloud) that is larger is a record of its own
MAX_DEPTH = 16  # nested messages; definitions that contain themselves end here
_HEAD_BYTES = 150  # of a compressed picture's message before the picture: base64 of it fits a label
_UNDECODABLE = (
    *(ValueError, TypeError, KeyError, IndexError, EOFError, NotImplementedError, AttributeError, RuntimeError),
    *(struct.error, MemoryError, McapError),
)

Read = Callable[[Any], list[Any]]


@dataclass(frozen=True, slots=True)
class Leaf:
    """Hold one column: its dotted name, its Arrow type, and whether it is a byte sequence of any length."""

    name: str
    arrow: pa.DataType
    byte_sequence: bool = False


def ros2_decoder(schema: Schema) -> Decoder:
    """Return the decoder for a ros2msg schema; one that cannot be understood leaves its messages raw."""
    try:
        decode = DecoderFactory().decoder_for("cdr", schema)
        root, definitions = parse_definitions(schema.name, schema.data.decode())
        leaves, read = _plan(definitions, root, "", 0)
    except _UNDECODABLE:
        return Raw()
    if decode is None:
        return Raw()
    fields = definitions[root]
    stamped = any(field.name == "header" and field.base == "std_msgs/Header" for field in fields)
    if short_name(schema.name) == "sensor_msgs/CompressedImage":
        return Pictures(decode)
    return Ros2Rows(decode, leaves, read, stamped)


class Ros2Rows:
    """Make a row of every message: numbers as float64, int64 (uint64 where declared), bool, text, lists."""

    type = "time_series"

    def __init__(self, decode: Callable[[bytes], Any], leaves: Sequence[Leaf], read: Read, stamped: bool) -> None:
        self._decode = decode
        self._leaves = leaves
        self._read = read
        self._stamped = stamped
        self._has_bytes = any(leaf.byte_sequence for leaf in leaves)

    def decode(self, data: bytes) -> Row | Blob:
        """Return a row; large byte sequences and what does not decode are records of raw bytes."""
        try:
            message = self._decode(data)
            header_ns = _header_ns(message) if self._stamped else None
            if self._has_bytes and len(data) > ROW_BYTES:
                return Blob("file", data, header_ns)
            values = self._read(message)
        except _UNDECODABLE:
            return Blob("file", data, undecoded=True)
        return Row(values, header_ns, len(data) + sum(map(_size, values)))

    def columns(self, rows: Sequence[Row]) -> Mapping[str, Any]:
        """Return one Arrow array for every leaf, of the type its definition states."""
        values = zip(*(row.values for row in rows), strict=True)
        return {leaf.name: pa.array(column, leaf.arrow) for leaf, column in zip(self._leaves, values, strict=True)}


class Pictures:
    """Make a picture record of every CompressedImage: its JPEG or PNG bytes are the payload."""

    type = "images"

    def __init__(self, decode: Callable[[bytes], Any]) -> None:
        self._decode = decode

    def decode(self, data: bytes) -> Blob:
        """Return the picture; the message's bytes before it go along in the label `cdr_head`, as base64."""
        try:
            message = self._decode(data)
            picture, header_ns = bytes(message.data), _header_ns(message)
        except _UNDECODABLE:
            return Blob("file", data, undecoded=True)
        head = data[: len(data) - len(picture)]
        if not images.sniff(picture) or not data.endswith(picture) or len(head) > _HEAD_BYTES:
            return Blob("file", data, header_ns)
        labels: Labels = {"cdr_head": base64.b64encode(head).decode()}
        for name, value in (("format", message.format), ("frame_id", message.header.frame_id)):
            labels |= _label(name, value)
        return Blob("images", picture, header_ns, labels)

    def columns(self, rows: Sequence[Row]) -> Mapping[str, Any]:
        """Never called: there are no rows."""
        raise AssertionError("pictures make no rows")


def _label(name: str, value: str) -> Labels:
    """Return the label, or none where the text is no label's: it still stands in cdr_head."""
    try:
        return check_user_labels({name: value})
    except InputError:
        return {}


def _header_ns(message: Any) -> int:
    stamp = message.header.stamp
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)


def _size(value: Any) -> int:
    if isinstance(value, list):
        return 4 + sum(map(_size, value)) if value and isinstance(value[0], list | str) else 4 + 8 * len(value)
    return 4 + len(value) if isinstance(value, str) else 8


def _plan(definitions: Definitions, name: str, prefix: str, depth: int) -> tuple[list[Leaf], Read]:
    """Return a message's leaves, and what reads their values from a decoded message in the same order."""
    if depth > MAX_DEPTH:
        raise ValueError(f"{name} is nested deeper than {MAX_DEPTH}")
    leaves: list[Leaf] = []
    reads: list[Read] = []
    for field in definitions[name]:
        full = f"{prefix}{field.name}"
        if field.primitive:
            inner, read = [_leaf(full, field.base, field.array)], _read_primitive(field.name, field.array)
        else:
            inner, read = _plan(definitions, field.base, f"{full}.", depth + 1)
            read = _read_nested(field.name, field.array, read, len(inner))
            if field.array is not None:
                inner = [Leaf(leaf.name, _listed(leaf.arrow, field.array), leaf.byte_sequence) for leaf in inner]
        leaves += inner
        reads.append(read)
    return leaves, lambda message: [value for read in reads for value in read(message)]


def _leaf(name: str, base: str, array: int | None) -> Leaf:
    if name in RESERVED_COLUMNS:
        name += "_"  # a message may have a field of its own called time_us or cdr
    if base in FLOATS:
        arrow = pa.float64()
    elif base in ("string", "wstring"):
        arrow = pa.string()
    else:
        arrow = pa.bool_() if base == "bool" else pa.uint64() if base == "uint64" else pa.int64()
    if array is None:
        return Leaf(name, arrow)
    byte_sequence = base in BYTE_KINDS and not array
    items = pa.int16() if byte_sequence else arrow  # int16 holds bytes, signed or not, at a quarter of int64
    return Leaf(name, _listed(items, array), byte_sequence)


def _listed(arrow: pa.DataType, array: int) -> pa.DataType:
    return pa.list_(arrow, array) if array else pa.list_(arrow)


def _read_primitive(name: str, array: int | None) -> Read:
    get = attrgetter(name)
    return (lambda message: [get(message)]) if array is None else (lambda message: [list(get(message))])


def _read_nested(name: str, array: int | None, read: Read, leaf_count: int) -> Read:
    get = attrgetter(name)
    if array is None:
        return lambda message: read(get(message))

    def read_items(message: Any) -> list[Any]:
        items = [read(item) for item in get(message)]
        return [list(column) for column in zip(*items, strict=True)] if items else [[] for _ in range(leaf_count)]

    return read_items

"""Read what the frames of a dead process's spool mean: rows, pieces and records, and notes about them."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import msgpack

from fleetbox_edge.numbers import Numbers
from fleetbox_edge.packing import ROW_MARK, Shape
from fleetbox_edge.parcels import Address
from fleetbox_edge.spool import scan
from fleetbox_edge.spool.heads import boot_id, read_head

UNREADABLE = (ValueError, TypeError, IndexError, KeyError, AttributeError)  # a whole frame that makes no sense

_ROW_FIELDS, _UNIT_FIELDS = 4, 11
LONGEST_US = 60_000_000  # the longest that a chunk may be open

Key = tuple[str, str]  # session, stream


class Ranges:
    """Find the range of numbers that a number lies in; ranges begin where they are added."""

    def __init__(self) -> None:
        self._ranges: dict[int, tuple[int, int, int]] = {}
        self._firsts: list[int] = []
        self._last: tuple[int, int, int] | None = None

    def add(self, first: int, count: int, note: int = 0) -> None:
        """Add [first, first + count)."""
        self._ranges[first] = (first, count, note)
        self._firsts = []

    def numbers(self) -> Numbers:
        """Return all of them as one set."""
        return Numbers(*((first, first + count) for first, count, _ in self._ranges.values()))

    def find(self, seq: int) -> tuple[int, int, int] | None:
        """Return (first, count, note) of the range that holds the number."""
        if self._last is not None and self._last[0] <= seq < self._last[0] + self._last[1]:
            return self._last  # rows come in order: nearly always the same range again
        if len(self._firsts) != len(self._ranges):
            self._firsts = sorted(self._ranges)
        at = bisect_right(self._firsts, seq) - 1
        found = self._ranges[self._firsts[at]] if at >= 0 else None
        if found is None or seq >= found[0] + found[1]:
            return None
        self._last = found
        return found


@dataclass(slots=True)
class Index:
    """Know of one class's segments what rows alone don't tell: shapes, where chunks end, what is done."""

    shapes: dict[int, tuple[Shape, Address]] = field(default_factory=dict)
    seals: dict[Key, Ranges] = field(default_factory=lambda: defaultdict(Ranges))  # the note is the key in µs
    done: dict[Key, Ranges] = field(default_factory=lambda: defaultdict(Ranges))
    units: dict[Key, Ranges] = field(default_factory=lambda: defaultdict(Ranges))  # chunks kept as finished records

    def is_done(self, key: Key, seq: int) -> bool:
        """Tell whether the store has this number."""
        return self.done[key].find(seq) is not None

    def is_row_needed(self, key: Key, seq: int) -> bool:
        """Tell whether a row is neither in the store nor in a finished record of the spool."""
        return not self.is_done(key, seq) and self.units[key].find(seq) is None


@dataclass(frozen=True, slots=True)
class Part:
    """Hold one row, one piece of many rows, or one finished record, as the spool has it."""

    address: Address
    shape: Shape | None
    seq: int
    rows: int
    start_us: int
    stop_us: int
    data: bytes
    whole: bool = False  # a finished record, with `rows` as its label says

    @property
    def key(self) -> Key:
        """Return session and stream."""
        return self.address.session, self.address.stream

    @property
    def count(self) -> int:
        """Return how many numbers it uses up."""
        return max(1, self.rows)


def read_index(index: Index, cls: str, data: bytes) -> None:
    """Add one segment to the index; what was done before the machine started anew the store may have lost since."""
    head = read_head(data)
    trusted = head is None or head.boot == boot_id()
    for _, payload in scan(data):
        if payload[0] == ROW_MARK:
            continue
        with suppress(*UNREADABLE):  # told of when the segment is fed to the rebuilder
            kind, *rest = msgpack.unpackb(payload)
            if kind != "done" or trusted:
                _note(index, cls, kind, rest)


def parts_in(index: Index, cls: str, data: bytes) -> Iterator[Part]:
    """Yield what one segment holds and neither the store nor a finished record of the spool does."""
    for _, payload in scan(data):
        with suppress(*UNREADABLE):
            part = part_of(index, cls, payload)
            if part is not None and is_needed(index, part):
                yield part


def part_of(index: Index, cls: str, payload: bytes) -> Part | None:
    """Return what a frame holds of rows or blobs, None for one that only notes; raises one of UNREADABLE."""
    if payload[0] == ROW_MARK:
        number, seq, time_us, _ = msgpack.unpackb(payload)
        shape, address = index.shapes[number]
        return Part(address, shape, seq, 1, time_us, time_us, payload)
    kind, *rest = msgpack.unpackb(payload)
    if kind not in ("cols", "unit"):
        return None
    session, stream, type_name, content_type, labels, seq, rows, start_us, stop_us, data = rest
    address = Address(session, cls, stream, type_name, content_type, labels)
    return Part(address, None, seq, rows, start_us, stop_us, data, whole=kind == "unit")


def is_needed(index: Index, part: Part) -> bool:
    """Tell whether neither the store nor a finished record of the spool has it."""
    return not index.is_done(part.key, part.seq) if part.whole else index.is_row_needed(part.key, part.seq)


def guess(index: Index, cls: str, data: bytes) -> Part | None:
    """Return what a damaged frame most likely held, without its bytes, as far as its head can still be read."""
    unpacker = msgpack.Unpacker(max_buffer_size=0, unicode_errors="replace", strict_map_key=False)
    unpacker.feed(data)
    with suppress(msgpack.UnpackException, *UNREADABLE):
        length = unpacker.read_array_header()
        fields = [unpacker.unpack() for _ in range(min(length, _UNIT_FIELDS) - 1)]  # the last holds the bytes
        if length == _ROW_FIELDS:
            number, seq, time_us = fields
            shape, address = index.shapes[number]
            if isinstance(seq, int) and isinstance(time_us, int) and min(seq, time_us) >= 0:
                return Part(address, shape, seq, 1, time_us, time_us, b"")
        if length == _UNIT_FIELDS:
            kind, session, stream, type_name, content_type, labels, seq, rows, start_us, stop_us = fields
            address = Address(session, cls, stream, type_name, content_type, labels)
            texts = all(isinstance(text, str) for text in (session, stream))
            numbers = all(isinstance(number, int) and number >= 0 for number in (seq, rows, start_us, stop_us))
            if texts and numbers:
                rows = min(rows, 1) if stop_us == start_us else rows  # rows of one chunk differ in their stamps
                stop_us = stop_us if 0 <= stop_us - start_us <= LONGEST_US else start_us
                return Part(address, None, seq, rows, start_us, stop_us, b"", whole=kind == "unit")
    return None


def _note(index: Index, cls: str, kind: str, rest: list[Any]) -> None:
    if kind == "shape":
        number, session, stream, type_name, content_type, labels, names, kinds, loose = rest
        address = Address(session, cls, stream, type_name, content_type, labels)
        index.shapes[number] = Shape(number, tuple(names), tuple(kinds), loose), address
    elif kind == "seal":
        session, stream, seq, rows, key_us = rest
        index.seals[session, stream].add(seq, rows, key_us)
    elif kind == "done":
        session, stream, seq, count = rest
        index.done[session, stream].add(seq, count)
    elif kind == "unit" and rest[6]:
        index.units[rest[0], rest[1]].add(int(rest[5]), int(rest[6]))

"""Bring what a dead process left in its spool into the store: same chunks, same stamps, same numbers."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import msgpack

from fleetbox import chunks
from fleetbox_edge.packing import ROW_MARK, Shape
from fleetbox_edge.parcels import Address, Parcel
from fleetbox_edge.spool import Damage, scan

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
    rows: int = 0  # rows and blobs met, done or not

    def is_done(self, key: Key, seq: int) -> bool:
        """Tell whether the store has this number."""
        return self.done[key].find(seq) is not None

    def is_row_needed(self, key: Key, seq: int) -> bool:
        """Tell whether a row is neither in the store nor in a finished record of the spool."""
        return not self.is_done(key, seq) and self.units[key].find(seq) is None


def read_index(index: Index, cls: str, data: bytes) -> None:
    """Add one segment to the index."""
    for _, payload in scan(data, Damage()):
        if payload[0] == ROW_MARK:
            index.rows += 1
            continue
        kind, *rest = msgpack.unpackb(payload)
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
        elif kind == "cols":
            index.rows += int(rest[6])
        elif kind == "unit":
            index.rows += max(1, int(rest[6]))
            if rest[6]:
                index.units[rest[0], rest[1]].add(int(rest[5]), int(rest[6]))


@dataclass(slots=True)
class _Growing:
    """Gather the rows of one chunk."""

    address: Address
    shape: Shape | None
    seal: tuple[int, int, int] | None
    first_seq: int
    first_us: int
    stop_us: int
    rows: int = 0
    size: int = 0
    parts: list[bytes] = field(default_factory=list)

    def parcel(self) -> Parcel:
        key_us, probe = self.first_us, None
        if self.seal is not None:
            seq, rows, sealed_us = self.seal
            if self.first_seq == seq:
                key_us = sealed_us
            if self.rows != rows:
                probe = (sealed_us, seq, rows)
        return Parcel(
            self.address, self.first_seq, key_us, self.stop_us, self.rows, self.size, None, self.shape, self.parts,
            probe=probe,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Part:
    """Hold one row, or one piece of many rows, as the spool has it."""

    address: Address
    shape: Shape | None
    seq: int
    rows: int
    start_us: int
    stop_us: int
    data: bytes


class Rebuilder:
    """Turn one class's frames, given segment by segment, back into the records they were to become."""

    def __init__(self, index: Index, cls: str, bound_us: int, damage: Damage) -> None:
        self._index, self._cls, self._bound_us, self._damage = index, cls, bound_us, damage
        self._growing: dict[Key, _Growing] = {}

    def feed(self, data: bytes) -> Iterator[Parcel]:
        """Yield the records that are complete with this segment."""
        for _, payload in scan(data, self._damage):
            if payload[0] == ROW_MARK:
                yield from self._row(payload)
                continue
            kind, *rest = msgpack.unpackb(payload)
            if kind == "cols":
                yield from self._columns(rest)
            elif kind == "unit":
                yield from self._unit(rest)

    def finish(self) -> Iterator[Parcel]:
        """Yield what was still growing when the process died."""
        for growing in self._growing.values():
            yield growing.parcel()
        self._growing.clear()

    def _row(self, payload: bytes) -> Iterable[Parcel]:
        number, seq, time_us, _ = msgpack.unpackb(payload)
        if number not in self._index.shapes:
            self._damage.frames += 1
            return ()
        shape, address = self._index.shapes[number]
        return self._grow(_Part(address, shape, seq, 1, time_us, time_us, payload))

    def _columns(self, rest: list[Any]) -> Iterable[Parcel]:
        session, stream, type_name, content_type, labels, seq, rows, start_us, stop_us, data = rest
        address = Address(session, self._cls, stream, type_name, content_type, labels)
        return self._grow(_Part(address, None, seq, rows, start_us, stop_us, data))

    def _unit(self, rest: list[Any]) -> Iterable[Parcel]:
        session, stream, type_name, content_type, labels, seq, rows, time_us, stop_us, body = rest
        if self._index.is_done((session, stream), seq):
            return ()
        address = Address(session, self._cls, stream, type_name, content_type, labels)
        return (Parcel(address, seq, time_us, stop_us, rows, len(body), body),)

    def _grow(self, part: _Part) -> Iterator[Parcel]:
        key = (part.address.session, part.address.stream)
        if not self._index.is_row_needed(key, part.seq):
            return
        growing = self._growing.get(key)
        if growing is not None and not self._fits(growing, part, key):
            yield growing.parcel()
            growing = None
        if growing is None:
            seal = self._index.seals[key].find(part.seq)
            growing = _Growing(part.address, part.shape, seal, part.seq, part.start_us, part.stop_us)
            self._growing[key] = growing
        growing.parts.append(part.data)
        growing.rows += part.rows
        growing.size += part.shape.row_bytes if part.shape else len(part.data)
        growing.stop_us = part.stop_us
        if growing.seal and growing.first_seq + growing.rows >= growing.seal[0] + growing.seal[1]:
            del self._growing[key]
            yield growing.parcel()

    def _fits(self, growing: _Growing, part: _Part, key: Key) -> bool:
        if part.seq != growing.first_seq + growing.rows or growing.address != part.address:
            return False
        if growing.seal is not None:
            return part.seq < growing.seal[0] + growing.seal[1]
        one_shape = part.shape is growing.shape and (part.shape is not None or _same_schema(growing, part))
        within = growing.stop_us < part.start_us and part.stop_us < growing.first_us + self._bound_us
        return one_shape and within and growing.size < chunks.MAX_BYTES and not self._index.seals[key].find(part.seq)


def _same_schema(growing: _Growing, part: _Part) -> bool:
    return bool(chunks.table(growing.parts[0]).schema == chunks.table(part.data).schema)

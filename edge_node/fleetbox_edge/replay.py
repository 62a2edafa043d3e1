"""Bring what a dead process left in its spool into the store: same chunks, same stamps, same numbers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from fleetbox import chunks
from fleetbox_edge.packing import Shape
from fleetbox_edge.parcels import Address, Parcel
from fleetbox_edge.spool import HEADER, Stretch, scan
from fleetbox_edge.spool.heads import read_head
from fleetbox_edge.spooled import UNREADABLE, Index, Key, Part, is_needed, part_of
from fleetbox_edge.suspects import Place, Suspects


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


class Rebuilder:
    """Turn one class's frames, given segment by segment, back into the records they were to become.

    `suspects` is told what was met, and what could not be read.
    """

    def __init__(self, index: Index, cls: str, bound_us: int, suspects: Suspects) -> None:
        self._index, self._cls, self._bound_us, self._suspects = index, cls, bound_us, suspects
        self._growing: dict[Key, _Growing] = {}

    def feed(self, path: Path, data: bytes) -> Iterator[Parcel]:
        """Yield the records that are complete with this segment."""
        head = read_head(data)
        for offset, payload in scan(data, lambda stretch: self._suspects.damaged(Place(path, stretch))):
            try:
                part = part_of(self._index, self._cls, payload)
            except UNREADABLE:
                framed = data[offset : offset + HEADER.size + len(payload)]
                self._suspects.damaged(Place(path, Stretch(offset, framed)))
                continue
            if part is not None:
                self._suspects.met(part.key, part.seq, part.count, part.start_us)
                yield from self._take(part)
        if head is not None and len(data) < head.size:
            self._suspects.damaged(Place(path, Stretch(len(data), b"")))

    def finish(self) -> Iterator[Parcel]:
        """Yield what was still growing when the process died."""
        for growing in self._growing.values():
            yield growing.parcel()
        self._growing.clear()

    def _take(self, part: Part) -> Iterable[Parcel]:
        if not is_needed(self._index, part):
            return ()
        if not part.whole:
            return self._grow(part)
        size = len(part.data)
        return (Parcel(part.address, part.seq, part.start_us, part.stop_us, part.rows, size, part.data),)

    def _grow(self, part: Part) -> Iterator[Parcel]:
        key = part.key
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

    def _fits(self, growing: _Growing, part: Part, key: Key) -> bool:
        if part.seq != growing.first_seq + growing.rows or growing.address != part.address:
            return False
        if growing.seal is not None:
            return part.seq < growing.seal[0] + growing.seal[1]
        one_shape = part.shape is growing.shape and (part.shape is not None or _same_schema(growing, part))
        within = growing.stop_us < part.start_us and part.stop_us < growing.first_us + self._bound_us
        return one_shape and within and growing.size < chunks.MAX_BYTES and not self._index.seals[key].find(part.seq)


def _same_schema(growing: _Growing, part: Part) -> bool:
    return bool(chunks.table(growing.parts[0]).schema == chunks.table(part.data).schema)

"""Read an MCAP file record by record, as far as it is whole."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Any

from mcap.data_stream import ReadDataStream
from mcap.exceptions import McapError
from mcap.opcode import Opcode
from mcap.reader import make_reader
from mcap.records import Attachment, Channel, Message, Metadata, Schema, Statistics

from fleetbox.errors import InputError
from fleetbox.records import MAX_RECORD_BYTES
from fleetbox_edge.ingest.report import Damage
from fleetbox_edge.ingest.unpack import Unpacked, unpack

MAGIC = b"\x89MCAP0\r\n"
MAX_CHUNK_BYTES = 1 << 30  # writers cut at 1 to 8 MB; a length beyond 1 GiB is damage, not data
_FRAME = struct.Struct("<BQ")
_CHUNK_HEAD = struct.Struct("<QQQI")  # first and last time, unpacked size, checksum; then name and packed size
_KINDS: dict[int, Any] = {
    Opcode.SCHEMA: Schema,
    Opcode.CHANNEL: Channel,
    Opcode.ATTACHMENT: Attachment,
    Opcode.METADATA: Metadata,
    Opcode.STATISTICS: Statistics,
}
_BROKEN = (McapError, ValueError, struct.error, EOFError, KeyError)


@dataclass(frozen=True, slots=True)
class Oversized:
    """Stand for an attachment that no single record may hold."""

    size_bytes: int


@dataclass(frozen=True, slots=True)
class Item:
    """Hold one record of the file; suspect when the checksum around it fails."""

    record: Schema | Channel | Message | Attachment | Metadata | Statistics | Oversized
    suspect: bool = False


def check_is_mcap(path: Path) -> int:
    """Return the file's size in bytes, or raise InputError when it is no MCAP file at all."""
    if not path.is_file():
        raise InputError(f"cannot ingest {path}: no such file", "check the path")
    size = path.stat().st_size
    if not size:
        raise InputError(f"cannot ingest {path}: the file is empty", "check the copy; nothing was written")
    with path.open("rb") as file:
        start = file.read(len(MAGIC))
    if start != MAGIC:
        raise InputError(
            f"cannot ingest {path}: no MCAP file, it begins with {start!r}",
            "give an MCAP recording (`ros2 bag convert` and `mcap convert` make one); nothing was written",
        )
    return size


class McapFile:
    """Read an MCAP file once, front to back; a context manager.

    Raises InputError when it is no MCAP file at all.
    """

    def __init__(self, path: Path) -> None:
        self._size = check_is_mcap(path)
        self._file = path.open("rb")
        self._damage: Damage | None = None
        self._expected_messages: int | None = None
        self._lost_estimate = 0
        self._data_ended = False
        self.messages = 0

    def __enter__(self) -> McapFile:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    @property
    def position(self) -> int:
        """Return how many bytes have been read."""
        return self._file.tell()

    def items(self) -> Iterator[Item]:
        """Yield records in file order; what is damaged is passed over where the next record can still be found."""
        self._file.seek(len(MAGIC))
        while (frame := self._frame()) is not None:
            opcode, length = frame
            if opcode == Opcode.FOOTER:
                self._file.seek(length, 1)
                if self._file.read(len(MAGIC)) != MAGIC:
                    self._damaged(self._size, "the closing mark is missing")
                return
            self._data_ended |= opcode == Opcode.DATA_END
            if opcode == Opcode.CHUNK:
                yield from self._chunk(length)
            elif opcode == Opcode.ATTACHMENT and length > MAX_RECORD_BYTES:
                self._file.seek(length, 1)
                yield Item(Oversized(length))
            elif (item := self._read(opcode, length)) is not None:
                yield item

    def _frame(self) -> tuple[int, int] | None:
        """Return the next record's kind and length, or None where no whole one follows."""
        at = self._file.tell()
        head = self._file.read(_FRAME.size)
        if len(head) < _FRAME.size:
            self._damaged(at, "the file ends without its footer")
            return None
        opcode, length = _FRAME.unpack(head)
        if opcode == 0 or (length > self._size - at - _FRAME.size and opcode != Opcode.CHUNK):
            self._damaged(at, f"a record of kind {opcode} claims {length:,} bytes, more than there are")
            return None
        return opcode, length

    def _read(self, opcode: int, length: int) -> Item | None:
        at = self._file.tell() - _FRAME.size
        kind = _KINDS.get(opcode)
        if kind is None and opcode != Opcode.MESSAGE:
            self._file.seek(length, 1)
            return None
        try:
            return self._counted(_parse(opcode, self._file.read(length)))
        except _BROKEN as error:
            self._damaged(at, f"a record of kind {opcode} does not parse: {error}")
            return None

    def _chunk(self, length: int) -> Iterator[Item]:
        at = self._file.tell() - _FRAME.size
        whole = length <= self._size - at - _FRAME.size
        if length > MAX_CHUNK_BYTES:
            self._damaged(at, f"a chunk claims {length:,} bytes")
            self._file.seek(0, 2)
            return
        unpacked = _unpack_chunk(self._file.read(length))
        suspect = whole and unpacked.error is not None
        before = self.messages
        used = 0
        for end, item in _inside(unpacked.data, suspect):
            used = end
            yield self._counted(item)
        if not whole or unpacked.error or used < unpacked.size:
            self._estimate(self.messages - before, used, unpacked.size)
            why = unpacked.error or ("the file ends inside a chunk" if not whole else "a chunk's records do not parse")
            self._damaged(at if whole else self._size, why)

    def _counted(self, item: Item) -> Item:
        if isinstance(item.record, Message):
            self.messages += 1
        elif isinstance(item.record, Statistics):
            self._expected_messages = item.record.message_count
        return item

    def _estimate(self, found: int, used: int, size: int) -> None:
        """Guess a damaged chunk's lost messages from those that came before in it."""
        if found and used and size > used:
            self._lost_estimate += max(1, round(found * (size - used) / used))

    def _damaged(self, at: int, why: str) -> None:
        """Note the first damage; later ones only add to what is lost."""
        if self._damage is None:
            self._damage = Damage(at, why, max(0, self._size - at))

    def damage(self) -> Damage | None:
        """Return where the file first stopped being whole and what that cost, as exactly as it tells, at the end."""
        if self._damage is None:
            return None
        expected = self._expected_messages
        if expected is None:
            expected = self.messages if self._data_ended else self._summary_count()
        if expected is not None:
            return replace(self._damage, lost_messages=max(0, expected - self.messages))
        return replace(
            self._damage, lost_messages=self._lost_estimate or None, lost_is_estimate=self._lost_estimate > 0
        )

    def _summary_count(self) -> int | None:
        """Return the number of messages by the file's own summary, if its end is there."""
        try:
            self._file.seek(0)
            summary = make_reader(self._file).get_summary()
        except (*_BROKEN, OSError):
            return None
        return summary.statistics.message_count if summary and summary.statistics else None


def _unpack_chunk(body: bytes) -> Unpacked:
    try:
        _, _, size, checksum = _CHUNK_HEAD.unpack_from(body)
        at = _CHUNK_HEAD.size
        (name_length,) = struct.unpack_from("<I", body, at)
        compression = body[at + 4 : at + 4 + name_length].decode()
        packed = memoryview(body)[at + 4 + name_length + 8 :]
    except (struct.error, UnicodeDecodeError) as error:
        return Unpacked(b"", 0, f"a chunk's head does not parse: {error}")
    if size > MAX_CHUNK_BYTES:
        return Unpacked(b"", 0, f"a chunk claims {size:,} bytes unpacked")
    unpacked = unpack(compression, packed, size)
    if unpacked.error is None and len(unpacked.data) == size and checksum and zlib.crc32(unpacked.data) != checksum:
        return Unpacked(unpacked.data, size, "a chunk's checksum fails")
    return unpacked


def _inside(data: bytes, suspect: bool) -> Iterator[tuple[int, Item]]:
    """Yield a chunk's records, each with the bytes used up to its end, until one is incomplete."""
    at = 0
    while at + _FRAME.size <= len(data):
        opcode, length = _FRAME.unpack_from(data, at)
        end = at + _FRAME.size + length
        if end > len(data):
            return
        if opcode in (Opcode.SCHEMA, Opcode.CHANNEL, Opcode.MESSAGE):
            try:
                item = _parse(opcode, data[at + _FRAME.size : end], suspect)
            except _BROKEN:
                return
            yield end, item
        at = end


def _parse(opcode: int, body: bytes, suspect: bool = False) -> Item:
    stream = ReadDataStream(BytesIO(body))
    if opcode == Opcode.MESSAGE:
        if len(body) < 22:
            raise ValueError("a message shorter than its head")
        return Item(Message.read(stream, len(body)), suspect)
    return Item(_KINDS[opcode].read(stream), suspect)

"""The frames of a part on a stick: a record, an attachment of a stream, or the end, each with its own checksum.

A part is the mark `FBSTICK1`, then frames, then 8 bytes (big endian) that say where its last frame begins. A frame is
three numbers of 4 bytes (length of its head, length of its payload, CRC-32 of both), then the head as msgpack, then the
payload. Heads: `["record", class, stream, time_us, content_type, labels]`, `["attachment", class, stream, key]`, and
`["end"]`, whose payload is msgpack too: `[[class, stream, [time_us, ...]], ...]`, what the part holds.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any

import msgpack

from fleetbox.errors import InputError
from fleetbox.labels import Labels
from fleetbox.naming import CLASSES, Class

MARK = b"FBSTICK1"
LENGTHS = struct.Struct(">III")
WHERE = struct.Struct(">Q")
MOST_HEAD = 64_000  # bytes; labels are 2 kB at most: what says more was written by nobody here
MOST_PAYLOAD = 1 << 31  # bytes; the engine takes no larger record in one piece


@dataclass(frozen=True, slots=True)
class Carried:
    """Hold one record as it was on the robot: same stamp, same labels, same bytes."""

    cls: Class
    stream: str
    time_us: int
    content_type: str
    labels: Labels
    data: bytes


@dataclass(frozen=True, slots=True)
class Attached:
    """Hold a document that describes a stream, as JSON."""

    cls: Class
    stream: str
    key: str
    data: bytes


@dataclass(frozen=True, slots=True)
class End:
    """Say what a part holds, per class and stream its times in µs: it ends here, and is whole."""

    times: dict[tuple[Class, str], list[int]]


@dataclass(frozen=True, slots=True)
class Spoilt:
    """Stand for a frame whose checksum differs; those after it can be read."""

    at_byte: int


Frame = Carried | Attached | End


class Torn(InputError):
    """Meet the place where a part stops making sense; `at_byte` is where the last whole frame ended."""

    def __init__(self, at_byte: int, why: str) -> None:
        super().__init__(f"torn at byte {at_byte:,}: {why}")
        self.at_byte = at_byte


def packed(frame: Frame) -> bytes:
    """Return the bytes of a frame."""
    head, payload = _split(frame)
    packed_head: bytes = msgpack.packb(head)
    return LENGTHS.pack(len(packed_head), len(payload), zlib.crc32(payload, zlib.crc32(packed_head))) + (
        packed_head + payload
    )


def frames(file: IO[bytes]) -> Iterator[Frame | Spoilt]:
    """Yield the frames of a part from its mark to its end; raises Torn where nothing more can be read."""
    if file.read(len(MARK)) != MARK:
        raise Torn(0, "it does not begin as a part does")
    at_byte = len(MARK)
    while True:
        lengths = file.read(LENGTHS.size)
        if len(lengths) < LENGTHS.size:
            raise Torn(at_byte, "it ends in the middle")
        head_bytes, payload_bytes, crc = LENGTHS.unpack(lengths)
        if head_bytes > MOST_HEAD or payload_bytes > MOST_PAYLOAD:
            raise Torn(at_byte, "it names a length that cannot be")
        head, payload = file.read(head_bytes), file.read(payload_bytes)
        if len(head) + len(payload) < head_bytes + payload_bytes:
            raise Torn(at_byte, "it ends in the middle of a record")
        whole = zlib.crc32(payload, zlib.crc32(head)) == crc
        frame = _joined(head, payload, at_byte) if whole else Spoilt(at_byte)
        yield frame
        if isinstance(frame, End):
            return
        at_byte += LENGTHS.size + head_bytes + payload_bytes


def end_of(file: IO[bytes]) -> End:
    """Return the end of a whole part without reading the rest; raises Torn for one that is not whole."""
    size = file.seek(0, 2)
    if size < len(MARK) + WHERE.size:
        raise Torn(0, "it is too short")
    file.seek(size - WHERE.size)
    (where,) = WHERE.unpack(file.read(WHERE.size))
    if not len(MARK) <= where <= size - WHERE.size - LENGTHS.size:
        raise Torn(0, "it has no end")
    file.seek(where)
    head_bytes, payload_bytes, crc = LENGTHS.unpack(file.read(LENGTHS.size))
    if head_bytes > MOST_HEAD or where + LENGTHS.size + head_bytes + payload_bytes + WHERE.size != size:
        raise Torn(0, "it has no end")
    head, payload = file.read(head_bytes), file.read(payload_bytes)
    if zlib.crc32(payload, zlib.crc32(head)) != crc or not isinstance(end := _joined(head, payload, where), End):
        raise Torn(0, "the checksum of its end differs")
    return end


def _split(frame: Frame) -> tuple[list[Any], bytes]:
    if isinstance(frame, Carried):
        head = ["record", frame.cls, frame.stream, frame.time_us, frame.content_type, frame.labels]
        return head, frame.data
    if isinstance(frame, Attached):
        return ["attachment", frame.cls, frame.stream, frame.key], frame.data
    return ["end"], msgpack.packb([[cls, stream, times] for (cls, stream), times in frame.times.items()])


def _joined(head: bytes, payload: bytes, at_byte: int) -> Frame:
    try:
        kind, *rest = msgpack.unpackb(head)
        if kind == "end":
            return End({(cls, stream): times for cls, stream, times in msgpack.unpackb(payload)})
        if rest[0] not in CLASSES:
            raise ValueError(f"no such class: {rest[0]!r}")
        if kind == "record":
            cls, stream, time_us, content_type, labels = rest
            return Carried(cls, stream, time_us, content_type, labels, payload)
        cls, stream, key = rest
        return Attached(cls, stream, key, payload)
    except (ValueError, TypeError, IndexError, msgpack.UnpackException) as error:
        raise Torn(at_byte, f"a frame says what nobody understands: {error}") from error

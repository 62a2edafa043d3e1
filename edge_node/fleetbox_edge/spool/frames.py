"""Frame payloads so that a torn or flipped one costs itself alone: magic, length, CRC-32, msgpack."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from zlib import crc32

MAGIC = b"\xf1bx\x01"  # where a reader finds its feet again after damage
HEADER = struct.Struct(">4sII")  # magic, payload bytes, CRC-32 of the payload


@dataclass(frozen=True, slots=True)
class Stretch:
    """Hold bytes that are no whole frame, and where in the file they begin."""

    offset: int
    data: bytes

    @property
    def payload(self) -> bytes:
        """Return what would be the first frame's payload: mostly right when a single bit of the frame is not."""
        return self.data[HEADER.size :]

    @property
    def torn(self) -> bool:
        """Tell whether its writer was killed in the middle: a frame's first byte is written last."""
        return self.data[0] == 0


def frame(payload: bytes) -> bytes:
    """Return the payload as it stands in a segment."""
    return HEADER.pack(MAGIC, len(payload), crc32(payload)) + payload


def scan(data: bytes, on_damage: Callable[[Stretch], None] = lambda stretch: None) -> Iterator[tuple[int, bytes]]:
    """Yield (offset, payload) of every whole frame; `on_damage` is told each stretch of anything else but zeros."""
    at = seek = 0
    while (start := data.find(MAGIC, seek)) >= 0:
        payload = _payload_at(data, start)
        if payload is None:
            seek = start + 1
            continue
        if start > at:  # frames stand one behind the other: even zeros in between were something else once
            on_damage(Stretch(at, data[at:start]))
        yield start, payload
        at = seek = start + HEADER.size + len(payload)
    if rest := data[at:].rstrip(b"\0"):
        on_damage(Stretch(at, rest))


def payload_at(data: bytes) -> bytes | None:
    """Return the payload of the frame that the bytes begin with, or None when there is no whole one."""
    return _payload_at(data, 0) if data[: len(MAGIC)] == MAGIC else None


def _payload_at(data: bytes, start: int) -> bytes | None:
    if start + HEADER.size > len(data):
        return None
    _, size, crc = HEADER.unpack_from(data, start)
    payload = data[start + HEADER.size : start + HEADER.size + size]
    return payload if size and len(payload) == size and crc32(payload) == crc else None

"""Frame payloads so that a torn or flipped one costs itself alone: magic, length, CRC-32, msgpack."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from zlib import crc32

MAGIC = b"\xf1bx\x01"  # where a reader finds its feet again after damage
HEADER = struct.Struct(">4sII")  # magic, payload bytes, CRC-32 of the payload


@dataclass(slots=True)
class Damage:
    """Count the places where a reader met bytes that are no whole frame."""

    frames: int = 0


def frame(payload: bytes) -> bytes:
    """Return the payload as it stands in a segment."""
    return HEADER.pack(MAGIC, len(payload), crc32(payload)) + payload


def scan(data: bytes, damage: Damage) -> Iterator[tuple[int, bytes]]:
    """Yield (offset, payload) of every whole frame; each stretch of anything else but zeros counts in `damage`."""
    at = seek = 0
    while (start := data.find(MAGIC, seek)) >= 0:
        payload = _payload_at(data, start)
        if payload is None:
            seek = start + 1
            continue
        if start > at and data[at:start].strip(b"\0"):
            damage.frames += 1
        yield start, payload
        at = seek = start + HEADER.size + len(payload)
    if data[at:].strip(b"\0"):
        damage.frames += 1


def _payload_at(data: bytes, start: int) -> bytes | None:
    """Return the payload of the frame that begins here, or None when there is no whole one."""
    if start + HEADER.size > len(data):
        return None
    _, size, crc = HEADER.unpack_from(data, start)
    payload = data[start + HEADER.size : start + HEADER.size + size]
    return payload if size and len(payload) == size and crc32(payload) == crc else None

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
    """Yield (offset, payload) of every whole frame; what is in between is counted in `damage`."""
    at = 0
    while (start := data.find(MAGIC, at)) >= 0:
        payload = _payload_at(data, start)
        if start > at and data[at:start].strip(b"\0"):
            damage.frames += 1
        if payload is None:
            at = _after_damage(data, start, damage)
            continue
        yield start, payload
        at = start + HEADER.size + len(payload)
    if data[at:].strip(b"\0"):
        damage.frames += 1


def _payload_at(data: bytes, start: int) -> bytes | None:
    if start + HEADER.size > len(data):
        return None
    _, size, crc = HEADER.unpack_from(data, start)
    payload = data[start + HEADER.size : start + HEADER.size + size]
    return payload if size and len(payload) == size and crc32(payload) == crc else None


def _after_damage(data: bytes, start: int, damage: Damage) -> int:
    """Count one damaged frame and return where the next whole one begins."""
    damage.frames += 1
    at = start + 1
    while (found := data.find(MAGIC, at)) >= 0:
        if _payload_at(data, found) is not None:
            return found
        if not _inside(data, start, found):
            return found
        at = found + 1
    return len(data)


def _inside(data: bytes, start: int, found: int) -> bool:
    """Tell whether `found` lies within the damaged frame that says it begins at `start`."""
    if start + HEADER.size > len(data):
        return False
    size: int = HEADER.unpack_from(data, start)[1]
    return found < start + HEADER.size + min(size, len(data))

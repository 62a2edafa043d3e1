"""The first frame of a segment: how long the file is, and during which run of the machine it was written."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import msgpack

from fleetbox_edge.spool.frames import HEADER, payload_at

VERSION = 1
KIND = "head"
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, slots=True)
class SegmentHead:
    """Say how long a segment is in bytes, and the machine's own id of its run."""

    size: int
    boot: str


def head_payload(size: int) -> bytes:
    """Return the payload of a new segment's first frame; the writer's process id is there for people."""
    payload: bytes = msgpack.packb([KIND, VERSION, size, boot_id(), os.getpid()])
    return payload


def head_bytes() -> int:
    """Return how much of a segment its first frame takes."""
    return HEADER.size + len(head_payload(1 << 40)) + 8  # bytes; a large process id takes more


def read_head(data: bytes) -> SegmentHead | None:
    """Return what a segment says of itself, or None when its first frame is not whole."""
    payload = payload_at(data)
    if payload is None:
        return None
    found = msgpack.unpackb(payload)
    return SegmentHead(found[2], found[3]) if isinstance(found, list) and found[0] == KIND else None


@cache
def boot_id() -> str:
    """Return what names this run of the machine; after a power cut it is another."""
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return ""

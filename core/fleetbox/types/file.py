"""Take bytes of any kind, unread."""

from __future__ import annotations

from typing import Any

from fleetbox.errors import InputError
from fleetbox.types.shape import Type, within_limit


def encode(value: Any) -> bytes:
    """Return the bytes as they are."""
    if not isinstance(value, bytes | bytearray | memoryview):
        raise InputError(f"a file is bytes, not {type(value).__name__}", "read it with open(path, 'rb').read()")
    return within_limit(bytes(value), "a file")


TYPE = Type(
    name="file",
    cls="log",
    content_type="application/octet-stream",
    accepts=lambda value: isinstance(value, bytes | bytearray | memoryview),
    encode=encode,
    decode=lambda data: data,
    preview=lambda data: f"{len(data):,} bytes",
)

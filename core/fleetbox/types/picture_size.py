"""Read how large a picture is from its first bytes, without decoding it."""

from __future__ import annotations

_SIZED = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})  # JPEG's start-of-frame markers
_PNG = b"\x89PNG\r\n\x1a\n"


def picture_size(data: bytes) -> tuple[int, int] | None:
    """Return (width, height) in pixels as stored, before any turning, or None where the bytes do not tell."""
    if data.startswith(_PNG):
        return _pair(data, 20, 16) if len(data) >= 24 else None
    at = 2
    while data[at : at + 1] == b"\xff" and at + 9 <= len(data):
        marker = data[at + 1]
        if marker in _SIZED:
            return int.from_bytes(data[at + 7 : at + 9]), int.from_bytes(data[at + 5 : at + 7])
        at += 1 if marker == 0xFF else 2 + int.from_bytes(data[at + 2 : at + 4])
    return None


def _pair(data: bytes, height_at: int, width_at: int) -> tuple[int, int]:
    return int.from_bytes(data[width_at : width_at + 4]), int.from_bytes(data[height_at : height_at + 4])

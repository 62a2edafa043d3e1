"""Tell by their first bytes which files are sounds."""

from __future__ import annotations

_BEGINNINGS = ((b"fLaC", "audio/flac"), (b"OggS", "audio/ogg"), (b"ID3", "audio/mpeg"),
               (b"\xff\xfb", "audio/mpeg"), (b"\xff\xf1", "audio/aac"))  # fmt: skip


def sound_of(data: bytes) -> str | None:
    """Return the media type of a sound that a viewer plays, or None."""
    if data[:4] == b"RIFF" and data[8:12] == b"WAVE":
        return "audio/wav"
    if data[4:11] == b"ftypM4A":
        return "audio/mp4"
    return next((kind for beginning, kind in _BEGINNINGS if data.startswith(beginning)), None)

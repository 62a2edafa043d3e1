"""Unpack a chunk as far as its bytes reach."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

_PIECE_BYTES = 64 * 1024  # fed piece by piece, so that what comes before a broken block survives


@dataclass(frozen=True, slots=True)
class Unpacked:
    """Hold what came out, the size that was promised, and what went wrong."""

    data: bytes
    size: int
    error: str | None = None


def unpack(compression: str, packed: memoryview, size: int) -> Unpacked:
    """Return the bytes a chunk holds; size is what its head promises."""
    if compression == "":
        return Unpacked(bytes(packed[:size]), size)
    if compression not in ("zstd", "lz4"):
        return Unpacked(b"", size, f"a chunk is packed with {compression!r}, which is not known")
    parts: list[bytes] = []
    done = 0
    try:
        reader = _reader(compression)
        for start in range(0, len(packed), _PIECE_BYTES):
            parts.append(reader.decompress(bytes(packed[start : start + _PIECE_BYTES])))
            done += len(parts[-1])
            if done > size:
                return Unpacked(b"".join(parts)[:size], size, "a chunk unpacks to more than it promised")
    except Exception as error:  # zstandard and lz4 raise unrelated types of their own
        return Unpacked(b"".join(parts), size, f"a chunk does not unpack: {error}")
    return Unpacked(b"".join(parts), size)


def _reader(compression: str) -> Any:
    if compression == "zstd":
        import zstandard

        return zstandard.ZstdDecompressor().decompressobj()
    import lz4.frame  # type: ignore[import-untyped]

    return lz4.frame.LZ4FrameDecompressor()

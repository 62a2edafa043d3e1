"""Bring files to the disk before anything relies on them."""

from __future__ import annotations

import os
from pathlib import Path

import xxhash

READ_BYTES = 1 << 20  # hashing reads a megabyte at a time


def sync_and_hash(path: Path) -> tuple[int, str]:
    """Bring a file to the disk; return its size in bytes and its xxh3-64."""
    digest, size = xxhash.xxh3_64(), 0
    with path.open("rb") as file:
        os.fsync(file.fileno())
        while data := file.read(READ_BYTES):
            digest.update(data)
            size += len(data)
    return size, digest.hexdigest()


def write_synced(path: Path, text: str) -> None:
    """Write a text file and bring it to the disk."""
    with path.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())

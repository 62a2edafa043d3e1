"""Writes small files whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

OWNER_ONLY = 0o600


def write_whole(path: Path, text: str, mode: int = OWNER_ONLY) -> None:
    """Write a text by one rename, so that whoever reads meanwhile sees the old file or the new one."""
    fresh = path.with_name(f".{path.name}.new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())  # a store that was given a token must be given the same one after a power cut
    fresh.chmod(mode)  # whatever the umask took away
    fresh.replace(path)

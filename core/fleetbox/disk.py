"""Put small files on the disk whole: who reads one sees all of the old text or all of the new, also after a crash."""

from __future__ import annotations

import os
from pathlib import Path

OWNER_ONLY = 0o600


def write_whole(path: Path, text: str, mode: int | None = None, *, durable: bool = False) -> None:
    """Replace a text file by one rename; the folders on its way are made. A file has one writer at a time.

    With a `mode` it is nobody else's at any moment; `durable` makes it outlast a power cut too, which costs some ms.
    Raises OSError; the old text stands then.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f"{path.name}.new")
    fresh.unlink(missing_ok=True)  # what a crash left may be open to others
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666 if mode is None else mode)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
        if durable:
            file.flush()
            os.fsync(file.fileno())
    if mode is not None:
        fresh.chmod(mode)  # whatever the umask took away
    fresh.replace(path)
    if durable:
        sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Bring the names in a folder to the disk: a file that was renamed before a power cut has its new name after it."""
    if os.name == "nt":
        return  # Windows opens no folders; its file system journals names itself
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

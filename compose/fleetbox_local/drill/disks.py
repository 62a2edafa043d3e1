"""Puts a store's data on a small file system, so that it can be full without harm to anything else."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from fleetbox.errors import FleetboxError

BALLAST = "ballast"  # the file that takes the room away; never inside the store's own folders
STEP_BYTES = 65_536


class Unplayable(FleetboxError):
    """Say why this machine cannot play a scenario."""


@contextlib.contextmanager
def small_disk(folder: Path, size_bytes: int) -> Iterator[None]:
    """Mount an empty file system in memory over a folder for the length of the block; raise Unplayable without rights.

    A file system that was left by a killed drill is taken away first.
    """
    if sys.platform != "linux" or os.geteuid() != 0:
        raise Unplayable("a small disk can be mounted by root on Linux only", "run it as root, or in a container")
    folder.mkdir(parents=True, exist_ok=True)
    if folder.is_mount():
        _run("umount", "--lazy", str(folder))
    _run("mount", "-t", "tmpfs", "-o", f"size={size_bytes}", "tmpfs", str(folder))
    try:
        yield
    finally:
        _run("umount", "--lazy", str(folder))


def fill(folder: Path, leave_bytes: int = 0) -> None:
    """Take the room of the file system that a folder lies on, but for `leave_bytes`."""
    with contextlib.suppress(OSError), (folder / BALLAST).open("ab", buffering=0) as file:
        while _free_bytes(folder) > leave_bytes:
            file.write(bytes(min(STEP_BYTES, _free_bytes(folder) - leave_bytes)))


def free(folder: Path) -> None:
    """Give the room back."""
    (folder / BALLAST).unlink(missing_ok=True)


def _free_bytes(folder: Path) -> int:
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize


def _run(*argv: str) -> None:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Unplayable(f"`{' '.join(argv)}` failed: {done.stderr.strip()}", "run it as root, or in a container")

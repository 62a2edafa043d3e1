"""Put a finished file or folder in its place by one step that no crash can halve."""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
from pathlib import Path

from fleetbox.disk import sync_folder

_AT_FDCWD = -100
_EXCHANGE = 2  # RENAME_EXCHANGE of renameat2(2): both names change their contents at once


def put_in_place(made: Path, target: Path) -> None:
    """Rename what was made to the target; a folder that is there changes places with it and is then removed.

    Where the system cannot exchange two folders (no Linux, or a network disk) the old one is moved aside first: for
    that moment the target is absent, and the old one lies beside it as `NAME.old`.
    """
    if not (target.is_dir() and made.is_dir()):
        made.replace(target)
    elif _exchanged(made, target):
        sync_folder(target.parent)
        shutil.rmtree(made)
    else:
        old = target.with_name(target.name + ".old")
        shutil.rmtree(old, ignore_errors=True)
        target.rename(old)
        made.rename(target)
        sync_folder(target.parent)
        shutil.rmtree(old)
    sync_folder(target.parent)


def restore(target: Path) -> None:
    """Put the old output back where a crash came between its two renames."""
    old = target.with_name(target.name + ".old")
    if old.is_dir() and not target.exists() and target.with_name(target.name + ".partial").is_dir():
        old.rename(target)


def remove_empty(folder: Path) -> None:
    """Remove the folders within a folder that hold no file, deepest first."""
    for path in sorted((path for path in folder.rglob("*") if path.is_dir()), reverse=True):
        if not any(path.iterdir()):
            path.rmdir()


def _exchanged(one: Path, other: Path) -> bool:
    try:
        renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
    except AttributeError:
        return False
    if renameat2(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _EXCHANGE) == 0:
        return True
    code = ctypes.get_errno()
    if code in (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP):
        return False
    raise OSError(code, os.strerror(code), str(other))

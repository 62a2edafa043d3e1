"""Check globs of streams as people type them."""

from __future__ import annotations

import re

from fleetbox.errors import InputError
from fleetbox.selectors import matches_glob

_GLOB = re.compile(r"[A-Za-z0-9_*?.-]+|\[[A-Za-z0-9_-]+\]|/")


def check_glob(glob: str) -> str:
    """Return a glob that a stream's name may match; raise InputError for one that none ever can."""
    parts = glob.split("/")
    if not all(parts) or "".join(_GLOB.findall(glob)) != glob or not _compiles(glob):
        raise InputError(f"--streams {glob!r} can match no stream", "write a glob such as 'cam/*', 'log/**' or '**'")
    return glob


def _compiles(glob: str) -> bool:
    try:
        matches_glob(glob, "")
    except re.error:  # a range that runs backwards
        return False
    return True

"""The engine's own globs over entry names, which differ from our selectors."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

EVERYTHING = "*"  # to the engine a lone `**` means names that begin with a literal star


def engine_globs(globs: Iterable[str]) -> tuple[str, ...]:
    """Return globs as the engine takes them; a lone `**` becomes `*`, which spans slashes when it stands alone."""
    return tuple(EVERYTHING if glob == "**" else glob for glob in globs)


def matches_any(globs: Iterable[str], entry: str) -> bool:
    """Tell whether the engine would choose an entry by these globs; `!glob` excludes."""
    wanted = tuple(globs)
    chosen = [glob for glob in wanted if not glob.startswith("!")] or [EVERYTHING]
    shut = [glob[1:] for glob in wanted if glob.startswith("!")]
    return any(_pattern(glob).fullmatch(entry) for glob in chosen) and not any(
        _pattern(glob).fullmatch(entry) for glob in shut
    )


@lru_cache(maxsize=1024)
def _pattern(glob: str) -> re.Pattern[str]:
    """Spell a glob as the engine reads it: without a slash a trailing star is a prefix, else segment by segment."""
    bare = glob.lstrip("/")
    if "/" not in bare and bare.endswith("*"):
        return re.compile(re.escape(bare[:-1]) + ".*")
    segments = [".*" if part == "**" else re.escape(part).replace(r"\*", "[^/]*") for part in bare.split("/")]
    spelled = "/".join(segments).replace("/.*/", "/(?:.*/)?")
    if spelled.startswith(".*/"):
        spelled = "(?:.*/)?" + spelled[3:]
    if spelled.endswith("/.*"):
        spelled = spelled[:-3] + "(?:/.*)?"
    return re.compile(spelled)

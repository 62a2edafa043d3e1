"""Compare stream globs: whether one takes all that another would, and whether two can meet."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from fleetbox.selectors import is_glob, matches_glob

ANY_DEPTH = "**"


def covers(wide: str, narrow: str) -> bool:
    """Tell whether every name that `narrow` matches is matched by `wide`; False where that is not plain to see."""
    return _covers(tuple(wide.split("/")), tuple(narrow.split("/")))


def meets(one: str, other: str) -> bool:
    """Tell whether some name may match both; True where that is not plain to see."""
    return _meets(tuple(one.split("/")), tuple(other.split("/")))


@lru_cache(maxsize=4096)  # the same tails come again and again
def _covers(wide: Sequence[str], narrow: Sequence[str]) -> bool:
    if not wide or not narrow:
        return not narrow and all(part == ANY_DEPTH for part in wide)
    if wide[0] == ANY_DEPTH:
        return _covers(wide[1:], narrow) or _covers(wide, narrow[1:])
    if narrow[0] == ANY_DEPTH:
        return False
    return _covers_segment(wide[0], narrow[0]) and _covers(wide[1:], narrow[1:])


def _covers_segment(wide: str, narrow: str) -> bool:
    if wide in ("*", narrow):
        return ANY_DEPTH not in narrow
    return not is_glob(narrow) and matches_glob(wide, narrow)


@lru_cache(maxsize=4096)
def _meets(one: Sequence[str], other: Sequence[str]) -> bool:
    if not one or not other:
        return all(part == ANY_DEPTH for part in (*one, *other))
    if one[0] == ANY_DEPTH:
        return _meets(one[1:], other) or _meets(one, other[1:])
    if other[0] == ANY_DEPTH:
        return _meets(other, one)
    return _meets_segment(one[0], other[0]) and _meets(one[1:], other[1:])


def _meets_segment(one: str, other: str) -> bool:
    if is_glob(one) and is_glob(other):
        return True
    return matches_glob(one, other) or matches_glob(other, one)

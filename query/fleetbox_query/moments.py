"""Take times and durations as people hand them over in Python: text, numbers, datetimes, numpy's and pandas' own."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from fleetbox.errors import InputError
from fleetbox.time import GRAMMAR, iso_time, parse_duration, parse_time

TimeLike = str | int | float | date  # a datetime is a date; numpy's datetime64 is taken as well
DurationLike = str | int | float | timedelta
LONGEST_US = 10_000 * 366 * 86_400_000_000  # as far as any time that can be written lies from another
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def time_us(value: Any, now_us: int) -> int:
    """Return a point in time in µs since the epoch; raises InputError for anything that is none, NaT and NaN included.

    A date is its midnight here, as the text of it is; numpy's datetime64 is UTC, as numpy says.
    """
    value = _plain(value)
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime.combine(value, time())
    if _is_missing(value) or not isinstance(value, str | int | float | datetime) or isinstance(value, bool):
        raise InputError(
            f"time {value!r} is not understood", f"give a datetime, a date, or text or a number: {GRAMMAR}"
        )
    return parse_time(value, now_us)


def duration_us(value: Any) -> int:
    """Return a duration in µs; raises InputError for a negative or endless one and for anything that is none."""
    value = _plain(value)
    known = isinstance(value, str | int | float | timedelta) and not isinstance(value, bool)
    found = parse_duration(value) if known and not _is_missing(value) else -1
    if not 0 <= found <= LONGEST_US:
        raise InputError(f"duration {value!r} is not understood", "give seconds, a timedelta, or text such as '1h30m'")
    return found


def _plain(value: Any) -> Any:
    """Turn numpy's scalars into Python's; missing ones stay as they are."""
    kind: str = getattr(getattr(value, "dtype", None), "kind", "")
    if not kind or _is_many(value) or _is_missing(value):
        return value
    if kind not in "mM":
        return value.item()
    unit = "datetime64[us]" if kind == "M" else "timedelta64[us]"
    try:
        since = timedelta(microseconds=int(value.astype(unit).astype("int64")))
        return _EPOCH + since if kind == "M" else since
    except OverflowError:
        return value  # beyond what Python's dates hold: refused by whoever asked


def _is_missing(value: Any) -> bool:
    """Tell NaN, the infinities and NaT: the latter is unequal to itself, even where it counts as a datetime."""
    if isinstance(value, float):
        return not math.isfinite(value)
    return not _is_many(value) and bool(value != value)


def _is_many(value: Any) -> bool:
    return getattr(value, "ndim", None) not in (None, 0)


def check_order(start_us: int | None, stop_us: int | None) -> None:
    """Raise InputError for a time [start, stop) that ends before it starts, or where it starts."""
    if start_us is None or stop_us is None or start_us < stop_us:
        return
    said = f"{iso_time(start_us)} to {iso_time(stop_us)}"
    if start_us == stop_us:
        raise InputError(f"the time asked for is empty: {said}", "its stop is excluded: let it be later than its start")
    raise InputError(f"the time asked for ends before it starts: {said}", "exchange its start and its stop")

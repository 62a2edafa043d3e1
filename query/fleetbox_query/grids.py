"""Decide at which times streams are put side by side and which of their rows each time takes; plain arrays."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from fleetbox.errors import InputError
from fleetbox.time import parse_duration

if TYPE_CHECKING:
    import numpy as np

    Times = np.ndarray[Any, np.dtype[np.int64]]

Method = Literal["previous", "nearest", "next", "linear"]
METHODS: tuple[Method, ...] = ("previous", "nearest", "next", "linear")
MOST_POINTS = 200_000_000  # 77 days at 30 Hz; more is a mistyped rate, and its frame would fill the memory


@dataclass(frozen=True, slots=True)
class Picks:
    """Hold per grid time the row before and the row after it (the same one where only one counts), and its share.

    ok: whether there is a value at all. share: how far towards the later row, 0 to 1.
    """

    before: Times
    after: Times
    share: np.ndarray[Any, Any]
    ok: np.ndarray[Any, Any]


def period_ns(rate: str) -> float:
    """Return the period in ns of "30 Hz" or "100ms"; raises InputError for what is neither."""
    hertz = re.fullmatch(r"(\d+(?:\.\d+)?)\s*Hz", rate.strip()) if isinstance(rate, str) else None
    if hertz:
        period = 1e9 / float(hertz[1]) if float(hertz[1]) else 0.0
    else:
        period = parse_duration(rate) * 1e3 if isinstance(rate, str) else 0.0
    if period < 1e3:
        raise InputError(f"align={rate!r} is no rate or period", 'write it like "30 Hz" or "100ms"')
    return period


def regular(windows: Sequence[tuple[int, int]], step_ns: float) -> Times:
    """Return times every step from each window's first time to its last, both in ns; no drift over a long one."""
    import numpy as np

    counts = [int((last - first) / step_ns) + 1 for first, last in windows]
    if sum(counts) > MOST_POINTS:
        raise InputError(f"{sum(counts):,} points would be too many", "ask for a lower rate or a shorter time")
    parts = [
        first + np.round(np.arange(count) * step_ns).astype(np.int64)
        for (first, _), count in zip(windows, counts, strict=True)
    ]
    return np.concatenate(parts) if parts else np.empty(0, np.int64)


def pick(times: Times, grid: Times, starts: Times, method: Method, max_age_ns: int | None) -> Picks:
    """Choose rows for a grid; times in order. starts: per grid time, where its window begins (nothing is taken from
    before it) with the end in the next column. "previous" and "linear" at a row's own time are that row.
    """
    import numpy as np

    last = np.searchsorted(times, grid, side="right") - 1
    first = np.searchsorted(times, grid, side="left")
    has_last, has_first = _within(times, last, starts), _within(times, first, starts)
    last, first = last.clip(0, max(0, len(times) - 1)), first.clip(0, max(0, len(times) - 1))
    if not len(times):
        nothing = np.zeros(len(grid), bool)
        return Picks(last, last, np.zeros(len(grid)), nothing)
    back, ahead = grid - times[last], times[first] - grid
    if max_age_ns is not None:
        has_last, has_first = has_last & (back <= max_age_ns), has_first & (ahead <= max_age_ns)
    no_share = np.zeros(len(grid))
    if method == "previous":
        return Picks(last, last, no_share, has_last)
    if method == "next":
        return Picks(first, first, no_share, has_first)
    if method == "nearest":
        chosen = np.where(has_last & (~has_first | (back <= ahead)), last, first)
        return Picks(chosen, chosen, no_share, has_last | has_first)
    span = back + ahead
    share = np.divide(back, span, out=no_share, where=span > 0)
    return Picks(last, first, share, has_last & has_first)


def window_of(grid: Times, windows: Sequence[tuple[int, int]]) -> Times:
    """Return (start, stop) in ns of the window that each time of a grid lies in, as two columns."""
    import numpy as np

    bounds = np.array(sorted(windows) or [(0, 0)], np.int64)
    at = (np.searchsorted(bounds[:, 0], grid, side="right") - 1).clip(0)
    found: Times = bounds[at]
    return found


def _within(times: Times, at: Times, windows: Times) -> Any:
    import numpy as np

    inside = (at >= 0) & (at < len(times))
    if not len(times):
        return np.zeros(len(at), bool)
    chosen = times[at.clip(0, len(times) - 1)]
    return inside & (chosen >= windows[:, 0]) & (chosen < windows[:, 1])

"""Compute a feature's statistics exactly, as LeRobot's files want them: min, max, mean, std, count, five quantiles."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

QUANTILES = {"q01": 0.01, "q10": 0.10, "q50": 0.50, "q90": 0.90, "q99": 0.99}
NAMES = ("min", "max", "mean", "std", "count", *QUANTILES)
LEVELS = 256  # of a picture's colour

Stats = dict[str, Any]


def of_values(values: Any) -> Stats:
    """Return the statistics of (rows,) or (rows, n) numbers: lists of n, `count` of one."""
    import numpy as np

    rows = np.asarray(values, dtype=np.float64)
    rows = rows[:, None] if rows.ndim == 1 else rows
    quantiles = np.quantile(rows, list(QUANTILES.values()), axis=0)
    found = {"min": rows.min(0), "max": rows.max(0), "mean": rows.mean(0), "std": rows.std(0)}
    found |= dict(zip(QUANTILES, quantiles, strict=True))
    return {**{name: one.tolist() for name, one in found.items()}, "count": [len(rows)]}


def of_levels(counts: Any, pictures: int) -> Stats:
    """Return the statistics of pictures from how often each level of red, green and blue occurs, scaled to [0, 1].

    counts: (3, 256). The values are lists of shape (3, 1, 1); `count` is the number of pictures.
    """
    import numpy as np

    counts = np.asarray(counts, dtype=np.int64)
    levels, totals = np.arange(LEVELS) / (LEVELS - 1), counts.sum(1)
    mean = (counts * levels).sum(1) / totals
    spread = (counts * (levels - mean[:, None]) ** 2).sum(1) / totals
    seen = [np.flatnonzero(row) for row in counts]
    found: dict[str, Sequence[float]] = {
        "min": [levels[row[0]] for row in seen],
        "max": [levels[row[-1]] for row in seen],
        "mean": mean,
        "std": np.sqrt(spread),
    }
    found |= {name: [_quantile(row, q) for row in counts] for name, q in QUANTILES.items()}
    return {**{name: [[[float(one)]] for one in row] for name, row in found.items()}, "count": [pictures]}


def _quantile(row: Any, share: float) -> float:
    """Return the quantile that numpy gives for the sorted values, read from how often each level occurs."""
    import numpy as np

    below, place = np.cumsum(row), (int(row.sum()) - 1) * share
    low, high = (int(np.searchsorted(below, at, side="right")) for at in (int(place), int(np.ceil(place))))
    return (low + (high - low) * (place - int(place))) / (LEVELS - 1)

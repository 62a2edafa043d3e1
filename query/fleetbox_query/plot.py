"""Draw one scalar over time as text, in braille dots.

Own code because it is 60 lines without a dependency, so it works in the bare install.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

_BARS = "▁▂▃▄▅▆▇█"
_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))  # braille bits by row and column
_BLANK = 0x2800


@dataclass(frozen=True, slots=True)
class Size:
    """Say how large a plot is, in character cells."""

    width: int = 72  # fits an 80-column terminal with the axis
    height: int = 8


def sparkline(values: Sequence[float], width: int = 40) -> str:
    """Draw values as one line of bars; each bar is the value farthest from the mean in its share."""
    finite = [value for value in values if math.isfinite(value)]
    if not finite:
        return ""
    scale = _scale(max(finite), min(finite))
    finite = [value / scale for value in finite]
    low, high, mean = min(finite), max(finite), sum(finite) / len(finite)
    shares = _shares(finite, width)
    picked = [max(share, key=lambda value: abs(value - mean)) for share in shares if share]
    span = (high - low) or 1.0
    return "".join(_BARS[min(len(_BARS) - 1, int((value - low) / span * len(_BARS)))] for value in picked)


def braille(times_us: Sequence[int], values: Sequence[float], size: Size | None = None) -> str:
    """Draw values over time, one line per character row, the value axis at the left; no values: an empty text."""
    size = size or Size()
    points = [(at, value) for at, value in zip(times_us, values, strict=True) if math.isfinite(value)]
    if not points:
        return ""
    low, high = min(value for _, value in points), max(value for _, value in points)
    scale = _scale(high, low)
    grid = _grid([(at, value / scale) for at, value in points], low / scale, high / scale, size)
    axis = [f"{high:.4g}", *[""] * (size.height - 2), f"{low:.4g}"][: size.height]
    wide = max(map(len, axis))
    return "\n".join(
        f"{mark:>{wide}} {'┤' if mark else '│'}{''.join(map(chr, row))}" for mark, row in zip(axis, grid, strict=True)
    )


def _grid(points: list[tuple[int, float]], low: float, high: float, size: Size) -> list[list[int]]:
    columns, rows = size.width * 2, size.height * 4
    first, last = min(at for at, _ in points), max(at for at, _ in points)
    grid = [[_BLANK] * size.width for _ in range(size.height)]
    extremes: dict[int, tuple[int, int]] = {}
    for at, value in points:
        x = round((at - first) / ((last - first) or 1) * (columns - 1))
        y = round((high - value) / ((high - low) or 1.0) * (rows - 1))
        top, bottom = extremes.get(x, (y, y))
        extremes[x] = (min(top, y), max(bottom, y))
    for x, (top, bottom) in extremes.items():
        for y in range(top, bottom + 1):  # a column is drawn from its least to its largest: no spike is hidden
            grid[y // 4][x // 2] |= _DOTS[y % 4][x % 2]
    return grid


def _scale(high: float, low: float) -> float:
    """Return what to divide by, so that differences of huge values do not overflow."""
    largest = max(abs(high), abs(low))
    return largest if largest > 1e150 else 1.0


def _shares(values: Sequence[float], count: int) -> list[Sequence[float]]:
    count = min(count, len(values))
    return [values[len(values) * at // count : len(values) * (at + 1) // count] for at in range(count)]

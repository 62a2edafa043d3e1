"""Draw scalars over time as text, in braille dots.

Own code because it is short and without a dependency, so it works in the bare install.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from fleetbox.time import iso_time

MIN_WIDTH, MAX_WIDTH = 8, 160  # cells; less shows nothing, more is wider than an eye follows
LOW = 3  # rows of a plot where many share a screen
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


@dataclass(frozen=True, slots=True)
class Curve:
    """Hold a scalar's name, its times in µs since the epoch, and its values; NaN and infinities are no values."""

    name: str
    times_us: Sequence[int]
    values: Sequence[float]


def panels(curves: Sequence[Curve], columns: int, bare: bool = False) -> str:
    """Draw curves below each other over the same time, none wider than `columns` characters.

    Each has a title with its values' number, least and largest; below the last one stand the first and last time.
    bare: few rows each, as where many curves share a screen.
    """
    drawn = [(one, _finite(one)) for one in curves]
    stamps = [at for _, points in drawn for at, _ in points]
    if not stamps:
        return "\n".join(_shortened(_title(one, []), columns) for one in curves)
    span = (min(stamps), max(stamps))
    axis = max(len(mark) for _, points in drawn if points for mark in _marks([value for _, value in points]))
    size = Size(max(MIN_WIDTH, min(MAX_WIDTH, columns - axis - 2)), LOW if bare else Size().height)
    lines = []
    for one, points in drawn:
        lines.append(_shortened(_title(one, points), columns))
        if points:
            values = [value for _, value in points]
            lines += braille([at for at, _ in points], values, size, span, axis).splitlines()
    return "\n".join([*lines, _clock(span, columns, axis, size)])


def _finite(one: Curve) -> list[tuple[int, float]]:
    return [(at, value) for at, value in zip(one.times_us, one.values, strict=True) if math.isfinite(value)]


def _title(one: Curve, points: Sequence[tuple[int, float]]) -> str:
    odd = len(one.values) - len(points)
    said = f"{len(points):,} values" + (f", {odd:,} more are no numbers" if odd else "")
    if not points:
        return f"{one.name}: {said}"
    low, high = min(value for _, value in points), max(value for _, value in points)
    return f"{one.name}: {said}, {low:.4g}" + (f" to {high:.4g}" if high > low else " all along")


def _shortened(text: str, columns: int) -> str:
    return text if len(text) <= columns else text[: max(1, columns - 1)] + "…"


def _clock(span: tuple[int, int], columns: int, axis: int, size: Size) -> str:
    """Return the first and last time under the ends of the plot, or the seconds between where there is no room."""
    first, last = (iso_time(at)[11:23] + "Z" for at in span)
    room = size.width - len(first) - len(last)
    if room >= 1:
        return f"{'':>{axis + 2}}{first}{'':>{room}}{last}"
    return _shortened(f"{'':>{axis + 2}}{(span[1] - span[0]) / 1e6:g} s", columns)


def braille(
    times_us: Sequence[int],
    values: Sequence[float],
    size: Size | None = None,
    span: tuple[int, int] | None = None,
    axis_width: int = 0,
) -> str:
    """Draw values over time, one line per character row, the value axis at the left; no values: an empty text.

    span: from when to when, in µs [the first and last time of a value]. A value that never changes is a line half way.
    """
    size = size or Size()
    points = [(at, value) for at, value in zip(times_us, values, strict=True) if math.isfinite(value)]
    if not points:
        return ""
    low, high = min(value for _, value in points), max(value for _, value in points)
    scale = _scale(high, low)
    span = span or (min(at for at, _ in points), max(at for at, _ in points))
    grid = _grid([(at, value / scale) for at, value in points], low / scale, high / scale, size, span)
    axis = [""] * size.height
    if low == high:
        axis[size.height // 2] = f"{low:.4g}"
    else:
        axis[-1], axis[0] = f"{low:.4g}", f"{high:.4g}"
    wide = max(axis_width, *map(len, axis))
    return "\n".join(
        f"{mark:>{wide}} {'┤' if mark else '│'}{''.join(map(chr, row))}" for mark, row in zip(axis, grid, strict=True)
    )


def _marks(values: Sequence[float]) -> tuple[str, str]:
    return f"{max(values):.4g}", f"{min(values):.4g}"


def _grid(
    points: list[tuple[int, float]], low: float, high: float, size: Size, span: tuple[int, int]
) -> list[list[int]]:
    columns, rows = size.width * 2, size.height * 4
    first, last = span
    grid = [[_BLANK] * size.width for _ in range(size.height)]
    extremes: dict[int, tuple[int, int]] = {}
    for at, value in points:
        x = round((at - first) / ((last - first) or 1) * (columns - 1))
        y = round((high - value) / (high - low) * (rows - 1)) if high > low else size.height // 2 * 4 + 1
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

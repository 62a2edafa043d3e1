"""Plots: every spike is drawn, nothing breaks on odd numbers."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from fleetbox_query.plot import Size, braille, sparkline


def test_a_single_spike_is_seen() -> None:
    """One value among ten thousand reaches the top row."""
    values = [0.0] * 10_000
    values[5_000] = 1.0
    top, *_ = braille(range(10_000), values, Size(40, 4)).splitlines()
    assert top.startswith("1 ┤")
    assert any(ord(mark) > 0x2800 for mark in top)
    assert "█" in sparkline(values)


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=50), st.integers(1, 80), st.integers(1, 20))
def test_any_values_fit_the_size(values: list[float], width: int, height: int) -> None:
    """Whatever the values, a plot has the rows and columns asked for, or nothing when there is no number."""
    drawn = braille(range(len(values)), values, Size(width, height))
    assert len(sparkline(values, width)) <= width
    if not any(map(math.isfinite, values)):
        assert drawn == ""
        return
    rows = drawn.splitlines()
    assert len(rows) == height
    assert len({len(row) for row in rows}) == 1

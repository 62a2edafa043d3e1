"""Plots: every spike is drawn, nothing breaks on odd numbers."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from fleetbox_query.plot import MIN_WIDTH, Curve, Size, braille, panels, sparkline


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


def test_panels_share_their_time() -> None:
    """Each curve has its title and as many cells; the first and last time of all stand below the last one."""
    start_us = 1_760_000_000_000_000
    early = Curve("r1/imu:ax", [start_us, start_us + 1_000_000], [0.0, 1.0])
    late = Curve("r1/imu:wide", [start_us + 9_000_000, start_us + 10_000_000], [-1000.0, 1.0])
    *rows, clock = panels([early, late], 80).splitlines()
    assert rows[0] == "r1/imu:ax: 2 values, 0 to 1"
    assert rows[9] == "r1/imu:wide: 2 values, -1000 to 1"
    assert {len(row) for row in rows if row[0] != "r"} == {80}
    assert not any(ord(mark) > 0x2800 for row in rows[1:9] for mark in row[20:])  # nothing after its first second
    assert clock.split() == ["08:53:20.000Z", "08:53:30.000Z"]


def test_a_value_that_never_changes() -> None:
    """A constant is a line half way up, with its value once; what is no number is counted."""
    title, *rows, _ = panels([Curve("x", range(4), [5.0, math.nan, 5.0, math.inf])], 60).splitlines()
    assert title == "x: 2 values, 2 more are no numbers, 5 all along"
    assert [at for at, row in enumerate(rows) if row.startswith("5")] == [4]
    assert [at for at, row in enumerate(rows) if any(ord(mark) > 0x2800 for mark in row)] == [4]
    assert panels([Curve("x", [1], [math.nan])], 40) == "x: 0 values, 1 more are no numbers"


@given(
    st.lists(st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=20), min_size=1, max_size=5),
    st.integers(1, 200),
)
def test_panels_fit_the_terminal(found: list[list[float]], columns: int) -> None:
    """However narrow it is, no line is wider, down to where nothing could be seen."""
    curves = [Curve(f"r1/stream:{at}", range(len(values)), values) for at, values in enumerate(found)]
    least = MIN_WIDTH + 2 + len("-1.234e+308")
    assert all(len(line) <= max(columns, least) for line in panels(curves, columns).splitlines())

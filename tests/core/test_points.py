"""Line protocol: every finite value once, exactly, and names that cannot break out of their place."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from fleetbox.ledger import MINUTE_US
from fleetbox.points import Points, lines, slices
from fleetbox.tallies import Tally


def test_a_line_per_row_with_a_value() -> None:
    """NaN and infinities are left out and counted, missing values are only left out, empty rows make no line."""
    made = lines(
        Points("cam/front", "r1", "edge-1", [1, 2, 3], {"a": [1.5, math.nan, math.inf], "b.c": [None, None, 2.0]})
    )
    assert made.text == ["cam/front,robot=r1,site=edge-1 a=1.5 1", "cam/front,robot=r1,site=edge-1 b.c=2 3"]
    assert (made.values, made.nan) == (2, 2)


@given(st.lists(st.floats(), min_size=1, max_size=20))
def test_every_finite_number_survives(values: list[float]) -> None:
    """Any finite float64 reads back equal, and what is not finite is counted."""
    made = lines(Points("s", "r", "e", list(range(len(values))), {"v": values}))
    finite = [(time, value) for time, value in enumerate(values) if math.isfinite(value)]
    read = [line.split(" ") for line in made.text]
    assert [(int(time), float(cell.removeprefix("v="))) for _, cell, time in read] == finite
    assert made.nan == len(values) - len(finite)


def test_names_cannot_break_out() -> None:
    """Commas, spaces and equals signs in field names are escaped."""
    assert lines(Points("s", "r", "e", [1], {"a b,c=d": [1.0]})).text == ["s,robot=r,site=e a\\ b\\,c\\=d=1 1"]


def test_a_line_break_in_a_name_begins_no_point() -> None:
    """Control characters and backslashes in names become underscores."""
    assert lines(Points("s", "r", "e", [1], {"a\nb\\": [1.0]})).text == ["s,robot=r,site=e a_b_=1 1"]


def test_slices_keep_every_row() -> None:
    """Cutting numpy, arrow and list columns keeps rows together and drops none."""
    columns = {"n": np.arange(7.0), "a": pa.array([float(n) for n in range(7)]), "l": [float(n) for n in range(7)]}
    parts = list(slices([Points("s", "r", "e", np.arange(7), columns)], 3))
    assert [len(part.time_us) for part in parts] == [3, 3, 1]
    text = [line for part in parts for line in lines(part).text]
    assert text == [f"s,robot=r,site=e n={n},a={n},l={n} {n}" for n in range(7)]


def test_minutes_add_up() -> None:
    """Rows on both sides of a minute are counted in their own; a row without a value is counted as empty."""
    times = [MINUTE_US - 1, MINUTE_US, 2 * MINUTE_US - 1, 2 * MINUTE_US]
    made = lines(Points("s", "r", "e", times, {"a": [1.0, math.nan, math.nan, 4.0], "b": [1.0, 2.0, None, None]}))
    assert made.minutes == {
        0: Tally(1, 1, 2),
        MINUTE_US: Tally(2, 1, 1, {"nan": 2}),
        2 * MINUTE_US: Tally(1, 1, 1),
    }
    assert made.minutes[MINUTE_US].empty == 1


def test_a_field_called_time_is_left_out() -> None:
    """InfluxDB would drop it and say that all is well: it is left out here and counted."""
    made = lines(Points("s", "r", "e", [1, 2], {"time": [1.0, 2.0], "v": [3.0, None]}))
    assert made.text == ["s,robot=r,site=e v=3 1"]
    assert made.minutes == {0: Tally(2, 1, 1, {"name": 2})}

"""Circles, boxes and polygons on earth and on a map."""

from __future__ import annotations

import pytest

from fleetbox.errors import InputError
from fleetbox.settings.policy import Fence
from fleetbox_edge.triggers.fences import distance_m, fence_test

YARD = Fence(polygon=((0, 0), (0, 10), (4, 10), (4, 4), (10, 4), (10, 0)), fields=("x", "y"), plane=True)


def at(fence: Fence, one: float, other: float) -> bool:
    """Tell what the fence says of a position."""
    return fence_test(fence)({fence.fields[0]: one, fence.fields[1]: other})


def test_distance_is_that_of_a_known_pair() -> None:
    """Berlin to Munich is 504 km."""
    assert distance_m((52.5200, 13.4050), (48.1374, 11.5755)) == pytest.approx(504_400, rel=0.003)


def test_circle_on_earth_is_in_metres() -> None:
    """0.001 degrees of latitude are 111 m; of longitude at 60 degrees half of that."""
    fence = Fence(circle=(60.0, 10.0, 100.0))
    assert [at(fence, 60.0008, 10.0), at(fence, 60.001, 10.0)] == [True, False]
    assert [at(fence, 60.0, 10.0017), at(fence, 60.0, 10.0019)] == [True, False]


def test_circle_on_a_map_is_in_its_unit() -> None:
    """3-4-5."""
    fence = Fence(circle=(0, 0, 5), fields=("x", "y"), plane=True)
    assert [at(fence, 3, 4), at(fence, 3.1, 4)] == [True, False]


def test_polygon_may_have_a_notch() -> None:
    """An L-shaped yard: the notch is outside."""
    assert [at(YARD, 2, 8), at(YARD, 8, 2), at(YARD, 8, 8), at(YARD, -1, 2)] == [True, True, False, False]


def test_outside_is_the_other_side() -> None:
    """The same yard, seen from outside."""
    fence = YARD.model_copy(update={"side": "outside"})
    assert [at(fence, 2, 8), at(fence, 8, 8)] == [False, True]


def test_box_takes_any_two_corners_and_crosses_the_date_line() -> None:
    """A box by Fiji is not the rest of the world."""
    assert at(Fence(box=((1, 2), (-1, -2))), 0, 0)
    fiji = Fence(box=((-19.0, 177.0), (-16.0, -179.0)))
    assert [at(fiji, -17, 178), at(fiji, -17, -179.5), at(fiji, -17, 176), at(fiji, -17, 0)] == [
        True,
        True,
        False,
        False,
    ]


def test_no_fix_is_on_neither_side() -> None:
    """NaN is no position; a row without one raises and names the fields."""
    nan = float("nan")
    assert not at(YARD, nan, 2)
    assert not at(YARD.model_copy(update={"side": "outside"}), nan, 2)
    with pytest.raises(InputError, match="'x' and 'y'"):
        fence_test(YARD)({"x": 1.0})

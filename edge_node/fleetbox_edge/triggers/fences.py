"""Tell whether a position lies within a circle, a box or a polygon, on earth or on a flat map."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fleetbox.errors import InputError
from fleetbox.settings.policy import Fence

EARTH_M = 6_371_008.8  # mean radius; a fence is off by 0.3 % at worst against the ellipsoid

Inside = Callable[[float, float], bool]


def fence_test(fence: Fence) -> Callable[[Mapping[str, Any]], bool]:
    """Return what tells of a row whether its position lies on the fence's side.

    A position that is not a number (no fix yet) is on neither side. The test raises InputError for a row without it.
    """
    inside, wanted = _inside(fence), fence.side == "inside"
    first, second = fence.fields

    def test(fields: Mapping[str, Any]) -> bool:
        try:
            x, y = float(fields[first]), float(fields[second])
        except (KeyError, TypeError, ValueError):
            raise InputError(f"a record has no numbers {first!r} and {second!r}", "name them in fence.fields") from None
        return math.isfinite(x) and math.isfinite(y) and inside(x, y) is wanted

    return test


def distance_m(one: tuple[float, float], other: tuple[float, float]) -> float:
    """Return the way between two positions (latitude and longitude in degrees) along the earth, in metres."""
    (lat1, lon1), (lat2, lon2) = one, other
    half_lat, half_lon = math.radians(lat2 - lat1) / 2, math.radians(lon2 - lon1) / 2
    across = math.cos(math.radians(lat1)) * math.cos(math.radians(lat2)) * math.sin(half_lon) ** 2
    return 2 * EARTH_M * math.asin(math.sqrt(min(1.0, math.sin(half_lat) ** 2 + across)))


def _inside(fence: Fence) -> Inside:
    if fence.circle is not None:
        x, y, radius = fence.circle
        if fence.plane:
            return lambda px, py: math.hypot(px - x, py - y) <= radius
        return lambda lat, lon: distance_m((x, y), (lat, lon)) <= radius
    if fence.box is not None:
        (x1, y1), (x2, y2) = fence.box
        corners: Sequence[tuple[float, float]] = ((x1, y1), (x1, y2), (x2, y2), (x2, y1))
        return _near(corners, _in_box, fence)
    assert fence.polygon is not None
    return _near(fence.polygon, _in_polygon, fence)


def _near(
    corners: Sequence[tuple[float, float]],
    test: Callable[[Sequence[tuple[float, float]], float, float], bool],
    fence: Fence,
) -> Inside:
    """Return the test with longitudes counted from the first corner: a fence may lie across the date line."""
    if fence.plane:
        return lambda x, y: test(corners, x, y)
    at = corners[0][1]
    turned = tuple((lat, _around(lon, at)) for lat, lon in corners)
    return lambda lat, lon: test(turned, lat, _around(lon, at))


def _around(lon: float, at: float) -> float:
    return (lon - at + 180.0) % 360.0 - 180.0


def _in_box(corners: Sequence[tuple[float, float]], x: float, y: float) -> bool:
    (x1, y1), (x2, y2) = corners[0], corners[2]
    return min(x1, x2) <= x <= max(x1, x2) and min(y1, y2) <= y <= max(y1, y2)


def _in_polygon(corners: Sequence[tuple[float, float]], x: float, y: float) -> bool:
    """Count the edges a ray from the point crosses: odd is inside."""
    inside = False
    x1, y1 = corners[-1]
    for x2, y2 in corners:
        if (y1 > y) != (y2 > y) and x < (x2 - x1) * (y - y1) / (y2 - y1) + x1:
            inside = not inside
        x1, y1 = x2, y2
    return inside

"""Say what events are searched by, and tell whether a place lies in a circle or a box."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from fleetbox.errors import InputError
from fleetbox.time import parse_duration

EARTH_M = 6_371_008.8  # mean radius
SEVERITY = "severity"
ON_EARTH, ON_PLANE = ("lat", "lon"), ("x", "y")  # labels that tell where an event was: in degrees, or in metres


@dataclass(frozen=True, slots=True)
class Circle:
    """Choose places within so many metres: of a point in degrees on earth, or in metres on a plane."""

    first: float
    second: float
    radius_m: float
    on_plane: bool = False

    def holds(self, first: float, second: float) -> bool:
        """Tell whether a place lies in the circle."""
        if self.on_plane:
            return math.hypot(first - self.first, second - self.second) <= self.radius_m
        return distance_m(self.first, self.second, first, second) <= self.radius_m


@dataclass(frozen=True, slots=True)
class Box:
    """Choose places from one corner to the other, both included; in degrees it may cross the date line."""

    first_low: float
    second_low: float
    first_high: float
    second_high: float
    on_plane: bool = False

    def holds(self, first: float, second: float) -> bool:
        """Tell whether a place lies in the box."""
        if not self.first_low <= first <= self.first_high:
            return False
        if self.second_low <= self.second_high:
            return self.second_low <= second <= self.second_high
        return not self.on_plane and (second >= self.second_low or second <= self.second_high)


@dataclass(frozen=True, slots=True)
class Search:
    """Hold what an event must be like; None and empty ask for nothing. Durations are of its interval, in µs."""

    words: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    shortest_us: int | None = None
    longest_us: int | None = None
    within: Circle | Box | None = None

    def with_labels(self, labels: Mapping[str, str]) -> dict[str, str]:
        """Return its labels with more; raises InputError for one that would have to be two things."""
        for name, value in labels.items():
            if self.labels.get(name, value) != value:
                raise InputError(f"label {name!r} is asked to be two things at once", "search for each")
        return {**self.labels, **labels}


def distance_m(lat: float, lon: float, other_lat: float, other_lon: float) -> float:
    """Return the distance of two places on earth in metres (haversine)."""
    a, b = math.radians(lat), math.radians(other_lat)
    half = math.sin((b - a) / 2) ** 2
    half += math.cos(a) * math.cos(b) * math.sin(math.radians(other_lon - lon) / 2) ** 2
    return 2 * EARTH_M * math.asin(min(1.0, math.sqrt(half)))


def parse_circle(text: str, on_plane: bool = False) -> Circle:
    """Read "48.137,11.575,200m" (or "2 km"); raises InputError."""
    first, second, radius = _three(text)
    return checked_circle(_number(first, text), _number(second, text), metres(radius), on_plane)


def parse_box(text: str, on_plane: bool = False) -> Box:
    """Read "48.1,11.5,48.2,11.6", two corners, the lower first; raises InputError."""
    parts = [_number(part, text) for part in text.split(",")]
    if len(parts) != 4:
        raise InputError(f"box {text!r} is not four numbers", "write lat,lon,lat,lon: two corners, the lower first")
    return checked_box(parts[0], parts[1], parts[2], parts[3], on_plane)


def checked_circle(first: float, second: float, radius_m: float, on_plane: bool = False) -> Circle:
    """Return the circle; raises InputError for one that no place can lie in."""
    _check_place(first, second, on_plane)
    if not (math.isfinite(radius_m) and radius_m > 0):
        raise InputError(f"a circle of {radius_m:g} m", "give a radius above 0")
    return Circle(first, second, radius_m, on_plane)


def checked_box(
    first_low: float, second_low: float, first_high: float, second_high: float, on_plane: bool = False
) -> Box:
    """Return the box; raises InputError for corners in the wrong order or beyond the earth."""
    _check_place(first_low, second_low, on_plane)
    _check_place(first_high, second_high, on_plane)
    if first_low > first_high or (on_plane and second_low > second_high):
        raise InputError("the box ends before it begins", "give the lower corner first")
    return Box(first_low, second_low, first_high, second_high, on_plane)


def metres(radius: str | float) -> float:
    """Return a distance in metres: a number, or text such as "200m" and "1.5 km"; raises InputError."""
    if isinstance(radius, int | float):
        return float(radius)
    text = radius.strip().lower()
    for unit, factor in (("km", 1000.0), ("m", 1.0), ("", 1.0)):
        if text.endswith(unit):
            return _number(text.removesuffix(unit), radius) * factor
    raise AssertionError(text)


def span_us(duration: object) -> int | None:
    """Return a duration in µs, None for none; raises InputError."""
    return None if duration is None else parse_duration(duration)  # type: ignore[arg-type]


def _check_place(first: float, second: float, on_plane: bool) -> None:
    right = math.isfinite(first) and math.isfinite(second)
    if not right or not (on_plane or (abs(first) <= 90 and abs(second) <= 180)):
        raise InputError(f"{first:g},{second:g} is no place on earth", "give latitude, then longitude, in degrees")


def _three(text: str) -> list[str]:
    parts = text.split(",")
    if len(parts) != 3:
        raise InputError(f"circle {text!r} is not a place and a radius", "write it like 48.137,11.575,200m")
    return parts


def _number(part: str, text: str) -> float:
    try:
        return float(part)
    except ValueError:
        raise InputError(f"{part.strip()!r} in {text!r} is no number", "write it like 48.137,11.575,200m") from None

"""Tell by a table's columns which of them are together a place on earth, a pose, or points in space; plain values."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

_PLACES = (("lat", "lon"), ("lat", "lng"), ("latitude", "longitude"))
_POSES = (("position", "orientation"), ("translation", "rotation"))
AXES, TURNS = ("x", "y", "z"), ("x", "y", "z", "w")
SCAN = ("ranges", "angle_min", "angle_increment")  # a ROS LaserScan's
CLOUD = ("data", "point_step", "fields.name", "fields.offset", "fields.datatype")  # a ROS PointCloud2's


@dataclass(frozen=True, slots=True)
class Pose:
    """Name the columns of a position (x, y, z) and of a rotation (x, y, z, w), () where there is none."""

    position: tuple[str, ...]
    rotation: tuple[str, ...] = ()


def place_in(numbers: Collection[str]) -> tuple[str, str] | None:
    """Return the columns of latitude and longitude, in degrees, or None."""
    for name in numbers:
        prefix, last = _split(name)
        for lat, lon in _PLACES:
            if last == lat and prefix + lon in numbers:
                return name, prefix + lon
    return None


def pose_in(numbers: Collection[str]) -> Pose | None:
    """Return the columns of a pose in space, or None."""
    for name in numbers:
        for position, rotation in _POSES:
            if name == f"{position}.x" or name.endswith(f".{position}.x"):
                prefix = name.removesuffix(f"{position}.x")
                at = tuple(f"{prefix}{position}.{axis}" for axis in AXES)
                turned = tuple(f"{prefix}{rotation}.{axis}" for axis in TURNS)
                if all(one in numbers for one in at):
                    return Pose(at, turned if all(one in numbers for one in turned) else ())
    return None


def _split(name: str) -> tuple[str, str]:
    prefix, dot, last = name.rpartition(".")
    return prefix + dot, last

"""Points and pictures out of files and ROS messages: where they are, and in which colours."""

from __future__ import annotations

import io
import struct
from typing import Any

import numpy as np
import pytest

from fleetbox_query.viewing.clouds import points_of, points_of_row, points_of_scan
from fleetbox_query.viewing.column_shapes import Pose, place_in, pose_in
from fleetbox_query.viewing.intervals import Interval, lanes
from fleetbox_query.viewing.raw_pictures import raw_picture_of
from fleetbox_query.viewing.sounds import sound_of

PLACES = np.array([[0, 0, 0], [1, 2, 3], [4, 5, 6]], "<f4")
CLOUD = "sensor_msgs/msg/PointCloud2"


def _text(text: str) -> bytes:
    data = text.encode() + b"\0"
    return struct.pack("<I", len(data)) + data


def _aligned(*parts: Any) -> bytes:
    """Return CDR of texts, whole numbers (32 bits), single bytes and sequences of bytes."""
    out = b""
    for part in parts:
        if isinstance(part, bytes) and len(part) == 1:
            out += part
            continue
        out += bytes(-len(out) % 4)
        if isinstance(part, int):
            out += struct.pack("<I", part)
        else:
            out += _text(part) if isinstance(part, str) else struct.pack("<I", len(part)) + part
    return b"\0\1\0\0" + out


def _cloud2(points: np.ndarray[Any, Any], *fields: tuple[str, int, int]) -> bytes:
    said: list[Any] = [7, 8, "lidar", 1, len(points), len(fields)]
    for name, offset, kind in fields:
        said += [name, offset, bytes([kind]), 1]
    stride = points.dtype.itemsize if points.dtype.names else points.dtype.itemsize * points.shape[1]
    return _aligned(*said, b"\0", stride, stride * len(points), points.tobytes(), b"\1")


def test_a_pcd_file() -> None:
    """Points of a PCD file are coloured by what came back of the light, from dark to bright; NaN is no point."""
    rows = np.c_[np.vstack([PLACES, [np.nan] * 3]), [0, 50, 100, 7]].astype("<f4")
    head = "VERSION 0.7\nFIELDS x y z intensity\nSIZE 4 4 4 4\nTYPE F F F F\nWIDTH 4\nHEIGHT 1\nPOINTS 4\nDATA binary\n"
    found = points_of(head.encode() + rows.tobytes())
    assert found is not None
    assert found.positions.tolist() == PLACES.tolist()
    assert found.colours[0].tolist() != found.colours[2].tolist()
    assert found.colours[2].tolist() == [253, 231, 37]


def test_a_ros_cloud() -> None:
    """A PointCloud2 message, as bytes or as a row, gives its points; packed colours are its own."""
    dtype = np.dtype([("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("rgb", "<u4")])
    points = np.array([(1, 2, 3, 0x112233), (4, 5, 6, 0xFF0001)], dtype)
    fields = (("x", 0, 7), ("y", 4, 7), ("z", 8, 7), ("rgb", 12, 6))
    found = points_of(_cloud2(points, *fields), CLOUD)
    assert found is not None
    assert found.positions.tolist() == [[1, 2, 3], [4, 5, 6]]
    assert found.colours.tolist() == [[0x11, 0x22, 0x33], [0xFF, 0, 1]]
    names, offsets, kinds = zip(*fields, strict=True)
    row = {"fields.name": names, "fields.offset": offsets, "fields.datatype": kinds}
    same = points_of_row({**row, "data": list(points.tobytes()), "point_step": 16})
    assert same is not None
    assert same.positions.tolist() == found.positions.tolist()


def test_arrays_and_scans() -> None:
    """A NumPy file of N x 3 is a cloud; a scan lies on its plane, without beams that met nothing."""
    out = io.BytesIO()
    np.save(out, PLACES)
    found = points_of(out.getvalue())
    assert found is not None
    assert found.positions.tolist() == PLACES.tolist()
    scan = points_of_scan([1.0, float("inf"), 2.0], 0.0, np.pi / 2)
    assert scan.positions == pytest.approx(np.array([[1, 0, 0], [-2, 0, 0]]), abs=1e-6)


@pytest.mark.parametrize("data", [b"", b"VERSION", b"\x93NUMPY", b"\0\1\0\0\1", b"no cloud at all"])
def test_what_is_no_cloud(data: bytes) -> None:
    """Other bytes, and clouds that are cut off, are None and no error."""
    assert points_of(data) is None
    assert points_of(data, CLOUD) is None
    assert points_of(_cloud2(PLACES, ("x", 0, 7), ("y", 4, 7))[:-20], CLOUD) is None


def test_a_raw_picture() -> None:
    """Rows of an Image message come without their padding; what is unknown or cut off is None."""
    data = _aligned(7, 8, "cam", 2, 2, "mono8", b"\0", 4, b"ab..cd..")
    found = raw_picture_of(data)
    assert found is not None
    assert (found.height, found.width, found.model, found.data) == (2, 2, "L", b"abcd")
    assert raw_picture_of(data[:-3]) is None
    assert raw_picture_of(_aligned(7, 8, "cam", 2, 2, "bayer_rggb8", b"\0", 2, b"abcd")) is None


def test_what_columns_are_together() -> None:
    """Latitude and longitude are a place, wherever they are nested; position and orientation are a pose."""
    assert place_in(["alt", "fix.latitude", "fix.longitude"]) == ("fix.latitude", "fix.longitude")
    assert place_in(["lat", "x.lon"]) is None
    position, turned = [f"pose.position.{axis}" for axis in "xyz"], [f"pose.orientation.{axis}" for axis in "xyzw"]
    assert pose_in([*turned, *position]) == Pose(tuple(position), tuple(turned))
    assert pose_in(["position.x", "position.y", "position.z"]) == Pose(("position.x", "position.y", "position.z"))
    assert pose_in(["position.x", "position.y"]) is None


def test_overlapping_intervals_are_one() -> None:
    """A lane begins and ends once where intervals overlap, and again where they do not."""
    lane, other = ("r1", "events", "brake"), ("r1", "events", "stop")
    spans = [(lane, 30, 40), (lane, 1, 10), (lane, 5, 20), (lane, 6, 7), (other, 5, 5)]
    made = lanes(Interval(name, name[2], start, stop) for name, start, stop in spans)
    assert made == {lane: [(1, "brake"), (20, None), (30, "brake"), (40, None)], other: [(5, "stop"), (6, None)]}


def test_sounds_by_their_first_bytes() -> None:
    """A WAV file is a sound, a RIFF of another kind is none."""
    assert sound_of(b"RIFF\0\0\0\0WAVEfmt ") == "audio/wav"
    assert sound_of(b"OggS\0") == "audio/ogg"
    assert sound_of(b"RIFF\0\0\0\0AVI ") is None

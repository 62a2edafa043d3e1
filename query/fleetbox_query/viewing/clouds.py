"""Turn point clouds into points with colours: PCD files, NumPy arrays, and ROS PointCloud2 and LaserScan messages."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fleetbox_query.exports.mcap import clouds as pcd
from fleetbox_query.viewing.cdr import Cdr

if TYPE_CHECKING:
    import numpy as np

POINT_CLOUD = ("sensor_msgs/msg/PointCloud2", "sensor_msgs/PointCloud2")
BRIGHTNESS = ("intensity", "reflectivity", "i")
_NUMPY = {"Float32": "<f4", "Float64": "<f8", "Uint8": "u1", "Uint16": "<u2", "Uint32": "<u4", "Int8": "i1",
          "Int16": "<i2", "Int32": "<i4"}  # fmt: skip
_ROS = {1: "i1", 2: "u1", 3: "<i2", 4: "<u2", 5: "<i4", 6: "<u4", 7: "<f4", 8: "<f8"}  # PointField's datatypes
_NPY = b"\x93NUMPY"
_COLOURS = ((68, 1, 84), (59, 82, 139), (33, 145, 140), (94, 201, 98), (253, 231, 37))  # viridis, from low to high


@dataclass(frozen=True, slots=True)
class Points:
    """Hold points: positions (N x 3, float32, metres) and colours (N x 3, uint8)."""

    positions: np.ndarray[Any, Any]
    colours: np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    offset: int
    dtype: str


def points_of(data: bytes, schema_name: str = "") -> Points | None:
    """Return the points that a file or a ROS message holds; None for other bytes."""
    try:
        if schema_name in POINT_CLOUD:
            return _of_message(data)
        if data.startswith(_NPY):
            return _of_array(data)
        cloud = pcd.cloud_of(data)
    except (ValueError, IndexError, TypeError, UnicodeDecodeError):
        return None
    if cloud is None:
        return None
    return _points(cloud.data, cloud.stride, [_Field(name, at, _NUMPY[kind]) for name, at, kind in cloud.fields])


def points_of_row(row: Mapping[str, Any]) -> Points | None:
    """Return the points of a PointCloud2 message that was small enough to be a row."""
    kinds = zip(row["fields.name"], row["fields.offset"], row["fields.datatype"], strict=True)
    fields = [_Field(str(name), int(at), _ROS[int(kind)]) for name, at, kind in kinds if int(kind) in _ROS]
    return _points(bytes(one & 255 for one in row["data"]), int(row["point_step"]), fields)


def points_of_scan(ranges: Sequence[float], angle_min: float, angle_increment: float) -> Points:
    """Return a scan's points on its plane; ranges in metres, angles in radians."""
    import numpy as np

    far = np.asarray(ranges, float)
    angles = angle_min + angle_increment * np.arange(len(far))
    good = np.isfinite(far) & (far > 0)
    flat = np.stack([far * np.cos(angles), far * np.sin(angles), np.zeros(len(far))], 1)[good]
    return Points(flat.astype("f4"), _coloured(far[good]))


def _of_message(data: bytes) -> Points | None:
    said = Cdr(data)
    said.header()
    said.u32(), said.u32()  # height and width
    fields = []
    for _ in range(said.u32()):
        name, at, kind = said.text(), said.u32(), said.u8()
        if said.u32() == 1 and kind in _ROS:
            fields.append(_Field(name, at, _ROS[kind]))
    big_endian, stride = said.u8(), said.u32()
    said.u32()  # a row's bytes
    return None if big_endian else _points(said.bytes(), stride, fields)


def _of_array(data: bytes) -> Points | None:
    import numpy as np

    found = np.load(io.BytesIO(data), allow_pickle=False)
    if found.ndim != 2 or found.shape[1] < 3 or found.dtype.kind not in "fiu":
        return None
    return _made(found[:, :3].astype("f4"), found[:, 3] if found.shape[1] == 4 else None)


def _points(data: bytes, stride: int, fields: Sequence[_Field]) -> Points | None:
    import numpy as np

    by_name = {one.name: one for one in fields}
    if stride < 1 or not {"x", "y"} <= set(by_name):
        return None
    form = {"names": list(by_name), "formats": [one.dtype for one in by_name.values()],
            "offsets": [one.offset for one in by_name.values()], "itemsize": stride}  # fmt: skip
    found: Any = np.frombuffer(data, np.dtype(form), count=len(data) // stride)  # type: ignore[call-overload]
    at = [found[axis].astype("f4") if axis in by_name else np.zeros(len(found), "f4") for axis in ("x", "y", "z")]
    packed = next((found[name] for name in ("rgb", "rgba") if name in by_name), None)
    if packed is not None and packed.dtype.itemsize == 4:
        good = np.isfinite(np.stack(at, 1)).all(1)
        bits = packed.copy().view("<u4")[good]
        return Points(np.stack(at, 1)[good], np.stack([bits >> 16 & 255, bits >> 8 & 255, bits & 255], 1).astype("u1"))
    bright = next((found[name] for name in BRIGHTNESS if name in by_name), None)
    return _made(np.stack(at, 1), bright)


def _made(positions: np.ndarray[Any, Any], bright: np.ndarray[Any, Any] | None) -> Points:
    """Return the points there are, coloured by what came back of the light, else by height."""
    import numpy as np

    good = np.isfinite(positions).all(1)  # a beam that met nothing is NaN
    values = positions[:, 2] if bright is None else bright
    return Points(positions[good], _coloured(values[good].astype(float)))


def _coloured(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return a colour for each value, from the lowest to the highest, whatever single glints there are."""
    import numpy as np

    if not len(values):
        return np.zeros((0, 3), "u1")
    values = np.nan_to_num(values)
    low, high = np.percentile(values, (2, 98))  # the rest are glints, or beams that went astray
    part = np.clip((values - low) / (high - low or 1.0), 0, 1)
    stops = np.linspace(0, 1, len(_COLOURS))
    return np.stack([np.interp(part, stops, shade) for shade in zip(*_COLOURS, strict=True)], 1).astype("u1")

"""Show point clouds that were recorded as PCD files: their points go into Foxglove's message as they lie there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fleetbox_query.exports.mcap.stamps import stamp
from fleetbox_query.items import Item

_TYPES = {("F", 4): "Float32", ("F", 8): "Float64", ("U", 1): "Uint8", ("U", 2): "Uint16", ("U", 4): "Uint32",
          ("I", 1): "Int8", ("I", 2): "Int16", ("I", 4): "Int32"}  # fmt: skip
_NUMPY = {"Float32": "<f4", "Float64": "<f8", "Uint8": "u1", "Uint16": "<u2", "Uint32": "<u4", "Int8": "i1",
          "Int16": "<i2", "Int32": "<i4"}  # fmt: skip
_HEAD_BYTES = 4096  # a header is a dozen lines
_WORDS = ("VERSION", "FIELDS", "SIZE", "TYPE", "COUNT", "WIDTH", "HEIGHT", "VIEWPOINT", "POINTS", "DATA")


@dataclass(frozen=True, slots=True)
class Cloud:
    """Hold a cloud's fields as (name, place in a point, type), the bytes of a point, and all points' bytes."""

    fields: tuple[tuple[str, int, str], ...]
    stride: int
    data: bytes


def cloud_of(data: bytes) -> Cloud | None:
    """Return the cloud that a PCD file holds; None for other bytes, and for a kind of PCD that is not read."""
    if not data[:16].lstrip().startswith((b"# .PCD", b"VERSION")):
        return None
    try:
        said, start = _header(data)
        count = int(said["POINTS"][0])
        sizes, counts = [int(one) for one in said["SIZE"]], [int(one) for one in said.get("COUNT", [])]
        counts = counts or [1] * len(sizes)
        kinds = [_TYPES[kind, size] for kind, size in zip(said["TYPE"], sizes, strict=True)]
        fields, at = [], 0
        for name, kind, size, many in zip(said["FIELDS"], kinds, sizes, counts, strict=True):
            if many == 1 and name != "_":  # a histogram or padding is passed over
                fields.append((name, at, kind))
            at += size * many
        body = _points(data[start:], said["DATA"][0], kinds, counts)
    except (KeyError, ValueError, IndexError, UnicodeDecodeError):
        return None
    if body is None or not at or len(body) < count * at or not {"x", "y"} <= {name for name, _, _ in fields}:
        return None
    return Cloud(tuple(fields), at, body[: count * at])


def message_of(item: Item) -> bytes:
    """Return a PCD file as foxglove.PointCloud; raises ValueError for bytes that are none."""
    from foxglove import messages

    cloud = cloud_of(item.data or b"")
    if cloud is None:
        raise ValueError("it is no point cloud, as the stream's first record was")
    types = messages.PackedElementFieldNumericType
    fields: list[Any] = [
        messages.PackedElementField(name=name, offset=at, type=getattr(types, kind)) for name, at, kind in cloud.fields
    ]
    return messages.PointCloud(
        timestamp=stamp(item.time_us * 1000),
        frame_id=item.labels.get("frame_id", item.stream),
        pose=messages.Pose(
            position=messages.Vector3(x=0, y=0, z=0), orientation=messages.Quaternion(x=0, y=0, z=0, w=1)
        ),
        point_stride=cloud.stride,
        fields=fields,
        data=cloud.data,
    ).encode()


def _header(data: bytes) -> tuple[dict[str, list[str]], int]:
    said: dict[str, list[str]] = {}
    at = 0
    while "DATA" not in said:
        end = data.index(b"\n", at, _HEAD_BYTES)
        word, *rest = data[at:end].decode("ascii").split() or ["#"]
        if word in _WORDS:
            said[word] = rest
        at = end + 1
    return said, at


def _points(body: bytes, how: str, kinds: list[str], counts: list[int]) -> bytes | None:
    import numpy as np

    if how == "binary":
        return body
    if how != "ascii":  # binary_compressed: stays a file
        return None
    columns = [(f"f{at}", _NUMPY[kind], (many,)) for at, (kind, many) in enumerate(zip(kinds, counts, strict=True))]
    rows = np.array(body.split(), float).reshape(-1, sum(counts))
    packed, at = np.zeros(len(rows), columns), 0
    for (name, _, _), many in zip(columns, counts, strict=True):
        packed[name] = rows[:, at : at + many]
        at += many
    return packed.tobytes()

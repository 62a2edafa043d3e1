"""Read the pictures of ROS Image messages, which are neither JPEG nor PNG."""

from __future__ import annotations

from dataclasses import dataclass

from fleetbox_query.viewing.cdr import Cdr

IMAGE = ("sensor_msgs/msg/Image", "sensor_msgs/Image")
_FORMS = {"rgb8": ("u1", 3, "RGB"), "bgr8": ("u1", 3, "BGR"), "rgba8": ("u1", 4, "RGBA"), "bgra8": ("u1", 4, "BGRA"),
          "mono8": ("u1", 1, "L"), "8UC1": ("u1", 1, "L"), "8UC3": ("u1", 3, "BGR"), "mono16": ("<u2", 1, "L"),
          "16UC1": ("<u2", 1, "depth"), "32FC1": ("<f4", 1, "depth")}  # fmt: skip


@dataclass(frozen=True, slots=True)
class RawPicture:
    """Hold a picture: height and width in pixels, NumPy's type of a value, values per pixel, what they mean, rows.

    model: RGB, BGR, RGBA, BGRA, L (brightness) or depth: in mm where values are whole, else in m.
    """

    height: int
    width: int
    dtype: str
    channels: int
    model: str
    data: bytes


def raw_picture_of(data: bytes) -> RawPicture | None:
    """Return the picture of an Image message; None for other bytes, and for an encoding that is not read."""
    try:
        said = Cdr(data)
        said.header()
        height, width, encoding = said.u32(), said.u32(), said.text()
        big_endian, step, rows = said.u8(), said.u32(), said.bytes()
    except (ValueError, UnicodeDecodeError):
        return None
    form = _FORMS.get(encoding)
    if form is None or big_endian or not height or not width:
        return None
    dtype, channels, model = form
    used = width * channels * int(dtype[-1])
    if step < used or len(rows) < step * height:
        return None
    packed = rows[: step * height] if step == used else b"".join(rows[at * step :][:used] for at in range(height))
    return RawPicture(height, width, dtype, channels, model, packed)

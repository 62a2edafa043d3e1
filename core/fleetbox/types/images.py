"""Take pictures: JPEG and PNG bytes as they are, uint8 arrays as JPEG."""

from __future__ import annotations

from typing import Any

from fleetbox.errors import InputError
from fleetbox.types.shape import Type, within_limit

JPEG_QUALITY = 85  # visually clean at a third of quality 95's bytes
_JPEG = b"\xff\xd8\xff"
_PNG = b"\x89PNG\r\n\x1a\n"
_ENDS = {"image/jpeg": b"\xff\xd9", "image/png": b"IEND"}  # the last thing in a whole one
_PADDING_BYTES = 64  # that cameras put behind it


def sniff(data: bytes) -> str | None:
    """Return "image/jpeg" or "image/png" by the first bytes, or None."""
    if data.startswith(_JPEG):
        return "image/jpeg"
    return "image/png" if data.startswith(_PNG) else None


def encode(value: Any, quality: int = JPEG_QUALITY) -> bytes:
    """Return JPEG or PNG bytes as they are, and an HxW or HxWx3 (BGR, as OpenCV has it) uint8 array as JPEG."""
    if isinstance(value, bytes | bytearray | memoryview):
        data = bytes(value)
        if not sniff(data):
            raise InputError("these bytes are neither JPEG nor PNG", "log them as type 'file'")
        return within_limit(data, "a picture")
    if not _is_picture(value):
        raise InputError(
            f"a picture of {_shape(value)} cannot be encoded",
            "give HxW or HxWx3 uint8, at least 1x1, or JPEG or PNG bytes",
        )
    import cv2
    import numpy as np

    done, jpeg = cv2.imencode(".jpg", np.ascontiguousarray(value), [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise InputError(f"OpenCV could not encode a picture of {_shape(value)} as JPEG")
    return within_limit(jpeg.tobytes(), "a picture")


def decode(data: bytes) -> Any:
    """Return the picture as an ndarray: HxW or HxWx3 (BGR), with PNG's own depth and alpha kept."""
    import cv2
    import numpy as np

    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED) if data else None
    if picture is None:
        raise InputError(f"{len(data)} bytes do not decode as a picture", "save them with `fleetbox get ... -o FILE`")
    return picture


def check_whole(data: bytes) -> None:
    """Raise InputError for a JPEG or PNG that was cut off; only one without its end is decoded to tell."""
    kind = sniff(data)
    if kind is not None and _ENDS[kind] not in data[-_PADDING_BYTES:]:
        decode(data)  # some cameras write an end of their own


def _accepts(value: Any) -> bool:
    if isinstance(value, bytes | bytearray | memoryview):
        return sniff(bytes(value[:8])) is not None
    return _is_picture(value)


def _is_picture(value: Any) -> bool:
    if str(getattr(value, "dtype", "")) != "uint8" or 0 in value.shape:
        return False
    return len(value.shape) == 2 or (len(value.shape) == 3 and value.shape[2] == 3)


def _shape(value: Any) -> str:
    shape = getattr(value, "shape", None)
    return f"shape {shape} and dtype {value.dtype}" if shape is not None else f"type {type(value).__name__}"


def _preview(data: bytes) -> str:
    kind = (sniff(data) or "unknown").removeprefix("image/").upper()
    return f"{kind} {len(data) / 1000:.1f} kB"


TYPE = Type(
    name="images",
    cls="media",
    content_type="image/jpeg",
    accepts=_accepts,
    encode=encode,
    decode=decode,
    preview=_preview,
    sniff=sniff,
)

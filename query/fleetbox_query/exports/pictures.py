"""Give out the pictures of an export in order of time, JPEG or PNG as stored, with the time written in on request."""

from __future__ import annotations

from typing import Any

from fleetbox.errors import InputError
from fleetbox.time import iso_time
from fleetbox.types import images
from fleetbox_query.exports.job import Job
from fleetbox_query.items import Item

_MARGIN_PX = 8


def is_picture(job: Job, item: Item) -> bool:
    """Tell whether an item is a picture; what is none is counted as left out."""
    if item.data is not None and item.type == "images" and images.sniff(item.data[:16]):
        return True
    kind = "rows" if item.data is None else item.type
    job.tally.skip(f"{item.robot}/{item.stream}: {kind} are no pictures; name the streams of pictures alone")
    return False


def as_array(item: Item, *, burn_time: bool) -> Any:
    """Return the picture as HxWx3 uint8 (BGR), with its time written in if so wished; raises InputError."""
    import cv2

    picture = images.decode(item.data or b"")
    if picture.dtype != "uint8":
        picture = (picture / max(1, int(picture.max())) * 255).astype("uint8")  # depth: near is dark
    if picture.ndim == 2:
        picture = cv2.cvtColor(picture, cv2.COLOR_GRAY2BGR)
    elif picture.shape[2] == 4:
        picture = cv2.cvtColor(picture, cv2.COLOR_BGRA2BGR)
    return burnt(picture, item) if burn_time else picture


def burnt(picture: Any, item: Item) -> Any:
    """Return the picture with stream and time in its lower left corner, white on black."""
    import cv2

    text = f"{item.robot}/{item.stream} {iso_time(item.time_us)}"
    scale = max(0.3, picture.shape[0] / 720)
    (width, height), base = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, 1)
    if width + 2 * _MARGIN_PX > picture.shape[1]:
        scale *= picture.shape[1] / (width + 2 * _MARGIN_PX)
        (width, height), base = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, 1)
    out, bottom = picture.copy(), picture.shape[0]
    cv2.rectangle(out, (0, bottom - height - base - _MARGIN_PX), (width + 2 * _MARGIN_PX, bottom), (0, 0, 0), -1)
    at = (_MARGIN_PX, bottom - base - _MARGIN_PX // 2)
    cv2.putText(out, text, at, cv2.FONT_HERSHEY_SIMPLEX, scale, (255, 255, 255), 1, cv2.LINE_AA)
    return out


def encoded(picture: Any, extension: str) -> bytes:
    """Return a picture as a file's bytes, by its extension."""
    import cv2

    settings = [cv2.IMWRITE_JPEG_QUALITY, 95] if extension == ".jpg" else [cv2.IMWRITE_PNG_COMPRESSION, 1]
    done, data = cv2.imencode(extension, picture, settings)
    if not done:
        raise InputError(f"OpenCV could not encode a picture of shape {picture.shape} as {extension}")
    return bytes(data.tobytes())

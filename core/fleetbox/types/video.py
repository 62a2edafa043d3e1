"""Take MP4 files, and turn pictures of a stretch of time into one and back, each with its exact time.

The presentation times count µs from the record's own time. What else was known of the pictures (sequence numbers, exact
clocks) stands as JSON in the file's comment, so that every player plays it and nothing is forgotten.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from fleetbox.errors import InputError
from fleetbox.types.shape import Type, within_limit

CONTENT_TYPE = "video/mp4"
MICROS = Fraction(1, 1_000_000)
PRESET = "veryfast"  # a third of the CPU of x264's default, for a few per cent more bytes (bench/transcode.py)
RATE = 30  # x264 plans its bits by it; the pictures' own times stand in the file
FINEST = "2"  # mjpeg's scale, 2 to 31, for a JPEG made from a frame: H.264 took away enough
VERSION = 1


@dataclass(frozen=True, slots=True)
class Clip:
    """Hold what is to be a video: JPEGs and their times in µs since the epoch; `more` is kept beside them as JSON."""

    pictures: Sequence[bytes]
    times_us: Sequence[int]
    more: Mapping[str, Any] = field(default_factory=dict)


class Stopped(Exception):
    """End encoding or decoding early: whoever asked for it needs the machine."""


def sniff(data: bytes) -> str | None:
    """Return "video/mp4" by the first bytes, or None."""
    return CONTENT_TYPE if data[4:8] == b"ftyp" else None


def encode_clip(clip: Clip, crf: int, go_on: Callable[[], bool] = lambda: True) -> bytes:
    """Return the pictures as H.264 in an MP4, with one thread; raises InputError, or Stopped within a picture's time.

    go_on: asked before each picture.
    """
    av = _av()
    out, start_us = io.BytesIO(), clip.times_us[0]
    try:
        first = _picture(av, clip.pictures[0])
        with av.open(out, "w", format="mp4", options={"movflags": "use_metadata_tags"}) as file:
            file.metadata["comment"] = json.dumps({"fleetbox": VERSION, **clip.more}, separators=(",", ":"))
            stream = file.add_stream("libx264", rate=RATE, options={"crf": str(crf), "preset": PRESET})
            stream.width, stream.height, stream.pix_fmt = first.width, first.height, _format(first)
            stream.time_base = stream.codec_context.time_base = MICROS
            stream.codec_context.thread_count = 1
            for data, time_us in zip(clip.pictures, clip.times_us, strict=True):
                if not go_on():
                    raise Stopped
                frame = _picture(av, data).reformat(format=stream.pix_fmt)
                frame.pts, frame.time_base, frame.pict_type = time_us - start_us, MICROS, 0
                file.mux(stream.encode(frame))
            file.mux(stream.encode())
    except av.FFmpegError as error:
        raise InputError(f"{len(clip.pictures)} pictures cannot be made a video: {error}") from error
    return within_limit(out.getvalue(), "a video")


def frames(data: bytes) -> Iterator[tuple[int, Any]]:
    """Yield (µs after the record's own time, av.VideoFrame) in order; raises InputError for what does not decode."""
    av = _av()
    try:
        with av.open(io.BytesIO(data)) as file:
            stream = file.streams.video[0]
            stream.codec_context.thread_count = 1
            for frame in file.decode(stream):
                yield round(frame.pts * frame.time_base * 1_000_000), frame
    except (av.FFmpegError, IndexError) as error:
        raise InputError(f"{len(data)} bytes do not decode as a video: {error}") from error


def offsets_us(data: bytes) -> tuple[int, ...]:
    """Return each frame's time in µs after the record's own, in order; reads the file's index and decodes nothing."""
    av = _av()
    try:
        with av.open(io.BytesIO(data)) as file:
            packets = file.demux(file.streams.video[0])
            return tuple(
                sorted(round(packet.pts * packet.time_base * 1_000_000) for packet in packets if packet.pts is not None)
            )
    except (av.FFmpegError, IndexError) as error:
        raise InputError(f"{len(data)} bytes are no video: {error}") from error


def more_of(data: bytes) -> dict[str, Any]:
    """Return what is known of the pictures besides their times; {} for a video that is not ours."""
    av = _av()
    try:
        with av.open(io.BytesIO(data)) as file:
            found = json.loads(file.metadata.get("comment", "{}"))
    except (av.FFmpegError, ValueError):
        return {}
    return found if isinstance(found, dict) and "fleetbox" in found else {}


def picture_at(data: bytes, offset_us: int) -> bytes:
    """Return as JPEG the frame at exactly this time after the record's own; raises InputError when there is none."""
    for at_us, frame in frames(data):
        if at_us == offset_us:
            return as_jpeg(frame)
    raise InputError(f"the video has no frame {offset_us} µs after its beginning")


def as_jpeg(frame: Any) -> bytes:
    """Return a decoded frame as JPEG."""
    encoder = _av().CodecContext.create("mjpeg", "w")
    encoder.width, encoder.height, encoder.pix_fmt = frame.width, frame.height, "yuvj420p"
    encoder.time_base, encoder.options = MICROS, {"qmin": FINEST, "qmax": FINEST}
    plain = frame.reformat(format="yuvj420p")
    plain.pts, plain.time_base, plain.pict_type = 0, MICROS, 0
    return b"".join(bytes(packet) for packet in [*encoder.encode(plain), *encoder.encode(None)])


def luma(frame: Any) -> Any:
    """Return the brightness of a decoded frame as an HxW array."""
    import numpy as np

    plane = frame.planes[0]
    rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
    return rows[: frame.height, : frame.width]


def decode_picture(data: bytes) -> Any:
    """Return a JPEG as av.VideoFrame, as the encoder sees it; raises InputError for bytes that are none."""
    av = _av()
    try:
        return _picture(av, data)
    except av.FFmpegError as error:
        raise InputError(f"{len(data)} bytes do not decode as a JPEG: {error}") from error


def _picture(av: Any, data: bytes) -> Any:
    found = av.CodecContext.create("mjpeg", "r").decode(av.Packet(data))
    if len(found) != 1:
        raise InputError(f"{len(data)} bytes hold {len(found)} pictures")
    frame = found[0]
    if frame.width % 2 or frame.height % 2:
        raise InputError(f"a picture of {frame.width}x{frame.height} has an odd side, which H.264 does not take")
    return frame


def _format(frame: Any) -> str:
    """Return the video's pixel format: full range where the pictures have it, so that no brightness is rounded."""
    return "yuvj420p" if frame.format.name.startswith("yuvj") or frame.format.name == "gray" else "yuv420p"


def _av() -> Any:
    import av

    return av


def _encode(value: Any) -> bytes:
    data = bytes(value) if isinstance(value, bytes | bytearray | memoryview) else b""
    if not sniff(data):
        raise InputError("a video is the bytes of an MP4 file", "log other files as type 'file'")
    return within_limit(data, "a video")


TYPE = Type(
    name="video",
    cls="media",
    content_type=CONTENT_TYPE,
    accepts=lambda value: isinstance(value, bytes | bytearray | memoryview) and sniff(bytes(value[:8])) is not None,
    encode=_encode,
    decode=lambda data: data,
    preview=lambda data: f"MP4 {len(data) / 1000:.1f} kB",
)

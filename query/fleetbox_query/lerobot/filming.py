"""Make H.264 at a constant rate of pictures, join such files without touching a picture, and look at what is in one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

from fleetbox.errors import InputError
from fleetbox.settings.lerobot import VideoRule
from fleetbox.types import images
from fleetbox_query.lerobot.statistics import LEVELS

CODEC = "h264"
PIXELS = "yuv420p"
_DECODERS = {"image/jpeg": "mjpeg", "image/png": "png"}
_BT601 = 6  # AVCOL_SPC_SMPTE170M: the colours JPEGs are in, said in the stream so that every player shows the same
_LIMITED = 1  # AVCOL_RANGE_MPEG


class Film:
    """Write one video file at exactly `fps`; a context manager that leaves a whole file, or none behind an error."""

    def __init__(self, path: Path, fps: int, size: tuple[int, int], rule: VideoRule) -> None:
        import av
        from av.video.reformatter import VideoReformatter

        self.frames = 0
        self._size = size
        self._period = Fraction(1, fps)
        self._file: Any = av.open(str(path), "w", format="mp4")
        # Without a look ahead the same bytes come out in a seventh less time (measured; there are no B-frames anyway).
        options = {
            "crf": str(rule.crf), "preset": rule.preset, "g": str(rule.gop), "bf": "0", "tune": "zerolatency"
        }  # fmt: skip
        self._plain: Any = VideoReformatter()
        self._stream = self._file.add_stream("libx264", rate=fps, options=options)
        self._stream.width, self._stream.height, self._stream.pix_fmt = *size, PIXELS
        context = self._stream.codec_context
        context.time_base, context.thread_count = self._period, 1
        context.colorspace, context.color_range = _BT601, _LIMITED

    def __enter__(self) -> Film:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._mux(self._stream.encode())
        self._file.close()

    def add(self, frame: Any) -> None:
        """Append a decoded picture; another size than the film's is scaled to it."""
        width, height = self._size
        plain = self._plain.reformat(frame, width=width, height=height, format=PIXELS, dst_color_range=_LIMITED)
        plain.pts, plain.time_base, plain.pict_type = self.frames, self._period, 0
        self._mux(self._stream.encode(plain))
        self.frames += 1

    def _mux(self, packets: Sequence[Any]) -> None:
        for packet in packets:
            packet.duration = round(self._period / packet.time_base)  # the last one has none of its own
            self._file.mux(packet)


@dataclass(frozen=True, slots=True)
class Probe:
    """Say what a video file holds; `pts` are the frames' times in s, in order."""

    codec: str
    pixels: str
    width: int
    height: int
    fps: Fraction
    pts: tuple[Fraction, ...]


class Decoder:
    """Decode one picture after another; what a decoder needs to begin with is made once, not for each of them."""

    def __init__(self) -> None:
        self._decoders: dict[str, Any] = {}

    def __call__(self, data: bytes) -> Any:
        """Return a JPEG or 8-bit PNG as av.VideoFrame; raises InputError for bytes that are none."""
        import av

        kind = images.sniff(data)
        if kind is None:
            raise InputError(f"{len(data)} bytes are neither JPEG nor PNG")
        images.check_whole(data)  # FFmpeg makes a grey half of what is missing
        try:
            found = self._decoder(kind).decode(av.Packet(data))
        except av.FFmpegError as error:
            del self._decoders[kind]  # bad bytes must not reach into the next picture
            raise InputError(f"{len(data)} bytes do not decode as a picture: {error}") from error
        if len(found) != 1:
            raise InputError(f"{len(data)} bytes hold {len(found)} pictures")
        if "16" in found[0].format.name:
            raise InputError(
                "depth pictures (16 bit) are not exported to LeRobot", "leave the stream out of lerobot.toml"
            )
        return found[0]

    def _decoder(self, kind: str) -> Any:
        import av

        if kind not in self._decoders:
            self._decoders[kind] = av.CodecContext.create(_DECODERS[kind], "r")
            self._decoders[kind].thread_count = 1  # each camera has a thread already
        return self._decoders[kind]


def decode(data: bytes) -> Any:
    """Return one picture, as `Decoder` does."""
    return Decoder()(data)


def even_size(frame: Any) -> tuple[int, int]:
    """Return a picture's width and height, an odd one made even: H.264 takes no other."""
    return frame.width - frame.width % 2, frame.height - frame.height % 2


def levels_of(frame: Any) -> Any:
    """Return how often each level of red, green and blue occurs in a picture, as (3, 256) counts."""
    import cv2
    import numpy as np

    plain = frame.reformat(format="gbrp")
    counts = np.empty((3, LEVELS), np.int64)
    for at, plane in zip((1, 2, 0), plain.planes, strict=True):  # the planes are green, blue, red
        rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[: plane.height, : plane.width]
        found = cv2.calcHist(
            [rows], [0], None, [LEVELS], [0, LEVELS]
        )  # a fifth of numpy's time; exact below 2^24 pixels
        counts[at] = found.ravel().astype(np.int64)
    return counts


def join(parts: Sequence[Path], target: Path, fps: int) -> int:
    """Write the frames of several files, one after another, into one, as they are; return how many."""
    import av

    frames = 0
    with av.open(str(target), "w", format="mp4") as out:
        stream: Any = None
        for path in parts:
            with av.open(str(path)) as file:
                source: Any = file.streams.video[0]
                stream = stream or out.add_stream_from_template(source)
                if stream.time_base is None or not frames:
                    stream.time_base = source.time_base
                period = round(Fraction(1, fps) / source.time_base)
                count = 0
                for packet in file.demux(source):
                    if packet.pts is None:
                        continue
                    packet.pts = packet.dts = (frames + count) * period
                    packet.duration = period
                    packet.stream = stream
                    out.mux(packet)
                    count += 1
                frames += count
    return frames


def probe(path: Path) -> Probe:
    """Return what a file holds, without decoding it; raises InputError for one that is no video."""
    import av

    try:
        with av.open(str(path)) as file:
            stream = file.streams.video[0]
            context = stream.codec_context
            pts = sorted(packet.pts for packet in file.demux(stream) if packet.pts is not None)
            base = stream.time_base or Fraction(1)
            rate = Fraction(stream.average_rate or 0)
            return Probe(
                context.name, str(context.pix_fmt), context.width, context.height, rate, tuple(at * base for at in pts)
            )
    except (av.FFmpegError, IndexError) as error:
        raise InputError(f"{path.name} is no video that can be read: {error}") from error

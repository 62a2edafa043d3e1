"""Encode one stream's pictures as segments of a film, and join the segments without encoding them again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

from fleetbox.types import images, video
from fleetbox_query.exports.output import Output
from fleetbox_query.exports.pictures import encoded

CRF = "20"  # hardly to be told from the pictures; a third of their bytes
MICROS = Fraction(1, 1_000_000)


class Film:
    """Encode pictures of one stream; what it must remember between attempts is in `as_dict`.

    fps: a constant rate, frame k at `origin_us + k / fps` showing the latest picture; None: each picture at its time.
    """

    def __init__(
        self,
        name: str,
        fps: float | None,
        origin_us: int = 0,
        frames: int = 0,
        size: Sequence[int] = (),
        segments: Sequence[int] = (),
        held_us: int = 0,
    ) -> None:
        self.name = name
        self.fps = None if fps is None else Fraction(fps).limit_denominator(1001)
        self.origin_us, self.frames, self.size = origin_us, frames, tuple(size)
        self.segments = list(segments)
        self.held: Any = None  # the picture that frames to come show, with a constant rate
        self._held_us = held_us
        self._path_of: Callable[[], Path] | None = None
        self._number = 0
        self._file: Any = None
        self._stream: Any = None
        self._first = 0  # frame or µs, of the segment

    def as_dict(self) -> dict[str, Any]:
        """Return what another attempt goes on from."""
        return {
            "origin_us": self.origin_us,
            "frames": self.frames,
            "size": list(self.size),
            "segments": self.segments,
            "held_us": self._held_us,
        }

    def about(self) -> dict[str, Any]:
        """Return what the manifest says of the film."""
        rate = "variable" if self.fps is None else f"constant {float(self.fps):g}"
        return {"codec": "h264", "rate": rate, "frames": self.frames, "start_us": self.origin_us, "size": self.size}

    def take_up(self, out: Output, held: str) -> None:
        """Take up the picture held at the end of an earlier attempt."""
        if held in out.finished:
            self.held = images.decode(out.path_of(held).read_bytes())

    def kept(self) -> bytes:
        """Return the held picture, to be taken up."""
        return encoded(self.held, ".png")

    def begin(self, path_of: Callable[[], Path], number: int) -> None:
        """Begin a segment; its file is made with its first frame."""
        self._path_of, self._number = path_of, number

    def add(self, picture: Any, time_us: int) -> int:
        """Add a picture (HxWx3 BGR); return how many frames that made."""
        if not self.size:
            self.origin_us = time_us
            self.size = (picture.shape[1] // 2 * 2, picture.shape[0] // 2 * 2)  # 4:2:0 takes even sizes only
        picture = self._fitted(picture)
        if self.fps is None:
            self._encode(picture, time_us - self.origin_us)
            return 1
        before = self.frames
        if self.held is not None:
            while self._time_us(self.frames) < time_us:
                self._encode(self.held, self.frames)
        self.held, self._held_us = picture, time_us
        return self.frames - before

    def close(self, *, last: bool) -> None:
        """End the segment; at the end of everything the last picture is shown once, whatever the rate."""
        if last and self.held is not None:
            self._encode(self.held, self.frames)
            while self._time_us(self.frames) <= self._held_us:
                self._encode(self.held, self.frames)
            self.held = None
        if self._file is not None:
            self._file.mux(self._stream.encode())
            self._file.close()
            self._file = self._stream = None

    def _time_us(self, frame: int) -> int:
        assert self.fps is not None
        return self.origin_us + round(frame * 1_000_000 / self.fps)

    def _fitted(self, picture: Any) -> Any:
        import cv2

        width, height = self.size
        if picture.shape[1] - width in (0, 1) and picture.shape[0] - height in (0, 1):
            return picture[:height, :width]
        return cv2.resize(picture, (width, height))  # a film has one size: that of its first picture

    def _encode(self, picture: Any, at: int) -> None:
        """Encode one frame; at: its number with a constant rate, else its µs from the film's beginning."""
        import av
        import numpy as np

        if self._file is None:
            self._first = at
            self._open()
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="bgr24").reformat(format="yuv420p")
        frame.pts, frame.time_base = at - self._first, self._stream.codec_context.time_base
        self._file.mux(self._stream.encode(frame))
        self.frames += 1

    def _open(self) -> None:
        """Open the segment's file; when it begins within the film, in seconds, stands in its comment."""
        import av

        assert self._path_of is not None
        base = MICROS if self.fps is None else 1 / self.fps
        self._file = av.open(str(self._path_of()), "w", format="mp4")
        self._file.metadata["comment"] = str(self._first * base)
        self.segments.append(self._number)
        stream = self._file.add_stream(
            "libx264", rate=self.fps or video.RATE, options={"crf": CRF, "preset": video.PRESET, "bf": "0"}
        )
        stream.width, stream.height, stream.pix_fmt = *self.size, "yuv420p"
        stream.time_base = stream.codec_context.time_base = base
        self._stream = stream


def join_films(segments: Sequence[Path], whole: Path) -> None:
    """Write segments one after another into one film whose index stands first, so that it plays while it loads."""
    import av

    with av.open(str(whole), "w", format="mp4", options={"movflags": "faststart"}) as out:
        stream: Any = None
        for path in segments:
            with av.open(str(path)) as file:
                source = file.streams.video[0]
                if stream is None:
                    stream = out.add_stream_from_template(source)
                    stream.time_base = source.time_base
                later = round(Fraction(file.metadata["comment"]) / Fraction(source.time_base or MICROS))
                for packet in file.demux(source):
                    if packet.pts is not None:
                        packet.pts, packet.dts = packet.pts + later, packet.pts + later  # no B-frames: both are one
                        packet.stream = stream
                        out.mux(packet)

"""Turn stored videos into messages of one frame each, as Foxglove plays H.264: Annex B, no B-frames."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from fleetbox.types import video
from fleetbox_query.exports.mcap.stamps import stamp
from fleetbox_query.items import Item

CRF = "20"  # hardly to be told from what is stored; live players need it encoded anew without B-frames
MICROS = Fraction(1, 1_000_000)


@dataclass(frozen=True, slots=True)
class AnnexB:
    """Encode each video anew, since stored ones look ahead (B-frames) and live players cannot."""

    frame_id: str

    def __call__(self, item: Item) -> Iterator[tuple[int, bytes]]:
        """Yield (ns after the record's time, a CompressedVideo message) of every frame."""
        from foxglove import messages

        encoder = None
        offsets: list[int] = []
        for offset_us, frame in video.frames(item.data or b""):
            encoder = encoder or _encoder(frame)
            even = frame.reformat(encoder.width, encoder.height, "yuv420p")
            even.pts, even.time_base, even.pict_type = offset_us, MICROS, 0
            offsets.append(offset_us)
            for packet in encoder.encode(even):
                yield self._message(messages, item, offsets.pop(0), bytes(packet))
        for packet in encoder.encode() if encoder else ():
            yield self._message(messages, item, offsets.pop(0), bytes(packet))

    def _message(self, messages: Any, item: Item, offset_us: int, data: bytes) -> tuple[int, bytes]:
        message = messages.CompressedVideo(
            timestamp=stamp((item.time_us + offset_us) * 1000), frame_id=self.frame_id, data=data, format="h264"
        )
        return offset_us * 1000, message.encode()


def _encoder(frame: Any) -> Any:
    import av

    encoder = av.CodecContext.create("libx264", "w")
    encoder.width, encoder.height = frame.width // 2 * 2, frame.height // 2 * 2  # 4:2:0 takes even sizes only
    encoder.pix_fmt, encoder.time_base, encoder.framerate = "yuv420p", MICROS, Fraction(video.RATE)
    encoder.thread_count = 1
    encoder.options = {
        "preset": video.PRESET,
        "tune": "zerolatency",
        "crf": CRF,
        "bf": "0",
        "x264-params": "repeat-headers=1:annexb=1",
    }
    return encoder

"""Put pictures, videos, sounds, clouds, texts, events and episodes into a Rerun recording, at their times and paths."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from fleetbox.errors import InputError
from fleetbox.events import Event
from fleetbox.types import images, video
from fleetbox_query.event_search import ON_EARTH, SEVERITY
from fleetbox_query.items import Item
from fleetbox_query.viewing.clouds import points_of
from fleetbox_query.viewing.intervals import Interval, lanes
from fleetbox_query.viewing.layout import EPISODES, EVENTS, Kind, Shown
from fleetbox_query.viewing.raw_pictures import IMAGE, RawPicture, raw_picture_of
from fleetbox_query.viewing.rows import HERE_PX, Rows, log_points
from fleetbox_query.viewing.sounds import sound_of
from fleetbox_query.viewing.stage import Stage, path_of

if TYPE_CHECKING:
    import pyarrow as pa

LEVELS = {"debug": "DEBUG", "warn": "WARN", "warning": "WARN", "error": "ERROR", "critical": "CRITICAL",
          "fatal": "CRITICAL", "medium": "WARN", "high": "ERROR"}  # fmt: skip
MILLIMETRES = 1000.0  # to a metre: what depth cameras write into 16-bit pictures
PNG_DEPTH = b"\x10\x00"  # 16 bits, one channel, in a PNG's first chunk
EVENT_COLOUR = (255, 60, 60)


class Entities:
    """Log into one recording; what it cannot show raises InputError, or is named in `left_out`."""

    def __init__(self, recording: Any) -> None:
        self.stage = Stage(recording)
        self._rows = Rows(self.stage)

    @property
    def shown(self) -> tuple[Shown, ...]:
        """Return what was logged so far, each path once; of a stream of a single row its text, not its curves."""
        return tuple(one for one in self.stage.shown if self._rows.is_seen(one))

    @property
    def left_out(self) -> Mapping[str, int]:
        """Return fields that Rerun shows no way of, in words, with how many rows have them."""
        return self._rows.left_out

    def rows(self, robot: str, stream: str, table: pa.Table, fields: Mapping[str, Mapping[str, Any]]) -> None:
        """Log a table's fields: numbers as curves, texts as states, poses and places as such."""
        self._rows.table(robot, stream, table, fields)

    def item(self, item: Item, schema_name: str = "") -> None:
        """Log a blob: a picture, a video, a sound, points, a text, or JSON; schema_name: of the message it came as."""
        data = item.data or b""
        if item.type == "video":
            self._video(self._at("picture", item), item)
        elif item.type == "images" and images.sniff(data[:16]):
            self._log("picture", item, _picture(data, item.content_type))
        elif schema_name in IMAGE and (raw := raw_picture_of(data)) is not None:
            self._log("picture", item, _raw(raw))
        elif (points := points_of(data, schema_name)) is not None:
            log_points(self.stage, self._at("space", item), item.time_us, points)
        elif (media_type := sound_of(data)) is not None:
            self._sound(item, media_type)
        elif item.type == "log":
            self._log("line", item, _line(data.decode(errors="replace"), item.labels.get("level", "")))
        elif item.content_type.startswith("text/") or item.content_type == "application/json":
            self._log("text", item, _document(data, item.content_type))
        else:
            raise InputError(f"Rerun shows no {item.content_type or item.type}")

    def events(self, events: Iterable[Event]) -> None:
        """Log events: a line and, where it is known, a place at each one's moment, and lanes with their intervals."""
        import rerun as rr

        spans = []
        for event in events:
            path = path_of(event.robot, EVENTS)
            text = " ".join(part for part in (event.kind, event.id, event.note) if part)
            self.stage.show(Shown("line", event.robot, EVENTS, path))
            self.stage.log(path, event.time_us, _line(text, str(event.labels.get(SEVERITY, ""))))
            if (place := _place(event)) is not None:
                self.stage.show(Shown("place", event.robot, EVENTS, path))
                here = rr.GeoPoints(lat_lon=[place], radii=[-2 * HERE_PX], colors=[EVENT_COLOUR])
                self.stage.log(path, event.time_us, here)
            lane = (event.robot, EVENTS, event.kind)
            spans.append(Interval(lane, event.kind, event.start_us, event.stop_us))
        self._lanes(spans)

    def episode(self, robot: str, name: str, intervals: Iterable[tuple[int, int]]) -> None:
        """Log an episode's intervals, in µs, as a lane."""
        lane = (robot, EPISODES, name)
        self._lanes(Interval(lane, name, start_us, stop_us) for start_us, stop_us in intervals)

    def _lanes(self, intervals: Iterable[Interval]) -> None:
        import rerun as rr

        for lane, changes in lanes(intervals).items():
            path = path_of(*lane)
            self.stage.show(Shown("state", lane[0], lane[1], path, lane[2]))
            for time_us, state in changes:
                self.stage.log(path, time_us, rr.StateChange(state=state) if state else _no_state())

    def _sound(self, item: Item, media_type: str) -> None:
        import rerun as rr

        if not hasattr(rr, "AssetAudio"):
            raise InputError("this Rerun plays no sound", "`pip install -U rerun-sdk`")
        self._log("sound", item, rr.AssetAudio(contents=item.data or b"", media_type=media_type))

    def _video(self, path: str, item: Item) -> None:
        import numpy as np
        import rerun as rr

        data = item.data or b""
        offsets = np.array(video.offsets_us(data), np.int64)
        self.stage.log(path, item.time_us, rr.AssetVideo(contents=data, media_type=item.content_type))
        shown = rr.VideoFrameReference.columns(timestamp=offsets * 1000)  # of the video, in ns
        self.stage.send(path, item.time_us + offsets, shown)

    def _log(self, kind: Kind, item: Item, archetype: Any) -> None:
        self.stage.log(self._at(kind, item), item.time_us, archetype)

    def _at(self, kind: Kind, item: Item) -> str:
        path = path_of(item.robot, *item.stream.split("/"))
        self.stage.show(Shown(kind, item.robot, item.stream, path))
        return path


def _no_state() -> Any:
    import rerun as rr

    return rr.StateChange.from_fields(clear_unset=True)


def _place(event: Event) -> tuple[float, float] | None:
    try:
        lat, lon = (float(event.labels[name]) for name in ON_EARTH)
    except (KeyError, ValueError):
        return None
    return (lat, lon) if abs(lat) <= 90 and abs(lon) <= 180 else None


def _picture(data: bytes, content_type: str) -> Any:
    import rerun as rr

    if content_type == "image/png" and data[24:26] == PNG_DEPTH:
        return rr.EncodedDepthImage(data, media_type=content_type, meter=MILLIMETRES)
    return rr.EncodedImage(contents=data, media_type=content_type)


def _raw(raw: RawPicture) -> Any:
    import numpy as np
    import rerun as rr

    values = np.frombuffer(raw.data, raw.dtype).reshape(raw.height, raw.width, raw.channels)
    if raw.model == "depth":
        return rr.DepthImage(values[:, :, 0], meter=MILLIMETRES if raw.dtype == "<u2" else 1.0)
    return rr.Image(values, color_model=rr.ColorModel.auto(raw.model))


def _line(text: str, level: str) -> Any:
    import rerun as rr

    return rr.TextLog(text, level=LEVELS.get(level.lower(), "INFO"))


def _document(data: bytes, content_type: str) -> Any:
    """Return a text; JSON in lines that people read."""
    import rerun as rr

    text = data.decode(errors="replace")
    if content_type == "text/markdown":
        return rr.TextDocument(text, media_type="text/markdown")
    if content_type == "application/json":
        with suppress(ValueError):  # then it is shown as it stands
            text = json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    return rr.TextDocument(text)

"""Put rows, pictures, videos, texts and events into a Rerun recording, each at its time under its stream's name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fleetbox import chunks
from fleetbox.errors import InputError
from fleetbox.events import Event
from fleetbox.types import images, video
from fleetbox_query.event_search import SEVERITY
from fleetbox_query.items import Item

if TYPE_CHECKING:
    import pyarrow as pa

TIMELINE = "time"  # the one clock: UTC, by the records' µs
EVENTS = "events"
LEVELS = {"debug": "DEBUG", "warn": "WARN", "warning": "WARN", "error": "ERROR", "critical": "CRITICAL",
          "fatal": "CRITICAL", "medium": "WARN", "high": "ERROR"}  # fmt: skip
MILLIMETRES = 1000.0  # to a metre: what depth cameras write into 16-bit pictures
PNG_DEPTH = b"\x10\x00"  # 16 bits, one channel, in a PNG's first chunk


class Entities:
    """Log into one recording; what it cannot show raises InputError."""

    def __init__(self, recording: Any) -> None:
        self._recording = recording

    def rows(self, robot: str, stream: str, table: pa.Table) -> None:
        """Log a table's fields: numbers as curves, lists of numbers as several, text as lines."""
        import pyarrow as pa

        times = table[chunks.TIME].cast(pa.int64()).to_numpy()
        for name in table.column_names:
            if name in chunks.RESERVED_COLUMNS:
                continue
            column = table[name].combine_chunks()
            there = column.is_valid().to_numpy(zero_copy_only=False)
            columns = _columns(column.drop_null())
            if columns is not None and there.any():
                self._send((robot, *stream.split("/"), *name.split(".")), times[there], columns)

    def item(self, item: Item) -> None:
        """Log a blob: a picture, a video, a text, or JSON."""
        path = self._path(item.robot, *item.stream.split("/"))
        data = item.data or b""
        if item.type == "video":
            self._video(path, item)
        elif item.type == "images" and images.sniff(data[:16]):
            self._log(path, item.time_us, _picture(data, item.content_type))
        elif item.content_type.startswith("text/") or item.content_type == "application/json":
            self._log(path, item.time_us, _text(item, data.decode(errors="replace")))
        else:
            raise InputError(f"Rerun shows no {item.content_type or item.type}")

    def event(self, event: Event) -> None:
        """Log an event at its moment, as a line."""
        import rerun as rr

        level = LEVELS.get(str(event.labels.get(SEVERITY, "")).lower(), "INFO")
        text = " ".join(part for part in (event.kind, event.id, event.note) if part)
        self._log(self._path(event.robot, EVENTS), event.time_us, rr.TextLog(text, level=level))

    def _video(self, path: str, item: Item) -> None:
        import numpy as np
        import rerun as rr

        data = item.data or b""
        offsets = np.array(video.offsets_us(data), np.int64)
        self._log(path, item.time_us, rr.AssetVideo(contents=data, media_type=item.content_type))
        shown = rr.VideoFrameReference.columns(timestamp=offsets * 1000)  # of the video, in ns
        self._send_to(path, item.time_us + offsets, shown)

    def _send(self, parts: tuple[str, ...], times_us: Any, columns: Any) -> None:
        self._send_to(self._path(*parts), times_us, columns)

    def _send_to(self, path: str, times_us: Any, columns: Any) -> None:
        import rerun as rr

        clock = rr.TimeColumn(TIMELINE, timestamp=times_us.astype("datetime64[us]"))
        self._recording.send_columns(path, [clock], columns)

    def _log(self, path: str, time_us: int, archetype: Any) -> None:
        import numpy as np

        self._recording.set_time(TIMELINE, timestamp=np.datetime64(time_us, "us"))
        self._recording.log(path, archetype)

    def _path(self, *parts: str) -> str:
        import rerun as rr

        return str(rr.new_entity_path([part for part in parts if part]))


def _columns(column: Any) -> Any:
    """Return a column of values as Rerun's, or None where it shows none of them."""
    import pyarrow as pa
    import rerun as rr

    kind = column.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return rr.TextLog.columns(text=column.to_pylist())
    if pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind) or pa.types.is_large_list(kind):
        flat = column.flatten()
        if not _is_number(flat.type) or flat.null_count:
            return None
        lengths = [len(one) for one in column.to_pylist()]
        return rr.Scalars.columns(scalars=flat.cast(pa.float64()).to_numpy()).partition(lengths)
    if _is_number(kind):
        return rr.Scalars.columns(scalars=column.cast(pa.float64(), safe=False).to_numpy())
    return None


def _is_number(kind: Any) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind))


def _picture(data: bytes, content_type: str) -> Any:
    import rerun as rr

    if content_type == "image/png" and data[24:26] == PNG_DEPTH:
        return rr.EncodedDepthImage(data, media_type=content_type, meter=MILLIMETRES)
    return rr.EncodedImage(contents=data, media_type=content_type)


def _text(item: Item, text: str) -> Any:
    import rerun as rr

    if item.type == "log":
        return rr.TextLog(text, level=LEVELS.get(item.labels.get("level", "").lower(), "INFO"))
    return rr.TextDocument(text)

"""One session of recording: the synchronous half, in which `log()` returns."""

from __future__ import annotations

import secrets
import struct
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any
from zlib import crc32

import msgpack  # type: ignore[import-untyped]

from fleetbox import chunks, types
from fleetbox.clock import Clock
from fleetbox.errors import InputError
from fleetbox.labels import check_user_labels
from fleetbox.naming import check_stream
from fleetbox.time import parse_time
from fleetbox.types import images, time_series
from fleetbox_edge.bulk import Piece, pieces
from fleetbox_edge.lanes import NEVER, Lane
from fleetbox_edge.outbox import Outbox
from fleetbox_edge.packing import picker, shape_of
from fleetbox_edge.parcels import Address, Parcel
from fleetbox_edge.spool import HEADER, MAGIC, Segment, Spool, SpoolFull

_STAMP = b"\xd3"
_CONTROL_BYTES = 256  # a seal's frame with the longest stream name
Preview = Callable[[str, bytes, int, Mapping[str, Any] | None], None]


def new_session_id(clock: Clock) -> str:
    """Return an id that sorts by time: "20261121t055117-3f2a"."""
    started = datetime.fromtimestamp(clock.now_us() // 1_000_000, UTC)
    return f"{started:%Y%m%dt%H%M%S}-{secrets.token_hex(2)}"


class Session:
    """Accept rows and blobs into the spool and close chunks; thread-safe, and never waits for a store.

    What cannot be accepted because the spool has no room is counted in `lost`, never raised:
    a control loop must go on.
    """

    def __init__(
        self,
        open_spool: Callable[[Callable[[str, Segment], None]], Spool],
        outbox: Outbox,
        *,
        bound_us: int = chunks.BOUND_US,
        clock: Clock | None = None,
        preview: Preview | None = None,
    ) -> None:
        self.lock = threading.RLock()
        self.clock = clock or Clock()
        self.id = new_session_id(self.clock)
        self.outbox = outbox
        self.spool = open_spool(self._give_up)
        self.bound_us = bound_us
        self.closed = False
        self.rows = self.blobs = self.bytes = self.backward = 0
        self._preview = preview
        self._lanes: dict[str, Lane] = {}
        self._shapes = 0
        self._now_us = self.clock.now_us

    # -- rows, the short way -------------------------------------------------------------------------------------

    def log(self, stream: str, value: Any, time: Any = None, labels: Mapping[str, Any] | None = None) -> None:
        """Accept one row or blob; raises InputError for a value, name, label or time that cannot be."""
        lane = self._lanes.get(stream)
        if (
            lane is None
            or type(value) is not dict
            or len(value) != lane.width
            or lane.given != labels
            or (time is not None)
        ):
            return self._log(stream, value, time, labels)
        try:
            values = lane.pick(value)  # type: ignore[misc]  # a lane with a width has a picker
        except KeyError:
            return self._log(stream, value, time, labels)
        for name in lane.bools:
            if value[name] is not True and value[name] is not False:
                return self._log(stream, value, time, labels)
        with self.lock:
            if len(value) != lane.width or self.closed:  # another thread changed the shape in between
                return self._log(stream, value, time, labels)
            stamp = self._now_us()
            if stamp <= lane.last:
                stamp = lane.last + 1
            try:
                payload = lane.codec(lane.seq, stamp, values)
            except (struct.error, OverflowError):
                return self._log(stream, value, time, labels)
            segment = lane.segment
            if segment is None or stamp >= lane.close_at or stamp < lane.last_given:
                return self._log(stream, value, time, labels)
            start = segment.offset
            end = start + lane.frame_bytes
            if end > segment.size:
                return self._log(stream, value, time, labels)
            segment.map[start:end] = HEADER.pack(MAGIC, len(payload), crc32(payload)) + payload
            segment.offset = end
            lane.parts.append(payload)
            lane.seq += 1
            lane.rows += 1
            lane.last = lane.last_given = stamp
            self.rows += 1
            if lane.rows >= lane.limit:
                self._seal(lane)
        return None

    # -- everything, the long way --------------------------------------------------------------------------------

    def _log(self, stream: str, value: Any, time: Any, labels: Mapping[str, Any] | None) -> None:
        kind = types.of(value)
        given_us = None if time is None else self._time_us(time)
        if kind is time_series.TYPE:
            row = time_series.flatten(value)
            with self.lock:
                self._row(self._lane(stream, kind, labels), row, value, given_us)
            return
        body = kind.encode(value)  # outside the lock: a picture takes a millisecond
        self.blob(stream, kind, body, given_us, labels)

    def blob(
        self, stream: str, kind: types.Type, body: bytes, given_us: int | None, labels: Mapping[str, Any] | None
    ) -> None:
        """Accept one record whose bytes are made."""
        with self.lock:
            lane = self._lane(stream, kind, labels, kind.content_type_of(body))
            stamp, backward = lane.stamp(self._now_us(), given_us)
            self.backward += backward
            stamp = lane.last = lane.take_key(stamp)
            parcel = Parcel(lane.address, lane.seq, stamp, stamp, 0, len(body), body)
            self._accept(lane, parcel, body)
            self.blobs += 1
            self.bytes += len(body)
            due = self._preview is not None and kind is images.TYPE
        if due and self._preview is not None:
            self._preview(stream, body, stamp, labels)

    def log_columns(
        self, stream: str, times: Any, arrays: Mapping[str, Any], labels: Mapping[str, Any] | None = None
    ) -> None:
        """Accept many rows at once; raises InputError naming the field that cannot be."""
        made = pieces(times, arrays, self.bound_us)
        with self.lock:
            lane = self._lane(stream, time_series.TYPE, labels)
            for piece in made:
                self._piece(lane, piece)

    def _piece(self, lane: Lane, piece: Piece) -> None:
        if lane.shape is not None or piece.start_us <= lane.last or piece.stop_us >= lane.close_at:
            self._seal(lane)
        if lane.shape is not None or lane.known != piece.kinds:
            self._seal(lane)
            lane.set_shape(None, chunks.MAX_BYTES)
            lane.known = dict(piece.kinds)
        if piece.start_us <= lane.last:
            self.backward += 1
            lane.turned = True
        key_us = piece.start_us if lane.parts else lane.take_key(piece.start_us)
        to = lane.address
        fixed = [to.session, to.stream, to.type, to.content_type, to.labels, lane.seq, piece.rows]
        payload = msgpack.packb(["cols", *fixed, key_us, piece.stop_us, piece.data])
        try:
            segment = self.spool.reserve(to.cls, len(payload))
            segment.append(payload)
        except SpoolFull as full:
            self._miss(lane, piece.rows, full.reason)
            return
        self._grow(lane, segment, piece.data, key_us, piece.stop_us, piece.rows)
        lane.last_given = piece.stop_us
        lane.size += len(piece.data)
        if lane.size >= chunks.MAX_BYTES:
            self._seal(lane)

    def _row(self, lane: Lane, row: dict[str, Any], value: Any, given_us: int | None) -> None:
        shape = lane.shape
        if shape is not None and len(row) == len(shape.names) and row.keys() == set(shape.names):
            row = {name: row[name] for name in shape.names}
        fresh = shape_of(self._shapes, row, lane.known, loose=lane.loose)
        if shape is None or (fresh.names, fresh.kinds, fresh.loose) != (shape.names, shape.kinds, shape.loose):
            self._seal(lane)
            self._shapes += 1
            lane.set_shape(fresh, chunks.MAX_BYTES)
            shape = fresh
        if value.__class__ is dict and lane.width == NEVER and (pick := picker(shape)) and len(value) == len(row):
            lane.pick, lane.width = pick, len(shape.names)
            lane.bools = tuple(name for name, kind in zip(shape.names, shape.kinds, strict=True) if kind == "?")
            codec, head, tail = shape.codec.pack, shape.head, shape.bin_head
            lane.codec = lambda seq, stamp, values: codec(head, seq, _STAMP, stamp, tail, *values)
            lane.frame_bytes = HEADER.size + shape.codec.size
        stamp, backward = lane.stamp(self._now_us(), given_us)
        if backward or stamp >= lane.close_at:
            self._seal(lane)
            self.backward += backward
        if not lane.parts:
            stamp = lane.take_key(stamp)
        self._append(lane, shape.pack(lane.seq, stamp, tuple(row.values())), stamp)

    def _append(self, lane: Lane, payload: bytes, stamp: int) -> None:
        assert lane.shape is not None
        try:
            segment = self.spool.reserve(lane.address.cls, len(payload))
            if lane.segment is not segment:
                segment = self._write_shape(lane, len(payload))
            segment.append(payload)
        except SpoolFull as full:
            self._miss(lane, 1, full.reason)
            return
        self._grow(lane, segment, payload, stamp, stamp, 1)
        if lane.rows >= lane.limit:
            self._seal(lane)

    def _write_shape(self, lane: Lane, payload_bytes: int) -> Segment:
        """Write what rows of this lane mean into the segment they go to, twice: a flipped bit costs one copy."""
        shape, to = lane.shape, lane.address
        assert shape is not None
        packed = msgpack.packb(
            ["shape", shape.number, to.session, to.stream, to.type, to.content_type, to.labels,
             shape.names, shape.kinds, shape.loose]
        )  # fmt: skip
        segment = self.spool.reserve(to.cls, 2 * (len(packed) + HEADER.size) + payload_bytes)
        segment.append(packed)
        segment.append(packed)
        lane.segment = segment
        return segment

    def _grow(self, lane: Lane, segment: Segment, part: bytes, start_us: int, stop_us: int, rows: int) -> None:
        if not lane.parts:
            lane.close_at = start_us + self.bound_us
            lane.opened_us = self._now_us()
            lane.size = 0
        if segment not in lane.opens:
            lane.opens.append(segment)
            segment.open_chunks += 1
        lane.parts.append(part)
        lane.rows += rows
        lane.seq += rows
        lane.last = stop_us
        self.rows += rows

    # -- closing -------------------------------------------------------------------------------------------------

    def seal_all(self, opened_before_us: int | None = None) -> None:
        """Close the chunks that were opened before a moment of the session's clock, or all."""
        with self.lock:
            for lane in self._lanes.values():
                if lane.parts and (opened_before_us is None or lane.opened_us <= opened_before_us):
                    self._seal(lane)

    def _seal(self, lane: Lane) -> None:
        if not lane.parts:
            return
        to, rows = lane.address, lane.rows
        stop_us = lane.last
        size = lane.size if lane.shape is None else rows * lane.shape.row_bytes
        start_us = lane.close_at - self.bound_us
        parcel = Parcel(
            to, lane.seq - rows, start_us, stop_us, rows, size, None, lane.shape, lane.parts, lane.opens
        )  # fmt: skip
        for segment in lane.opens:
            segment.open_chunks -= 1
        lane.clear()
        self.bytes += size
        self.outbox.put(parcel)
        self._note(to.cls, ["seal", to.session, to.stream, parcel.seq, rows, start_us])

    def _note(self, cls: str, fields: list[Any]) -> None:
        payload = msgpack.packb(fields)
        try:
            self.spool.reserve(cls, len(payload)).append(payload)
        except SpoolFull:
            return  # a chunk without its seal is told apart by the store's own copy at replay

    def acknowledge(self, parcels: list[Parcel]) -> None:
        """Close the accounts of what the store has, and free the segments that held it."""
        with self.lock:
            for parcel in parcels:
                to = parcel.address
                backed = bool(parcel.segments)
                self.outbox.acknowledge(parcel)
                if backed and not self.closed:
                    self._note(to.cls, ["done", to.session, to.stream, parcel.seq, parcel.count])
            for cls in {parcel.address.cls for parcel in parcels}:
                self.spool.sweep(cls)

    def compact(self, parcel: Parcel, body: bytes) -> None:
        """Keep a chunk in the spool as a finished record instead of as rows in memory."""
        with self.lock:
            if parcel.state != "waiting" or self.closed:
                return
            payload = parcel.frame(body)
            try:
                segment = self.spool.reserve(parcel.address.cls, len(payload))
                parcel.place = (segment, segment.append(payload))
            except SpoolFull:
                return
            if parcel.state != "waiting":  # making room gave it up
                return
            for old in parcel.segments:
                old.units.discard(parcel)
            parcel.segments = [segment]
            segment.units.add(parcel)
            self.outbox.relieve(parcel)
            self.spool.sweep(parcel.address.cls)

    def renew(self, clock: Clock) -> None:
        """Begin a new session under another clock: numbers start again, open chunks close."""
        with self.lock:
            self.seal_all()
            self.clock, self._now_us = clock, clock.now_us
            self.id = new_session_id(clock)
            self._lanes.clear()

    # -- losses --------------------------------------------------------------------------------------------------

    def _accept(self, lane: Lane, parcel: Parcel, body: bytes) -> None:
        payload = parcel.frame(body)
        try:
            segment = self.spool.reserve(parcel.address.cls, len(payload))
            parcel.place = (segment, segment.append(payload))
        except SpoolFull as full:
            self._miss(lane, 1, full.reason)
            return
        parcel.segments = [segment]
        lane.seq += 1
        self.outbox.put(parcel)

    def _miss(self, lane: Lane, rows: int, reason: str) -> None:
        """Count what could not be accepted; its numbers are used up, so that the gap shows."""
        self._seal(lane)
        lane.seq += rows
        self.outbox.lost[reason] += rows

    def _give_up(self, cls: str, segment: Segment) -> None:
        """Count what a segment still holds before the spool drops it."""
        for lane in self._lanes.values():
            if segment in lane.opens:
                self._abandon(lane, "spool full")
        for parcel in list(segment.units):
            assert isinstance(parcel, Parcel)
            if parcel.state == "sending":
                parcel.segments, parcel.doomed = [], True  # it is on the wire: the store decides
                segment.units.discard(parcel)
            else:
                self.outbox.lose(parcel, "spool full")

    def _abandon(self, lane: Lane, reason: str) -> None:
        for held in lane.opens:
            held.open_chunks -= 1
        self.outbox.lost[reason] += lane.rows
        lane.clear()

    # -- names, labels, times ------------------------------------------------------------------------------------

    def _lane(
        self, stream: str, kind: types.Type, labels: Mapping[str, Any] | None, content_type: str | None = None
    ) -> Lane:
        if self.closed:
            raise InputError(f"stream {stream!r} cannot be logged to: this recorder is closed", "make a new Recorder")
        content_type = content_type or kind.content_type
        lane = self._lanes.get(stream)
        if lane is None:
            lane = Lane(Address(self.id, kind.cls, check_stream(stream), kind.name, content_type))
            self._lanes[stream] = lane
        elif lane.address.type != kind.name:
            raise InputError(
                f"stream {stream!r} holds {lane.address.type}, and this value is {kind.name}",
                "log it under another stream name",
            )
        if labels != lane.given or content_type != lane.address.content_type:
            checked = check_user_labels(labels) if labels else {}
            self._seal(lane)
            lane.given = dict(labels) if labels is not None else None
            lane.address = Address(self.id, kind.cls, stream, kind.name, content_type, checked)
            lane.segment = None
        return lane

    def _time_us(self, time: Any) -> int:
        given = int(time) if hasattr(time, "__index__") else time
        stamp = parse_time(given, self._now_us())
        if not 0 <= stamp < 2**63:
            raise InputError(f"time {time!r} lies outside the epoch's µs", "give a time after 1970")
        return stamp

    def lanes(self) -> list[Lane]:
        """Return what is known of each stream; hold the lock while reading it."""
        return list(self._lanes.values())

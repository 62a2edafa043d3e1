"""One session of recording: the synchronous half, in which `log()` returns."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any
from zlib import crc32

from fleetbox import chunks, events, types
from fleetbox.clock import Clock
from fleetbox.errors import InputError
from fleetbox.types import images, time_series
from fleetbox_edge.bulk import pieces
from fleetbox_edge.journal import OpenSpool
from fleetbox_edge.lanes import JITTER_US, NEVER, Lane
from fleetbox_edge.outbox import Outbox
from fleetbox_edge.packing import STAMP_MARK, picker, shape_of
from fleetbox_edge.refusing import check_name, no_utf8
from fleetbox_edge.roster import Roster
from fleetbox_edge.spool import MAGIC
from fleetbox_edge.thinning import Thinning
from fleetbox_edge.triggers.tap import Tap

FIRST_BYTE = MAGIC[0]  # of a frame, written last: a process killed in the middle leaves none that looks whole

Preview = Callable[[str, bytes, int, Mapping[str, Any] | None], None]


class Session(Roster):
    """Accept rows and blobs; thread-safe, and never waits for a store.

    What cannot be accepted because the spool has no room is counted in the outbox's `lost`, never raised:
    a control loop must go on.
    """

    def __init__(
        self,
        open_spool: OpenSpool,
        outbox: Outbox,
        *,
        bound_us: int = chunks.BOUND_US,
        clock: Clock | None = None,
        preview: Preview | None = None,
        synced: frozenset[str] = frozenset(),  # classes that are on the disk when `log` returns
    ) -> None:
        clock = clock or Clock()
        self.backward = 0  # times given out of order
        self._preview = preview
        self._synced = synced
        self._shapes = 0
        self.tap = Tap()  # where triggers hear what is logged
        self._tapped = self.tap.streams
        self.thinning = Thinning(lambda stream: self.rule_of(stream))
        super().__init__(open_spool, outbox, bound_us, clock)

    # -- rows, the short way -------------------------------------------------------------------------------------

    def log(self, stream: str, value: Any, *, time: Any = None, labels: Mapping[str, Any] | None = None) -> None:
        """Accept one row or blob; raises InputError for a value, name, label or time that cannot be.

        A flat dict of the stream's usual fields takes the short way: one pass, one lock, one copy, 2 µs.
        """
        try:
            lane = self._lanes.get(stream)
        except TypeError:  # a list as a stream's name
            lane = None
        if lane is None or type(value) is not dict or time is not None or lane.given != labels:
            return self._log(stream, value, time, labels)
        with self.lock:
            segment = lane.segment
            if len(value) != lane.width or segment is None:
                if lane.ring is None or not self._circle_short(lane, value):
                    return self._log(stream, value, time, labels)
                if stream in self._tapped:
                    self.tap.row(stream, lane.last, value, lane.given)
                return None
            stamp = self._now_us()
            if stamp <= lane.last:
                if lane.last - stamp > JITTER_US:
                    return self._log(stream, value, time, labels)
                stamp = lane.last + 1
            start = segment.offset
            end = start + lane.frame_bytes
            if end > segment.size or stamp >= lane.close_at or stamp < lane.last_given:
                return self._log(stream, value, time, labels)
            try:
                values = lane.pick(value)
                payload = lane.pack(lane.row_head, lane.seq, STAMP_MARK, stamp, lane.row_tail, *values)
            except (KeyError, struct.error, OverflowError):
                return self._log(stream, value, time, labels)
            for at in lane.bools:
                if values[at] is not True and values[at] is not False:
                    return self._log(stream, value, time, labels)
            segment.map[start + 1 : end] = lane.frame_head + crc32(payload).to_bytes(4) + payload
            segment.map[start] = FIRST_BYTE
            segment.offset = end
            lane.parts.append(payload)
            lane.last = lane.last_given = stamp
            lane.seq = seq = lane.seq + 1
            if seq >= lane.seal_at:
                self._seal(lane)
            if stream in self._tapped:
                self.tap.row(stream, stamp, value, lane.given)
        return None

    # -- everything, the long way --------------------------------------------------------------------------------

    def _log(self, stream: str, value: Any, time: Any, labels: Mapping[str, Any] | None) -> None:
        self.check_home()
        try:
            self._accept(stream, value, time, labels)
        except RecursionError:
            raise InputError(f"a value for {stream!r} is nested too deep", "flatten it, or log it as text") from None
        except UnicodeEncodeError as error:
            raise no_utf8(stream, error) from None

    def _accept(self, stream: str, value: Any, time: Any, labels: Mapping[str, Any] | None) -> None:
        kind = types.of(value)
        given_us = None if time is None else self.time_us(time)
        if kind is time_series.TYPE:
            row = time_series.flatten(value)
            with self.lock:
                lane = self._lane(stream, kind, labels)
                self._row(lane, row, value, given_us)
                if self.tap.meet(stream):
                    self.tap.row(stream, lane.last_given, row, lane.given)
            self._reach_disk(kind.cls)
            return
        body = kind.encode(value)  # outside the lock: a picture takes a millisecond
        self.blob(stream, kind, body, given_us, labels)

    def blob(
        self, stream: str, kind: types.Type, body: bytes, given_us: int | None, labels: Mapping[str, Any] | None
    ) -> None:
        """Accept one record whose bytes are made."""
        self.check_home()
        if kind.name == events.TYPE:
            self.take_up(body)
        with self.lock:
            lane = self._lane(stream, kind, labels, kind.content_type_of(body))
            stamp, backward = lane.stamp(self._now_us(), given_us)
            self.backward += backward
            if self.tap.meet(stream):
                self.tap.blob(stream, stamp, lane.given, body if kind.name == "log" else None)
            if self.thinning.takes(stream, stamp, kind):
                stamp = self._take_blob(lane, body, stamp)
            due = self._preview is not None and kind is images.TYPE
        self._reach_disk(lane.address.cls)
        if due and self._preview is not None:
            self._preview(stream, body, stamp, labels)

    def log_columns(
        self, stream: str, times: Any, arrays: Mapping[str, Any], labels: Mapping[str, Any] | None = None
    ) -> None:
        """Accept many rows at once; raises InputError naming the field that cannot be."""
        self.check_home()
        try:
            made = pieces(times, arrays, self.bound_us, partial(self.thinning.choose, stream))
        except UnicodeEncodeError as error:
            raise no_utf8(stream, error) from None
        if not made:
            check_name(stream, time_series.TYPE)
            return
        with self.lock:
            lane = self._lane(stream, time_series.TYPE, labels)
            for piece in made:
                self.backward += piece.start_us <= lane.last
                self._take_piece(lane, piece)
                if self.tap.meet(stream):
                    self.tap.bulk(stream, piece.data, piece.rows, lane.given)
        self._reach_disk(time_series.TYPE.cls)

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
        short = value.__class__ is dict and lane.width == NEVER and lane.address.cls not in self._synced
        short = short and not self.thinning.limits(lane.address.stream)
        if short and (pick := picker(shape)) and len(value) == len(row):
            lane.take_the_short_way(shape, pick)
        stamp, backward = lane.stamp(self._now_us(), given_us)
        if not self.thinning.takes(lane.address.stream, stamp, time_series.TYPE):
            return
        if lane.ring is not None:
            self.backward += backward
            self._circle_row(lane, shape, shape.pack(0, stamp, tuple(row.values())), stamp)
            return
        if backward or stamp >= lane.close_at:
            self._seal(lane)
            self.backward += backward
        if not lane.parts:
            stamp = lane.take_key(stamp)
        self._append_row(lane, shape.pack(lane.seq, stamp, tuple(row.values())), stamp)

    def _reach_disk(self, cls: str) -> None:
        """Wait until the disk has a class's frames, without the lock: others go on meanwhile."""
        if cls not in self._synced:
            return
        with self.lock:
            segments = self.spool.unsynced(cls)
        for segment in segments:
            with suppress(OSError):  # freed meanwhile: the store has it
                segment.sync()

    def learn(self) -> None:
        """Ask the policy anew, which has changed; every stream takes the long way once."""
        with self.lock:
            self.thinning.learn()
            for lane in self._lanes.values():
                lane.width = NEVER
            self.learn_rings()

"""Keep what a session accepts: rows in growing chunks, blobs as they are, all of it first in the spool."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import cast

import msgpack

from fleetbox import chunks
from fleetbox.clock import Clock
from fleetbox.ledger import Drop
from fleetbox.naming import Class
from fleetbox_edge.bulk import Piece
from fleetbox_edge.lanes import Lane
from fleetbox_edge.outbox import Outbox
from fleetbox_edge.parcels import Parcel
from fleetbox_edge.spool import HEADER, Segment, Spool, SpoolFull

OpenSpool = Callable[[Callable[[str, Segment, str], None]], Spool]


class Journal:
    """Write to the spool, close chunks, hand them to the outbox, and count what had to be given up.

    `lock` guards it, the spool and the outbox; the public methods take it.
    """

    def __init__(self, open_spool: OpenSpool, outbox: Outbox, bound_us: int, clock: Clock) -> None:
        self.lock = threading.RLock()
        self.clock = clock
        self.outbox = outbox
        self.bound_us = bound_us
        self.closed = False
        self.sealed_rows = self.blobs = self.bytes = 0
        self._now_us = clock.now_us
        self._lanes: dict[str, Lane] = {}
        self.spool = open_spool(self._give_up)
        outbox.drops.keep_in(self.spool.folder)

    def lanes(self) -> list[Lane]:
        """Return what is known of each stream; hold the lock while reading it."""
        return list(self._lanes.values())

    def oldest_us(self) -> int | None:
        """Return the oldest stamp in µs that the store does not have yet, or None when it has everything."""
        with self.lock:
            growing = [lane.close_at - self.bound_us for lane in self.lanes() if lane.parts]
            waiting = self.outbox.oldest_us()
        return min(growing if waiting is None else [*growing, waiting], default=None)

    def make_spare(self, cls: str, path: Path, size: int) -> None:
        """Make a segment ahead, without the lock: it takes milliseconds that no caller should wait for."""
        try:
            spare = Segment(path, size)
        except OSError:
            return  # the disk is full: whoever needs the room will find out and count it
        with self.lock:
            if not self.closed:
                self.spool.add_spare(cls, spare)
                return
        spare.release()
        path.unlink(missing_ok=True)

    def seal_all(self, opened_before_us: int | None = None) -> None:
        """Close the chunks that were opened before a moment of the session's clock, or all."""
        with self.lock:
            for lane in self.lanes():
                if lane.parts and (opened_before_us is None or lane.opened_us <= opened_before_us):
                    self._seal(lane)

    def acknowledge(self, parcels: list[Parcel]) -> None:
        """Close the accounts of what the store has, and free the segments that held it."""
        with self.lock:
            for parcel in parcels:
                to = parcel.address
                if parcel.segments:
                    self.spool.note(to.cls, msgpack.packb(["done", to.session, to.stream, parcel.seq, parcel.count]))
                self.outbox.acknowledge(parcel)
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

    # -- accepting: the lock is held ---------------------------------------------------------------------------

    def _append_row(self, lane: Lane, payload: bytes, stamp: int) -> None:
        assert lane.shape is not None
        try:
            segment = self.spool.reserve(lane.address.cls, len(payload))
            if lane.segment is not segment:
                segment = self._write_shape(lane, len(payload))
            segment.append(payload)
        except SpoolFull as full:
            self._miss(lane, 1, full.reason, stamp)
            return
        self._grow(lane, segment, payload, stamp, stamp, 1)
        if lane.seq >= lane.seal_at:
            self._seal(lane)

    def _append_piece(self, lane: Lane, piece: Piece) -> None:
        key_us = piece.start_us if lane.parts else lane.take_key(piece.start_us)
        to = lane.address
        fixed = [to.session, to.stream, to.type, to.content_type, to.labels, lane.seq, piece.rows]
        payload = msgpack.packb(["cols", *fixed, key_us, piece.stop_us, piece.data])
        try:
            segment = self.spool.reserve(to.cls, len(payload))
            segment.append(payload)
        except SpoolFull as full:
            self._miss(lane, piece.rows, full.reason, key_us)
            return
        self._grow(lane, segment, piece.data, key_us, piece.stop_us, piece.rows)
        lane.last_given = piece.stop_us
        lane.size += len(piece.data)
        if lane.size >= chunks.MAX_BYTES:
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
            lane.first_seq = lane.seq
            lane.seal_at = lane.seq + lane.limit
        if segment not in lane.opens:
            lane.opens.append(segment)
            segment.open_chunks += 1
        lane.parts.append(part)
        lane.seq += rows
        lane.last = stop_us

    def _append_blob(self, lane: Lane, parcel: Parcel, body: bytes) -> None:
        payload = parcel.frame(body)
        try:
            segment = self.spool.reserve(parcel.address.cls, len(payload))
            parcel.place = (segment, segment.append(payload))
        except SpoolFull as full:
            self._miss(lane, 1, full.reason, parcel.time_us)
            return
        parcel.segments = [segment]
        lane.seq += 1
        self.blobs += 1
        self.bytes += len(body)
        self.outbox.put(parcel)

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
        self.sealed_rows += rows
        self.outbox.put(parcel)
        try:
            payload = msgpack.packb(["seal", to.session, to.stream, parcel.seq, rows, start_us])
            self.spool.reserve(to.cls, len(payload)).append(payload)
        except SpoolFull:
            return  # a chunk without its seal is told apart by the store's own copy at replay

    # -- losing: the lock is held ------------------------------------------------------------------------------

    def _miss(self, lane: Lane, rows: int, reason: str, time_us: int) -> None:
        """Write down what could not be accepted; its numbers are used up, so that the gap shows."""
        self._seal(lane)
        self._drop(lane, lane.seq, rows, reason, time_us)
        lane.seq += rows

    def _give_up(self, cls: str, segment: Segment, reason: str) -> None:
        """Write down what a segment still holds before the spool drops it."""
        for lane in self.lanes():
            if segment in lane.opens:
                self._abandon(lane, reason)
        held = [unit for unit in segment.units if isinstance(unit, Parcel)]
        for parcel in sorted(held, key=lambda parcel: parcel.number):
            if parcel.state == "sending":
                parcel.segments, parcel.doomed = [], reason  # it is on the wire: the store decides
                segment.units.discard(parcel)
            else:
                self.outbox.lose(parcel, reason)

    def _abandon(self, lane: Lane, reason: str) -> None:
        for held in lane.opens:
            held.open_chunks -= 1
        self._drop(lane, lane.first_seq, lane.rows, reason, lane.close_at - self.bound_us)
        self.sealed_rows += lane.rows
        lane.clear()

    def _drop(self, lane: Lane, first: int, rows: int, reason: str, time_us: int) -> None:
        to = lane.address
        self.outbox.drops.note(Drop(cast("Class", to.cls), to.stream, to.session, first, rows, reason, time_us))

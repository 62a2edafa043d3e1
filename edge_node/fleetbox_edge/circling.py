"""Let streams circle in memory in front of the spool, and bring to the disk what events ask for."""

from __future__ import annotations

import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import structlog

from fleetbox import events
from fleetbox.clock import Clock
from fleetbox.naming import RING_CLASSES
from fleetbox.settings import StreamRule
from fleetbox_edge.bulk import Piece
from fleetbox_edge.journal import OpenSpool
from fleetbox_edge.lanes import JITTER_US, NEVER, Lane
from fleetbox_edge.numbering import Numbering
from fleetbox_edge.outbox import Outbox
from fleetbox_edge.packing import STAMP_MARK, Shape
from fleetbox_edge.ram_ring import Item, Memory, RamRing, Window
from fleetbox_replication.taking import Taking

log = structlog.get_logger()

MAX_BYTES = 64_000_000  # of one process: ten minutes of forty numeric streams, or 10 s of a camera at 6 MB/s
SLICE_ITEMS = 100  # moved at a time: a caller of `log` waits 0.4 ms at most
SLICE_BYTES = 1_000_000  # moved at a time: 0.4 ms as well
PAUSE_S = 0.0001  # between slices: a lock that is taken again at once is had by none of those who wait for it
LATE_US = 60_000_000  # µs; a window is remembered so long after its end, for what comes with older stamps

RuleOf = Callable[[str], StreamRule]


@dataclass(frozen=True, slots=True)
class Circling:
    """Tell what circles in a process: rows and blobs, bytes of memory, and what has left without reaching the disk."""

    rows: int = 0
    bytes: int = 0
    expired: int = 0  # rows and blobs that nobody asked for while they circled
    short: int = 0  # those that had to go before their time, because memory was short
    cut: int = 0  # streams of events that wanted something of what had already gone


class Rings(Numbering):
    """Keep the streams that the policy wants in memory only.

    Such a stream has two lanes: one that stamps and shapes what comes, and behind its ring one that numbers and
    writes what goes to the disk. An item gets its number there, so that what nobody asked for leaves no hole.
    """

    def __init__(self, open_spool: OpenSpool, outbox: Outbox, bound_us: int, clock: Clock) -> None:
        self._rings: list[RamRing] = []  # those of sessions that a clock step has ended as well, until they are empty
        self._memory = Memory()
        self._wanted: dict[str, events.Event] = {}  # open windows by event
        self._circled: set[str] = set()  # streams that have circled in this process
        self._expired = self._short = self._cut = 0
        self.rule_of: RuleOf = lambda stream: StreamRule()
        self.ring_bytes = MAX_BYTES
        self.on_event: Callable[[events.Event], None] = lambda event: None  # one that was raised here
        super().__init__(open_spool, outbox, bound_us, clock)

    @property
    def circles(self) -> bool:
        """Tell whether any stream circles here."""
        return bool(self._rings)

    @property
    def claims(self) -> bool:
        """Tell whether something that circled waits for the disk."""
        return any(ring.claimed for ring in self._rings)

    def lanes(self) -> list[Lane]:
        """Return what is known of each stream, those behind rings included; hold the lock."""
        return [*super().lanes(), *(ring.back for ring in self._rings)]

    def circling(self) -> Circling:
        """Return what circles; hold the lock."""
        rows = sum(ring.rows for ring in self._rings)
        return Circling(rows, self._memory.bytes, self._expired, self._short, self._cut)

    def oldest_us(self) -> int | None:
        """Return the oldest stamp in µs that the store is to have and does not have yet, or None."""
        with self.lock:
            claimed = [oldest for ring in self._rings if (oldest := ring.oldest_claimed_us()) is not None]
            spooled = super().oldest_us()
        return min(claimed if spooled is None else [*claimed, spooled], default=None)

    # -- events ------------------------------------------------------------------------------------------------

    def take_up(self, body: bytes) -> None:
        """Take up an event that is being written here, before it is: what circles is claimed when it can be seen."""
        event = events.decode(body)
        self.want(event)
        if event.state == "open":
            self.on_event(event)

    def want(self, event: events.Event) -> None:
        """Bring to the disk what an event asks for of what circles, and of what comes until its window ends."""
        with self.lock:
            if event.id in self._wanted or event.state != "open":
                return
            self._wanted[event.id] = event
            for ring in self._rings:
                self._claim(ring, event)

    def _claim(self, ring: RamRing, event: events.Event) -> None:
        if not self._takes(event, ring.back):
            return
        ring.claim(Window(event.id, event.start_us, event.stop_us))
        if event.is_cut_by(ring.gone_us):
            self._cut += 1
            missing_s = (min(ring.gone_us, event.stop_us) - event.start_us) / 1e6
            log.warning("a ring in memory is shorter than a window", stream=ring.stream, of=event.id, cut_s=missing_s)

    def _takes(self, event: events.Event, lane: Lane) -> bool:
        stream, rule = lane.address.stream, self.rule_of(lane.address.stream)
        shrunk = lane.address.type == "images" and (rule.preview or rule.thumbnail)
        return Taking(event, frozenset({stream}) if shrunk else frozenset()).takes(stream)

    # -- the policy --------------------------------------------------------------------------------------------

    def learn_rings(self) -> None:
        """Ask the policy anew, which has changed: nothing is lost, whichever way a stream goes."""
        with self.lock:
            for lane in list(self._lanes.values()):
                self._set_ring(lane)

    def _set_ring(self, lane: Lane) -> None:
        """Let a stream circle or not, as the policy says; the lock is held."""
        span_us = self.rule_of(lane.address.stream).ring if lane.address.cls in RING_CLASSES else None
        ring = lane.ring
        if ring is None and span_us is not None:
            self._begin(lane, span_us)
        elif ring is not None and span_us is not None:
            ring.span_us, ring.leaving = span_us, False
        elif ring is not None and not ring.leaving:
            ring.claim_all()
            self._move(ring)

    def _begin(self, lane: Lane, span_us: int) -> None:
        """Put a ring in front of a lane."""
        front = Lane(lane.address)
        front.last, front.last_given, front.given = lane.last, lane.last_given, lane.given
        front.known, front.loose = dict(lane.known), lane.loose
        lane.segment = None  # whoever has just looked it up takes the long way, to the front
        front.ring = ring = RamRing(lane.address.stream, span_us, lane, self._memory)
        if lane.last != NEVER or ring.stream in self._circled:
            ring.gone_us = 0  # what came before is on the disk, or was in the ring of the session before
        self._circled.add(ring.stream)
        self._lanes[ring.stream] = front
        self._rings.append(ring)
        for event in self._wanted.values():
            self._claim(ring, event)

    def _end(self, ring: RamRing) -> None:
        """Take an empty ring away: what comes goes to the disk."""
        self._seal(ring.back)
        self._rings.remove(ring)
        front = self._lanes.get(ring.stream)
        if front is None or front.ring is not ring:
            return  # of a session that has ended
        back = ring.back
        back.last, back.last_given = max(back.last, front.last), front.last_given
        back.bumped += front.bumped
        back.given, back.address, back.segment = front.given, front.address, None
        self._lanes[ring.stream] = back

    # -- accepting: the lock is held -----------------------------------------------------------------------------

    def _circle(self, lane: Lane, item: Item) -> None:
        """Take an item of a stream that circles: straight to the disk within a window, else into memory."""
        ring = lane.ring
        assert ring is not None
        lane.last = item.stop_us
        if ring.gone_us == NEVER:  # what another process had in its memory before us is gone, however it ended
            ring.gone_us = item.time_us - 1
        wanted = ring.wants(item)
        if wanted and not ring.claimed:
            self._write(ring.back, item)
            return
        ring.add(item, time.monotonic_ns() // 1000, claimed=wanted)
        if self._memory.bytes > self.ring_bytes:
            self._bound()

    def _circle_short(self, lane: Lane, value: dict[str, Any]) -> bool:
        """Take a flat dict of the stream's usual fields in one pass; False when it needs more care."""
        stamp, shape = self._now_us(), lane.shape
        if len(value) != lane.width:
            return False
        if stamp <= lane.last:
            if lane.last - stamp > JITTER_US:
                return False
            stamp = lane.last + 1
        if shape is None or stamp < lane.last_given:
            return False
        try:
            values = lane.pick(value)
            payload = lane.pack(lane.row_head, 0, STAMP_MARK, stamp, lane.row_tail, *values)
        except (KeyError, struct.error, OverflowError):
            return False
        if any(values[at] is not True and values[at] is not False for at in lane.bools):
            return False
        lane.last_given = stamp
        self._circle(lane, Item(stamp, stamp, lane.address, shape, payload))
        return True

    def _circle_row(self, lane: Lane, shape: Shape, payload: bytes, stamp: int) -> None:
        self._circle(lane, Item(stamp, stamp, lane.address, shape, payload))

    def _take_blob(self, lane: Lane, body: bytes, stamp: int) -> int:
        """Return the stamp that the blob has in the end."""
        if lane.ring is None:
            return self._write_blob(lane, body, stamp)
        self._circle(lane, Item(stamp, stamp, lane.address, None, body))
        return stamp

    def _take_piece(self, lane: Lane, piece: Piece) -> None:
        if lane.ring is None:
            self._write_piece(lane, piece)
            return
        lane.last_given = piece.stop_us
        self._circle(lane, Item(piece.start_us, piece.stop_us, lane.address, None, piece))

    def _bound(self) -> None:
        """Keep memory within its bound: what circles goes, the oldest first; what is claimed goes to the disk now."""
        while self._memory.bytes > self.ring_bytes:
            full = [ring for ring in self._rings if ring.cells]
            if not full:
                self.move()
                break
            oldest = min(full, key=lambda ring: ring.cells[0].came_us)
            self._short += oldest.drop_oldest()

    # -- moving --------------------------------------------------------------------------------------------------

    def move(self) -> bool:
        """Bring a slice of what is claimed into the spool; return whether more waits."""
        with self.lock:
            if self.closed:
                return False
            ring = next((ring for ring in self._rings if ring.claimed), None)
            if ring is not None:
                self._move(ring)
            return self.claims

    def move_all(self) -> None:
        """Bring all that is claimed into the spool, in slices, so that others can go on in between."""
        while self.move():
            time.sleep(PAUSE_S)

    def _move(self, ring: RamRing) -> None:
        moved = size = 0
        while moved < SLICE_ITEMS and size < SLICE_BYTES and (taken := ring.take()) is not None:
            item, torn = taken
            if torn:
                self._seal(ring.back)
            self._write(ring.back, item)
            moved, size = moved + 1, size + item.size
        if ring.claimed:
            return
        if ring.leaving:
            self._end(ring)
        elif moved:
            self._seal(ring.back)  # what is past need not wait for its chunk to fill

    def turn(self) -> None:
        """Forget what has circled long enough, windows that are over and rings of sessions that have ended."""
        with self.lock:
            now_us, over_us = time.monotonic_ns() // 1000, self._now_us() - LATE_US
            for ring in list(self._rings):
                self._expired += ring.expire(now_us)
                ring.close_windows(over_us)
                front = self._lanes.get(ring.stream)
                if (front is None or front.ring is not ring) and not ring.cells and not ring.claimed:
                    self._seal(ring.back)
                    self._rings.remove(ring)
            self._wanted = {key: event for key, event in self._wanted.items() if event.stop_us >= over_us}

"""Know the streams of one session: what each is called, holds and is labelled with, and in which process they live."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from fleetbox import types
from fleetbox.clock import Clock
from fleetbox.errors import InputError
from fleetbox.labels import check_user_labels
from fleetbox.naming import class_of
from fleetbox.time import check_time, parse_time
from fleetbox_edge.circling import Rings
from fleetbox_edge.journal import OpenSpool
from fleetbox_edge.lanes import Lane
from fleetbox_edge.outbox import Outbox
from fleetbox_edge.parcels import Address
from fleetbox_edge.refusing import check_name


def new_session_id(clock: Clock) -> str:
    """Return an id that sorts by time: "20261121t055117-3f2a"."""
    started = datetime.fromtimestamp(clock.now_us() // 1_000_000, UTC)
    return f"{started:%Y%m%dt%H%M%S}-{secrets.token_hex(2)}"


class Roster(Rings):
    """Find the lane of a stream, or make it; begin a new session when the clock was set."""

    def __init__(self, open_spool: OpenSpool, outbox: Outbox, bound_us: int, clock: Clock) -> None:
        self.id = new_session_id(clock)
        self._bumped_before = 0  # in sessions that a clock step has ended
        self.foreign = False  # whether this is the copy of it in a forked child
        super().__init__(open_spool, outbox, bound_us, clock)

    def renew(self) -> None:
        """Begin a new session by the wall clock as it stands now: numbers start again, open chunks close."""
        with self.lock:
            self.seal_all()
            for lane in self.lanes():
                lane.segment = None  # whoever is about to use it takes the long way, to a lane of the new session
                self._bumped_before += lane.bumped
                lane.bumped = 0  # one behind a ring may go on for a while
            self.clock = self.clock.anew()
            self._now_us = self.clock.now_us
            self.id = new_session_id(self.clock)
            self._lanes.clear()

    def bumped(self) -> int:
        """Return how many stamps were moved on to keep keys apart; hold the lock."""
        return self._bumped_before + sum(lane.bumped for lane in self.lanes())

    # -- forks ---------------------------------------------------------------------------------------------------

    def go_abroad(self) -> None:
        """Refuse everything from now on: a forked child shares the parent's memory maps, numbers and lock files."""
        self.foreign = True
        self.lock = threading.RLock()  # another thread of the parent may have held it at the fork
        self._lanes, self._rings = {}, []  # so that every log takes the long way, where it is refused
        self.spool.unlock()  # or the spool of a parent that died would seem to be in use for as long as we live

    def check_home(self) -> None:
        """Raise InputError in any process but the one that made this session."""
        if self.foreign:
            raise InputError(
                "this recorder was made in another process, of which this one is a fork", "make a new Recorder here"
            )

    # -- names, labels, times ------------------------------------------------------------------------------------

    def _lane(
        self, stream: str, kind: types.Type, labels: Mapping[str, Any] | None, content_type: str | None = None
    ) -> Lane:
        if self.closed:
            raise InputError(f"stream {stream!r} cannot be logged to: this recorder is closed", "make a new Recorder")
        if labels is not None and not isinstance(labels, Mapping):
            raise InputError(f"labels given as {type(labels).__name__}", 'give a dict: {"run": 7}')
        content_type = content_type or kind.content_type
        lane = self._lanes.get(stream) if isinstance(stream, str) else None
        if lane is None:
            cls = class_of(check_name(stream, kind), kind.cls)
            lane = Lane(Address(self.id, cls, stream, kind.name, content_type))
            self._lanes[stream] = lane
            self._set_ring(lane)
            lane = self._lanes[stream]
        elif lane.address.type != kind.name:
            raise InputError(
                f"stream {stream!r} holds {lane.address.type}, and this value is {kind.name}",
                "log it under another stream name",
            )
        if labels != lane.given or content_type != lane.address.content_type:
            checked = check_user_labels(labels) if labels else {}
            self._seal(lane)
            lane.given = dict(labels) if labels is not None else None
            lane.address = Address(self.id, lane.address.cls, stream, kind.name, content_type, checked)
            lane.segment = None
        return lane

    def time_us(self, time: Any) -> int:
        """Return a time as the caller gave it in µs; raises InputError for what is none, or none a store can hold."""
        try:
            given = time.item() if hasattr(time, "item") else time  # numpy's scalars
            return check_time(parse_time(given, self._now_us()), time)
        except (AttributeError, TypeError, ValueError, OverflowError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"time {time!r} is not understood: {error}", "give µs since the epoch") from error

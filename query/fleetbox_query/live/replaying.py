"""Play what was recorded at its own pace into a sink: play, pause, seek, another speed, round and round."""

from __future__ import annotations

import threading
import time as system_time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace

from fleetbox.background import WAKE_S
from fleetbox.errors import FleetboxError
from fleetbox_query.live.playhead import Playhead
from fleetbox_query.live.playlist import Message, Playlist
from fleetbox_query.live.sinks import Sink, State, Status, Wish
from fleetbox_query.plan import FAR_US
from fleetbox_query.provenance import Provenance
from fleetbox_query.reading import Prepared, Reading, narrowed
from fleetbox_query.session import Session
from fleetbox_query.streaming import Records
from fleetbox_query.units import mixed_units

TICK_S = 1 / 60  # how often a viewer hears the time
LATE_S = 0.1  # further behind, playback waits for what is read or sent, instead of catching up in a rush
REACHED_S = 5.0  # a viewer whose subscription does not count by then has gone, or never will be reached
REACHED_LOOK_S = 0.002  # between two looks whether it counts: it takes the server less than that
BEFORE_US = 1_000_000  # after a jump, the last message of each stream of this long before it shows how things stood


_Asked = tuple[int, frozenset[str] | None]  # how many jumps there were, and which streams are watched


@dataclass(frozen=True, slots=True)
class Manner:
    """Say how it is played: from where, how fast, again and again, at once or when somebody asks for it."""

    at_ns: int | None = None
    speed: float = 1.0
    loop: bool = False
    paused: bool = False


class Replay:
    """Play a question, once prepared; `run` plays, the rest may be called from other threads.

    Only streams in `watch` are read; None is all of them. `skipped` counts what the sink could not take,
    `told` names fields that come in several units. `reached` tells which of some streams a message would go out of now.
    """

    def __init__(
        self,
        session: Session,
        prepared: Prepared,
        sink: Sink,
        manner: Manner,
        clock: Callable[[], float] = system_time.monotonic,
    ) -> None:
        self._session = session
        self._prepared = prepared
        self._sink = sink
        self._loop = manner.loop
        self._clock = clock
        start_us, stop_us = span_us(prepared)
        at_ns = start_us * 1000 if manner.at_ns is None else manner.at_ns
        self._head = Playhead(start_us * 1000, stop_us * 1000, at_ns, clock(), manner.speed)
        self._head = self._head.sought(at_ns, clock()).at_speed(manner.speed, clock())
        self._changed = threading.Condition()
        self._watched: frozenset[str] | None = frozenset()
        self._jumps = 0
        self._begins_when_watched = not manner.paused
        self._playlist: Playlist | None = None
        self._records: Records | None = None
        self._sent = 0
        self._over = self._stopped = False
        self._tells = True  # viewers hear what could not be read; who plays once reads it in `missing` at the end
        self.skipped: Counter[str] = Counter()
        self.missing: dict[str, None] = {}
        self.reached: Callable[[frozenset[str]], frozenset[str]] = lambda names: names
        self.told = mixed_units(prepared.sources)

    @property
    def range_ns(self) -> tuple[int, int]:
        """Return what can be sought in."""
        return self._head.start_ns, self._head.stop_ns

    @property
    def sent(self) -> int:
        """Return how many messages were sent."""
        return self._sent

    def watch(self, names: frozenset[str] | None) -> None:
        """Play these streams from now on; the first time somebody watches, playback begins."""
        with self._changed:
            self._watched = names
            if self._begins_when_watched and (names is None or names):
                self._begins_when_watched = False
                self._head = self._head.played(self._clock())
                self._jumps += 1  # from the position itself, not from where the clock is once it can be read
            self._changed.notify_all()

    def control(self, wish: Wish) -> State:
        """Play, pause, seek, change the speed; return where playback is then."""
        with self._changed:
            now_s = self._clock()
            self._begins_when_watched = False
            head = self._head.at_speed(wish.speed, now_s) if wish.speed > 0 else self._head
            if wish.seek_ns is not None:
                head = head.sought(wish.seek_ns, now_s)
                self._jumps += 1
            elif wish.play and head.is_over(now_s):
                head = head.sought(head.start_ns, now_s)
                self._jumps += 1
            self._over = False
            self._head = head.played(now_s) if wish.play else head.paused(now_s)
            self._changed.notify_all()
            return replace(self._state(), did_seek=wish.seek_ns is not None)

    def stop(self) -> None:
        """End `run`."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def run(self, *, once: bool) -> None:
        """Play; once: return at the end, and raise what goes wrong. Otherwise wait there for what a viewer asks."""
        opened: _Asked | None = None
        self._tells = not once
        try:
            while not self._stopped:
                with self._changed:
                    head, asked = self._head, (self._jumps, self._watched)
                try:
                    if asked != opened:
                        self._wait_until_reached(asked)
                        jumped = opened is None or opened[0] != asked[0]
                        at_ns = head.from_ns if jumped else head.at(self._clock())
                        self._open(at_ns, asked, opened)
                        opened = asked
                        if jumped:  # time begins to run when it can be read
                            self._hold(at_ns, asked)
                        continue
                    if self._step(head, asked, once) and once:
                        return
                except FleetboxError as error:
                    if once:
                        raise
                    self._sink.trouble(str(error))
                    self._pause()
                    opened = None
        finally:
            self._close()

    def _step(self, head: Playhead, asked: _Asked, once: bool) -> bool:
        """Send the next message or wait for it a while; return whether the end was reached and stays."""
        if not head.playing:
            self._wait(asked, head, WAKE_S)
            return False
        message = self._playlist.peek() if self._playlist else None
        if message is None and once:
            return self._end(asked)
        next_ns = head.stop_ns if message is None else message[0]
        due_s = head.seconds_until(next_ns, self._clock())
        if due_s > 0:
            self._wait(asked, head, min(due_s, TICK_S))
            self._sink.at(min(next_ns, head.at(self._clock())))  # not past what is not sent yet: it may be held there
            return False
        if message is None or self._playlist is None:
            return self._end(asked)
        if due_s < -LATE_S:
            self._hold(message[0], asked)
        self._playlist.pop()
        self._send(*message)
        return False

    def _send(self, time_ns: int, message: object) -> None:
        self._sink.send(time_ns, message)
        self._sent += 1

    def _end(self, asked: _Asked) -> bool:
        with self._changed:
            if (self._jumps, self._watched) != asked:
                return False
            self._note()
            if self._loop:
                self._head = self._head.sought(self._head.start_ns, self._clock())
                self._jumps += 1
            else:
                self._head, self._over = self._head.paused(self._clock()), True
            state = replace(self._state(), did_seek=self._loop)
        self._sink.told(state)
        return not self._loop

    def _open(self, at_ns: int, asked: _Asked, before: _Asked | None) -> None:
        """Read on from a position, for those who watch now; after a jump, and to who is new, say how things stood."""
        waiting = self._playlist.peek() if self._playlist and before and before[0] == asked[0] else None
        self._close()
        names = asked[1]
        if names is not None:
            jumped = before is None or before[0] != asked[0]
            new = names if jumped or before is None else names - (before[1] or frozenset())
            self._tell_how_it_stood(at_ns, new)
        from_ns = min(at_ns, waiting[0]) if waiting else at_ns
        self._records = self._read(names, from_ns // 1000, FAR_US)
        self._playlist = Playlist(self._records, self._sink.expand, from_ns, self.skipped)
        self._sink.told(self._told_state())

    def _tell_how_it_stood(self, at_ns: int, names: frozenset[str]) -> None:
        last: dict[str, Message] = {}
        at_us = at_ns // 1000
        records = self._read(names, at_us - BEFORE_US, at_us)
        try:
            for item in records:
                if item.type != "video":  # its frames need those before them
                    for message in self._sink.expand(item):
                        last[f"{item.robot}/{item.stream}"] = message
        finally:
            records.close()
        for time_ns, message in sorted(last.values(), key=lambda one: one[0]):
            self._send(time_ns, message)

    def _read(self, names: frozenset[str] | None, start_us: int, stop_us: int) -> Records:
        prepared = narrowed(self._prepared, start_us, stop_us)
        if names is not None:
            prepared = replace(prepared, sources=tuple(one for one in prepared.sources if one.name in names))
        return Records(self._session.loop, Reading(self._session.stores, prepared), warn=False)

    def _hold(self, time_ns: int, asked: _Asked) -> None:
        """Set the clock back to what is sent only now."""
        with self._changed:
            if (self._jumps, self._watched) == asked and self._head.playing:
                self._head = self._head.sought(time_ns, self._clock())

    def _pause(self) -> None:
        with self._changed:
            self._head = self._head.paused(self._clock())
            state = self._state()
        self._sink.told(state)

    def _wait(self, asked: _Asked, head: Playhead, seconds: float) -> None:
        with self._changed:
            if (self._jumps, self._watched) == asked and self._head is head and not self._stopped:
                self._changed.wait(seconds)

    def _wait_until_reached(self, asked: _Asked) -> None:
        """Send nothing to who has just begun to watch before it would arrive: the first messages would be lost."""
        names, until_s = asked[1] or frozenset(), system_time.monotonic() + REACHED_S
        while self.reached(names) != names and system_time.monotonic() < until_s:
            with self._changed:  # not while it is asked: the server may hold a lock of its own as it tells who watches
                if self._stopped or (self._jumps, self._watched) != asked:
                    return
                self._changed.wait(REACHED_LOOK_S)

    def _told_state(self) -> State:
        with self._changed:
            return self._state()

    def _state(self) -> State:
        status: Status = "playing" if self._head.playing else "ended" if self._over else "paused"
        return State(status, self._head.at(self._clock()), self._head.speed)

    def _note(self) -> None:
        if self._records is not None:
            provenance: Provenance = self._records.provenance
            for line in provenance.lines():
                if line not in self.missing and self._tells:
                    self._sink.trouble(line)
                self.missing[line] = None

    def _close(self) -> None:
        self._note()
        if self._playlist is not None:
            self._playlist.close()
        self._playlist = self._records = None


def span_us(prepared: Prepared) -> tuple[int, int]:
    """Return where the wanted records begin and end, in µs since the epoch."""
    starts, stops = [], []
    for source in prepared.sources:
        oldest = min(holding.entry.oldest_us for holding in source.holdings)
        latest = max(holding.entry.latest_us for holding in source.holdings)
        starts.append(max(source.windows[0][0], oldest))
        stops.append(min(source.windows[-1][1], latest + source.schema.bound_us + 1))
    start = min(starts, default=0)
    return start, max(start + 1, max(stops, default=0))

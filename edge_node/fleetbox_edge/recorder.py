"""Record a robot's data: a plain synchronous call outside, an agent inside."""

from __future__ import annotations

import asyncio
import os
import time as system_time
import weakref
from collections.abc import Mapping, Sequence
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from datetime import datetime
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

import structlog

from fleetbox import events, types
from fleetbox.background import BackgroundLoop
from fleetbox.clock import Clock
from fleetbox.diagnostics import log_to_stderr
from fleetbox.errors import FleetboxError, Incomplete
from fleetbox.settings import RobotSettings, load_robot
from fleetbox_edge.agent import Agent
from fleetbox_edge.counts import Stats
from fleetbox_edge.duties import Duties
from fleetbox_edge.forking import leave_to_parent
from fleetbox_edge.live_episode import LiveEpisode
from fleetbox_edge.live_policy import live_policy
from fleetbox_edge.marks import Moment, Span, around, encode, event_of
from fleetbox_edge.notices import Notices, circles_anywhere
from fleetbox_edge.outbox import Outbox
from fleetbox_edge.own_episodes import OwnEpisodes
from fleetbox_edge.preview import Previewer
from fleetbox_edge.session import Session
from fleetbox_edge.spool_folder import classes_synced, make_spool, put_away

_log = structlog.get_logger()

POLL_S = 0.005  # flush looks this often: well below the store's answer
CLOSE_S = 10.0  # a store that runs takes the rest within a second; one that doesn't gets it at the next start
DESCRIBE_S = 5.0  # the store has just answered for the records; a schema more takes milliseconds
STOP_TRIES = 8  # seconds; longer than a relay's own grace for a batch on the wire

When = str | float | int | datetime


class Recorder:
    """Record streams of one robot into its own store; thread-safe.

    config: robot.toml or its settings. duties: take part in the robot's duties (rings, tasks, relay, labeler),
    which one process at a time does. memory_bytes: payloads beyond this are read back from the spool.

    When `log` returns, the row or blob is in the write-ahead spool: kill -9 loses nothing. It never waits for
    the store; what the spool cannot take is counted in `stats().drops`, never raised.

    Example:
        with Recorder("robot.toml") as rec:
            rec.log("imu", {"ax": 0.1, "ay": 0.0})
            rec.log("cam/front", frame)
            rec.mark("hard_brake")
    """

    def __init__(
        self,
        config: str | Path | RobotSettings,
        *,
        duties: bool = True,
        clock: Clock | None = None,
        memory_bytes: int = 64_000_000,  # eight full batches; a camera's outage then costs disk, not memory
    ) -> None:
        if not structlog.is_configured():
            log_to_stderr()  # a program's stdout is its own
        self.settings = config if isinstance(config, RobotSettings) else load_robot(config)
        self.live = live_policy(self.settings.policy, self.settings.state)
        self._previewer = Previewer(lambda: self.live.current, self._emit_preview)
        self.live.follow(self._previewer.learn)
        outbox = Outbox(memory_bytes, self._kick)
        self._agent: Agent | None = None
        self._stopped = False
        self._session = Session(
            partial(make_spool, self.settings, id(self)), outbox, bound_us=self.settings.chunk, clock=clock,
            preview=self._previewer.take, synced=classes_synced(self.settings, "always"),
        )  # fmt: skip
        self._notices = Notices(self.settings.state)
        for event in self._notices.news():
            self._session.want(event)  # of before a restart: what belongs to its window goes to the disk again
        self._session.rule_of = lambda stream: self.live.current.rule_for(stream)
        self._session.ring_bytes = self.settings.ring.ram
        self._session.on_event = self._give_notice
        self.live.follow(self._session.learn)
        self._loop = BackgroundLoop(f"fleetbox-{self.settings.robot}")
        self._episodes = OwnEpisodes(self.settings, self._session, self._loop, self._push)
        self._work = self._loop.run(self._start(duties))
        _living.add(self)

    def log(
        self, stream: str, value: Any, *, time: When | None = None, labels: Mapping[str, Any] | None = None
    ) -> None:
        """Record one value: numbers or a dict of numbers as a row, text, pictures, bytes and JSON as records.

        time: when it was, as people write it (default: now). labels: what to find it by.
        Raises InputError for a stream, value, label or time that cannot be.
        """
        self._session.log(stream, value, time=time, labels=labels)

    def log_columns(
        self, stream: str, times: Any, arrays: Mapping[str, Any], *, labels: Mapping[str, Any] | None = None
    ) -> None:
        """Record many rows at once: one stamp and one value of each array per row.

        times: int64 µs, float s or datetime64; arrays: dotted field name -> 1-D or 2-D array or sequence,
        besides `log_ns`, `publish_ns`, `header_ns` as exact clocks in ns. Raises InputError.
        """
        self._session.log_columns(stream, times, arrays, labels)

    def mark(
        self,
        kind: str,
        *,
        time: When | None = None,
        pre: Span | None = None,
        post: Span | None = None,
        streams: str | Sequence[str] | None = None,
        resolution: str | None = None,
        to: str | None = None,
        note: str = "",
        labels: Mapping[str, object] | None = None,
    ) -> str:
        """Raise an event: keep what was recorded around a moment, and ship it. Return the event's id.

        pre and post: how much before and after ("10s" or seconds); streams: a glob or several; resolution: how fine
        pictures are taken (original, preview, thumbnail); to: how far it travels (robot, edge, cloud); default: the
        policy's. labels: what to find the event by, such as {"severity": "high", "lat": 48.1, "lon": 11.6}.
        Raises InputError for what cannot be.
        """
        self._session.check_home()
        time_us = self._session.clock.now_us() if time is None else self._session.time_us(time)
        return self._raise(Moment(kind, time_us, pre, post, streams, note, resolution, to, labels=labels or {}))

    def keep(
        self,
        streams: str | Sequence[str] = ("**",),
        *,
        start: When = "-30s",
        stop: When = "+0s",
        resolution: str | None = None,
        to: str | None = None,
        note: str = "",
        kind: str = "keep",
    ) -> str:
        """Keep an interval of some streams, and ship it: the one call for it all. Return the event's id.

        start and stop: as people write times, "-30s" and "+10s" being from now, at most 120 s ahead; resolution and
        to: as for `mark`. Raises InputError for what cannot be.

        Example:
            rec.keep(streams=["cam/*", "imu"], start="-30s", stop="+10s", resolution="preview", note="slipped")
        """
        session = self._session
        session.check_home()
        start_us, stop_us, now_us = session.time_us(start), session.time_us(stop), session.clock.now_us()
        moment = Moment(kind, now_us, None, None, streams, note, resolution, to)
        return self._raise(around(moment, start_us, stop_us, now_us))

    def episode(
        self,
        note: str,
        *,
        name: str = "",
        streams: str | Sequence[str] = ("**",),
        labels: Mapping[str, object] | None = None,
        resume: bool = False,
    ) -> LiveEpisode:
        """Begin an episode, a named view of what is recorded until it ends; a context manager that ends it.

        note: the task in words. streams: what it shows, STREAM[:FIELD] globs. An exception within the block ends it as
        failed. One at a time: raises InputError while one is open, also of another program; resume=True goes on with
        that one, as after a restart. While the store is away only this program's own is known.

        Example:
            with rec.episode("pick cup", labels={"operator": "ann"}) as ep:
                ep.success = run()
        """
        self._session.check_home()
        return self._episodes.begin(note, name=name, streams=streams, labels=labels, resume=resume)

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until everything logged so far, leftovers of earlier processes included, is readable in the store.

        Returns True; raises Incomplete after `timeout` seconds, saying what is outstanding and why.
        """
        self._session.check_home()
        deadline_s = None if timeout is None else system_time.monotonic() + timeout
        self._previewer.drain(timeout)
        self._settle_triggers()
        self._session.move_all()
        self._push()
        upto = self._session.outbox.last_number
        while True:
            with self._session.lock:
                clear = self._session.outbox.is_clear(upto)
            if clear and not self._running.replaying:
                self._describe(deadline_s)
                return True
            self.check()
            if self._stopped or (deadline_s is not None and system_time.monotonic() > deadline_s):
                raise self._incomplete(upto, timeout or 0.0)
            system_time.sleep(POLL_S)

    def check(self) -> None:
        """Raise FleetboxError when the agent's background work has ended by itself; the spool still takes all."""
        if self._work.done() and not self._stopped:
            why = self._work.exception()
            raise FleetboxError(
                f"the agent of {self.settings.robot} has stopped: {why!r}", "start a new Recorder"
            ) from why

    def stats(self) -> Stats:
        """Return the counts so far."""
        session, agent = self._session, self._running
        with session.lock:
            waiting = sum(parcel.count for parcel in session.outbox.outstanding())
            open_rows = sum(lane.rows for lane in session.lanes())
            return Stats(
                session.id, session.sealed_rows + open_rows, session.blobs, session.bytes, session.outbox.acknowledged,
                waiting + open_rows, session.spool.bytes, session.outbox.held_bytes,
                dict(session.outbox.drops.lost), session.bumped(), session.backward,
                agent.leftovers.replayed, agent.leftovers.damaged, self._previewer.skipped,
                self._last_error(), agent.duties is not None and agent.duties.held.is_set(),
                circling=session.circling(),
            )  # fmt: skip

    @property
    def duties(self) -> Duties | None:
        """Return the robot's duties while this process holds them."""
        duties = self._running.duties
        return duties if duties is not None and duties.held.is_set() else None

    def oldest_waiting_us(self) -> int | None:
        """Return the oldest stamp in µs that the store does not have yet of what was logged here; None for none."""
        return self._session.oldest_us()

    def close(self, timeout: float = CLOSE_S) -> None:
        """Send what waits, for at most `timeout` seconds, and stop; the rest stays in the spool for the next start."""
        if self._session.closed or self._session.foreign:
            return
        try:
            self.flush(timeout)
        except FleetboxError as left:
            _log.warning("closed with records in the spool", robot=self.settings.robot, why=left.message)
        finally:
            self._stop()

    def __enter__(self) -> Recorder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # -- inside --------------------------------------------------------------------------------------------------

    @property
    def _running(self) -> Agent:
        assert self._agent is not None
        return self._agent

    def _give_notice(self, event: events.Event) -> None:
        if circles_anywhere(self.live.current):
            self._notices.post(event)

    def _raise(self, moment: Moment) -> str:
        event = event_of(moment, self.settings.robot, self.live.current, self._session.id)
        labels = {"event": event.id, "kind": event.kind, "state": event.state}
        self._session.blob(events.STREAM, types.get(events.TYPE), encode(event), None, labels)
        self._push()
        return event.id

    async def _start(self, duties: bool) -> Future[None]:
        self._agent = Agent(self.settings, self._session, self.live, duties=duties)
        return self._loop.start(self._agent.run())

    def _kick(self, cls: str | None = None) -> None:
        """Have the agent send what waits of a class, or everything; after close it stays in the spool."""
        if self._agent is not None and not self._stopped:
            with suppress(RuntimeError):  # the loop was closed from another thread just now
                self._loop.loop.call_soon_threadsafe(self._agent.kick, cls)

    def _push(self) -> None:
        self._session.seal_all()
        self._kick()

    def _emit_preview(self, stream: str, body: bytes, time_us: int, labels: Mapping[str, Any] | None) -> None:
        self._session.blob(stream, types.get("images"), body, time_us, labels)

    def _settle_triggers(self) -> None:
        """Have triggers judge what was logged so far: the events they raise are flushed as well."""
        if not (self._stopped or self._work.done()):
            with suppress(CancelledError, RuntimeError):  # closed from another thread just now
                self._loop.run(self._running.triggers.settle())

    def _describe(self, deadline_s: float | None) -> None:
        """Write the schemas of what has arrived, and drops; what the store does not take now the agent tries again."""
        agent = self._running
        for due, write in ((agent.schemas.due, agent.schemas.write), (agent.teller.due, agent.teller.tell)):
            if self._stopped or self._work.done() or not due:
                continue
            left_s = DESCRIBE_S if deadline_s is None else min(DESCRIBE_S, deadline_s - system_time.monotonic())
            with suppress(TimeoutError, CancelledError, RuntimeError):  # closed from another thread just now
                self._loop.run(write(), max(left_s, POLL_S))

    def _last_error(self) -> str | None:
        troubles = list(self._running.troubles.values())
        duties = self._running.duties
        if duties is not None and duties.trouble is not None:
            troubles.append(duties.trouble)
        return str(troubles[0]) if troubles else None

    def _incomplete(self, upto: int, timeout_s: float) -> Incomplete:
        with self._session.lock:
            left = self._session.outbox.outstanding(upto)
        streams = sorted({parcel.address.stream for parcel in left})
        what = f"{sum(parcel.count for parcel in left)} rows and records of {', '.join(streams[:5])}"
        more = f" and {len(streams) - 5} more" if len(streams) > 5 else ""
        if self._running.replaying:
            what = f"{what}{more} and an earlier process's spool" if left else "an earlier process's spool"
        why = self._last_error() or "the store has not answered yet"
        message = f"{what} not acknowledged by {self.settings.store} within {timeout_s:g} s: {why}"
        step = "start a new Recorder" if self._stopped else "call flush again or read stats()"
        return Incomplete(message, f"nothing is lost: they wait in the spool; {step}")

    def _stop(self) -> None:
        self._previewer.close()
        self._stopped = True
        self._work.cancel()
        with suppress(CancelledError):
            self._loop.run(self._ended())
        self._loop.stop()
        put_away(self._session)

    async def _ended(self) -> None:
        """Give cancelled work its moment to close connections."""
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for _ in range(STOP_TRIES):
            if not others:
                return
            _, others = await asyncio.wait(others, timeout=1.0)
            for task in others:
                task.cancel()  # again: a library may have swallowed the first


_living: weakref.WeakSet[Recorder] = weakref.WeakSet()


def _after_fork() -> None:
    """Leave all to the parent: a forked child has copies of its recorders, without their agents' threads."""
    for recorder in list(_living):
        recorder._session.go_abroad()
        leave_to_parent(recorder.settings)


os.register_at_fork(after_in_child=_after_fork)

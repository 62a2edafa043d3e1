"""Judge what a robot records while it is recorded, and raise the events."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import chain

import structlog

from fleetbox import events, types
from fleetbox.errors import InputError
from fleetbox.settings import Policy, RobotSettings
from fleetbox_edge.courier.telling import META
from fleetbox_edge.live_policy import LivePolicy
from fleetbox_edge.marks import Moment, encode, event_of
from fleetbox_edge.session import Session
from fleetbox_edge.triggers.condition import Condition
from fleetbox_edge.triggers.judge import Judge
from fleetbox_edge.triggers.memory import FILE, Memory, memory_of, read_memory, write_memory
from fleetbox_edge.triggers.post import Postbox, Sender, letters, opened
from fleetbox_edge.triggers.readings import Reading
from fleetbox_edge.triggers.report import STREAM, Report
from fleetbox_edge.triggers.rules import Rules, compile_each
from fleetbox_edge.triggers.tap import only
from fleetbox_edge.triggers.watch import Firing

log = structlog.get_logger()

POLL_S = 0.02  # from a record to its judgement; an idle look costs 20 µs
IDLE_S = 0.25  # without any rule: how soon those of a new policy are seen
SLICE_S = 0.005  # judged at a stretch; then the loop's other work has its turn
SETTLE_S = 2.0  # a full tap of 10,000 readings at 256 rules
REMEMBER_S = 5.0  # how old `doctor`'s figures may be; what was raised is written down at once
STALL_US = 1_000_000  # a machine that slept longer than this between two looks heard nothing: that is no silence


class Evaluator:
    """Judge in the process that holds the robot's duties, and send it what any other process logs.

    `run` belongs to every process, `judge` to the holder of the duties. `push` sends what the session holds at once.
    """

    def __init__(
        self, settings: RobotSettings, session: Session, live: LivePolicy, push: Callable[[], None], *,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:  # fmt: skip
        self._robot, self._state = settings.robot, settings.state
        self._session, self._live, self._push = session, live, push
        self._tap = session.tap
        self._monotonic_ns = monotonic_ns
        self._looked_us = monotonic_ns() // 1000
        self._heard_us = 0  # a clock that stands while nobody listens
        self._policy: Policy | None = None
        self._rules = Rules()
        self._reads: dict[str, frozenset[str] | None] = {}
        self._said: set[str] = set()
        self._waiting: Iterator[Reading] | None = None
        self._outgoing: Iterator[bytes] | None = None
        self._unsent: bytes | None = None
        self._since_us = self._session.clock.now_us()
        self._remembered_us = 0
        self.faults: dict[str, str] = {}
        self.judge_now: Judge | None = None
        self._postbox: Postbox | None = None
        self._sender = Sender(self._state)
        self._report = Report(lambda body: session.blob(STREAM, META, body, None, {}))
        self._mute: str | None = None
        self._conditions: list[Condition] = []
        self._take_up(live.current, *compile_each(live.current))  # before the first record

    # -- for the rest of the agent -------------------------------------------------------------------------------

    def mute(self, reason: str | None) -> None:
        """Raise nothing by rule from now on, or speak again with None; marks and pulls go on."""
        if reason != self._mute and self.judge_now is not None:
            log.warning("triggers are muted" if reason else "triggers speak again", robot=self._robot, why=reason)
        self._mute = reason
        if self.judge_now is not None:
            self.judge_now.mute(reason)

    def watch(self, condition: Condition) -> None:
        """Have a condition see every reading of its stream that is judged here."""
        self._conditions.append(condition)

    def unwatch(self, condition: Condition) -> None:
        """Let go of a condition."""
        if condition in self._conditions:
            self._conditions.remove(condition)

    def heard_us(self) -> int:
        """Return the clock by which silence and holding are measured, in µs: it stands while nobody listens."""
        now_us = self._monotonic_ns() // 1000
        self._heard_us += min(now_us - self._looked_us, STALL_US)
        self._looked_us = now_us
        return self._heard_us

    async def run(self) -> None:
        """Follow the policy and hand on what is logged, until cancelled."""
        try:
            while True:
                await self._follow()
                drained = self._attempt()
                rest_s = POLL_S if self._rules.all or self._rules.sources else IDLE_S
                await asyncio.sleep(rest_s if drained else SLICE_S)  # behind: half of a core, and no more
        finally:
            self._attempt()
            self._sender.close()

    async def judge(self) -> None:
        """Be the one that judges, until cancelled."""
        await self._follow()
        judge = Judge(self._rules, self._robot)
        if (memory := read_memory(self._state)) is not None:
            judge.tell(memory.told)
        judge.mute(self._mute)
        try:
            self._state.mkdir(parents=True, exist_ok=True)
            self._postbox = Postbox(self._state)
        except OSError as error:  # a disk without room
            log.warning("only what this process logs is judged", robot=self._robot, why=str(error))
        self.judge_now = judge
        self._say_faults()
        try:
            await asyncio.Event().wait()
        finally:
            self._attempt()
            self._remember()
            self.judge_now = None
            if self._postbox is not None:
                self._postbox.close()
                self._postbox = None

    async def settle(self) -> None:
        """Judge, or hand on, what has been logged so far; what comes faster than it is judged is not waited for."""
        await self._follow()
        until_s = time.monotonic() + SETTLE_S
        while not self._attempt() and time.monotonic() < until_s:  # noqa: ASYNC110 - it works, it does not wait
            await asyncio.sleep(0)

    # -- inside --------------------------------------------------------------------------------------------------

    async def _follow(self) -> None:
        """Follow the policy in force; compiling takes a moment, that of others."""
        policy = self._live.current
        if policy is not self._policy:
            self._take_up(policy, *await asyncio.to_thread(compile_each, policy))

    def _take_up(self, policy: Policy, rules: Rules, faults: dict[str, str]) -> None:
        """Judge by a policy's rules; a trigger of it that cannot work is said, and the others do."""
        self._policy, self._rules, self.faults = policy, rules, faults
        self._reads, self._said = {}, set()
        self._tap.learn(self._rules)
        if self.judge_now is not None:
            self.judge_now.learn(self._rules)
            self._say_faults()
            self._remember()

    def _say_faults(self) -> None:
        for name, why in self.faults.items():
            log.error("a trigger cannot work", robot=self._robot, trigger=name, why=why)

    def _attempt(self) -> bool:
        """Look, whatever happens there: the robot goes on being recorded."""
        try:
            return self._look()
        except Exception:
            self._waiting = self._outgoing = None
            log.exception("readings were not judged", robot=self._robot)
            return True

    def _look(self) -> bool:
        """Judge or hand on what waits, for a few milliseconds at most; return whether nothing is left."""
        judge, until_s = self.judge_now, time.monotonic() + SLICE_S
        if judge is None:
            return self._hand_on(until_s)
        now_us = self.heard_us()
        if self._waiting is None:
            self._waiting = chain(self._unposted(), self._tap.take(), self._posted(judge))
        for reading in self._waiting:
            self._raise(judge.read(self._slim(reading), now_us))
            for condition in self._conditions:
                condition.read(reading, now_us)
            if time.monotonic() > until_s:
                return False
        self._waiting = None
        for stream, records in self._tap.missed().items():
            judge.miss(stream, records)
        self._raise(judge.tick(now_us, self._session.clock.now_us()))
        if now_us - self._remembered_us > REMEMBER_S * 1e6 and (memory := self._remember()) is not None:
            self._report.tell(memory)
        return True

    def _slim(self, reading: Reading) -> Reading:
        if reading.stream not in self._reads:
            self._reads[reading.stream] = self._rules.reads(reading.stream)
        return only(reading, self._reads[reading.stream])

    def _hand_on(self, until_s: float) -> bool:
        """Send what waits to the process that judges; without one, or with a slow one, it waits, bounded."""
        if not self._sender.reaches:
            return True
        if self._outgoing is None:
            self._outgoing = letters((self._slim(reading) for reading in self._tap.take()), self._tap.missed())
        while time.monotonic() < until_s:
            self._unsent = self._unsent or next(self._outgoing, None)
            if self._unsent is None:
                break
            if not self._sender.send(self._unsent):
                return True
            self._unsent = None
        else:
            return False
        self._outgoing = None
        return True

    def _unposted(self) -> Iterator[Reading]:
        """Yield what waited for another process to judge it, before this one took over."""
        unsent, outgoing = self._unsent, self._outgoing
        self._unsent = self._outgoing = None
        for data in chain([unsent] if unsent else [], outgoing or []):
            yield from opened(data)[1]

    def _posted(self, judge: Judge) -> Iterator[Reading]:
        """Yield what other processes sent."""
        for data in self._postbox.take() if self._postbox is not None else ():
            try:
                missed, readings = opened(data)
            except ValueError as error:
                log.warning("readings passed over", robot=self._robot, why=str(error))
                continue
            for stream, records in missed.items():
                judge.miss(stream, records)
            yield from readings

    def _raise(self, firings: list[Firing]) -> None:
        for firing in firings:
            self._keep(firing)
        if firings:
            self._push()
            self._remember()

    def _keep(self, firing: Firing) -> None:
        note = firing.note.encode(errors="replace").decode()[: events.MAX_NOTE_CHARS]
        moment = Moment(
            firing.kind, firing.time_us, None, None, None, note, trigger=firing.trigger, labels=firing.place
        )
        try:
            event = event_of(moment, self._robot, self._live.current, self._session.id)
            labels = {"event": event.id, "kind": event.kind, "state": event.state}
            self._session.blob(events.STREAM, types.get(events.TYPE), encode(event), None, labels)
        except InputError as error:  # a stamp of another century
            log.warning("a trigger's event was not raised", trigger=firing.trigger, why=error.message)
            return
        log.info("trigger", robot=self._robot, trigger=firing.trigger, id=event.id, note=note)

    def _remember(self) -> Memory | None:
        """Write down what was said and counted, and say what went wrong for the first time; None without any rule."""
        judge, policy = self.judge_now, self._policy
        if judge is None or policy is None:
            return None
        self._remembered_us = self._heard_us
        self._complain(judge)
        if not judge.rules.all and not self.faults and not (self._state / FILE).exists():
            return None
        memory = memory_of(judge, policy.hash, self.faults, self._since_us, time.time_ns() // 1000)
        with suppress(OSError):  # a disk without room: the cooldowns are then those of this process
            write_memory(self._state, memory)
        return memory

    def _complain(self, judge: Judge) -> None:
        for name, counts in judge.counts().items():
            troubles = {"raises": counts.last_error, "is muted": counts.why_muted}
            for what, why in troubles.items():
                if why and f"{name} {what}" not in self._said:
                    self._said.add(f"{name} {what}")
                    log.warning(f"a trigger {what}", robot=self._robot, trigger=name, why=why)

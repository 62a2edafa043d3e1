"""Bring a batch to the destination and say whether every record in it is stored there."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from fleetbox_replication.destination import Cut, Destination, Entry, Reply
from fleetbox_replication.relay_counters import RelayCounters
from fleetbox_replication.settling import Bodies, Outcome, Settler
from fleetbox_replication.vouching import LARGE_GRACE_S, Answer, Remedy, judge_answer, judge_error
from fleetbox_replication.wire import Part, RecordError, errors_of

RETRY_S = 8.0  # the engine itself waits about 10 s after a 503; below that, trying here is faster
FIRST_PAUSE_S = 0.1  # a proxy's hiccup is over by then
LONGEST_PAUSE_S = 2.0  # a store that restarts is met soon after it is back
ROUNDS = 100  # more than any healing needs; a bug must not spin

Attempt = Callable[[tuple[Part, ...]], Awaitable[Outcome]]


@dataclass(frozen=True, slots=True)
class Timing:
    """Bring time and chance in from outside."""

    monotonic_s: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    chance: Callable[[], float] = random.random


class Delivery:
    """Write or relabel a batch at the destination, healing what a broken connection left there."""

    def __init__(self, there: Destination, counters: RelayCounters, timing: Timing) -> None:
        self._there = there
        self._counters = counters
        self._timing = timing
        self.settler = Settler(there, counters, timing.monotonic_s)

    async def write(self, entry: Entry, parts: tuple[Part, ...], bodies: Bodies, wanted: Callable[[], bool]) -> Outcome:
        """Store a batch held in memory; keeps trying for a while as long as `wanted` says so."""

        async def attempt(pending: tuple[Part, ...]) -> Outcome:
            return await self._write(entry, pending, bodies)

        if self._counters.refusing(entry.bucket) and len(parts) > 1:
            first = await self._persist(attempt, parts[:1], wanted)
            if first.pending:  # a full store refuses the rest as well: spare the link
                return replace(first, pending=parts)
            return first | await self._persist(attempt, parts[1:], wanted)
        return await self._persist(attempt, parts, wanted)

    async def relabel(self, entry: Entry, parts: tuple[Part, ...], wanted: Callable[[], bool]) -> Outcome:
        """Set labels of records that are readable there; the others are passed back as 404."""

        async def attempt(pending: tuple[Part, ...]) -> Outcome:
            return await self._relabel(entry, pending)

        return await self._persist(attempt, parts, wanted)

    async def stream(
        self, entry: Entry, parts: tuple[Part, ...], headers: Mapping[str, str], body: AsyncIterator[bytes]
    ) -> Outcome:
        """Pass a batch through that is too large to hold: one attempt, then clear what it left torn."""
        try:
            reply = await self._ask(self._there.forward("POST", f"{entry.path}/batch", headers, body))
        except Cut as cut:
            return await self._settle_streamed(entry, parts, str(cut))
        if judge_answer("POST", reply.status) is not Answer.READ:
            return self._refused(reply, "POST", parts)
        doubtful, outcome = _sorted(reply, "POST", parts)
        return outcome | await self._settle_streamed(entry, doubtful, "sent again once more of it is stored")

    async def _settle_streamed(self, entry: Entry, parts: tuple[Part, ...], message: str) -> Outcome:
        async def attempt(pending: tuple[Part, ...]) -> Outcome:
            return await self.settler.settle(entry, pending, None)

        settled = await self._persist(attempt, parts, lambda: True, LARGE_GRACE_S + 2)
        return replace(settled, status=0, message=message) if settled.pending else settled

    async def _persist(
        self, attempt: Attempt, parts: tuple[Part, ...], wanted: Callable[[], bool], for_s: float = RETRY_S
    ) -> Outcome:
        deadline_s = self._timing.monotonic_s() + for_s
        passed: dict[int, RecordError] = {}
        outcome, pause_s = Outcome(parts), FIRST_PAUSE_S
        for _ in range(ROUNDS):
            outcome = await attempt(outcome.pending)
            passed |= outcome.passed
            if not outcome.pending:
                break
            if not outcome.at_once:
                if not outcome.soon or not wanted() or self._timing.monotonic_s() >= deadline_s:
                    break
                await self._timing.sleep(pause_s * (0.5 + self._timing.chance()))  # jitter: robots come back together
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
            self._counters.counts["retried"] += 1
        return replace(outcome, passed=passed)

    async def _write(self, entry: Entry, parts: tuple[Part, ...], bodies: Bodies) -> Outcome:
        try:
            reply = await self._ask(self._there.write(entry, parts, [bodies[part.time_us] for part in parts]))
        except Cut as cut:
            return Outcome(parts, status=0, message=str(cut), soon=True)
        answer = judge_answer("POST", reply.status)
        if answer is Answer.READ:
            doubtful, outcome = _sorted(reply, "POST", parts)
            return outcome | await self.settler.settle(entry, doubtful, bodies)
        if answer is Answer.SPLIT and len(parts) > 1:
            half = len(parts) // 2
            return await self._write(entry, parts[:half], bodies) | await self._write(entry, parts[half:], bodies)
        return self._refused(reply, "POST", parts)

    async def _relabel(self, entry: Entry, parts: tuple[Part, ...]) -> Outcome:
        try:
            reply = await self._ask(self._there.relabel(entry, parts))
        except Cut as cut:
            return Outcome(parts, status=0, message=str(cut), soon=True)
        answer = judge_answer("PATCH", reply.status)
        if answer is Answer.PASS:
            return Outcome(passed={part.time_us: RecordError(404, reply.message) for part in parts})
        if answer is not Answer.READ:
            return self._refused(reply, "PATCH", parts)
        _, outcome = _sorted(reply, "PATCH", parts)
        out = {part.time_us for part in outcome.pending} | set(outcome.passed)
        return outcome | await self.settler.settle_patched(entry, [part for part in parts if part.time_us not in out])

    async def _ask(self, request: Awaitable[Reply]) -> Reply:
        try:
            reply = await request
        except Cut:
            self._counters.reachable = False
            raise
        self._counters.reachable = True
        return reply

    def _refused(self, reply: Reply, method: str, parts: tuple[Part, ...]) -> Outcome:
        answer = judge_answer(method, reply.status)
        renewed = answer is Answer.RENEW and self._there.renew()
        return Outcome(parts, {}, reply.status, reply.message, at_once=renewed, soon=answer is Answer.AGAIN)


def _sorted(reply: Reply, method: str, parts: Sequence[Part]) -> tuple[tuple[Part, ...], Outcome]:
    """Part the records with errors into those to look at and those refused or passed on."""
    errors = errors_of(reply.headers)
    doubtful: list[Part] = []
    outcome = Outcome()
    for part in parts:
        error = errors.get(part.time_us)
        if error is None:
            continue
        remedy = judge_error(method, error.status)
        if remedy is Remedy.WAIT:
            doubtful.append(part)
        elif remedy is Remedy.PASS:
            outcome |= Outcome(passed={part.time_us: error})
        else:
            outcome |= Outcome((part,), status=error.status, message=error.message)
    return tuple(doubtful), outcome

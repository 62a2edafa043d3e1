"""Bring a batch to the destination and say whether every record in it is stored there."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import replace

from fleetbox_replication.relay.answers import refused, sorted_by_error
from fleetbox_replication.relay.batch_write import Batch, BatchWrite
from fleetbox_replication.relay.counters import RelayCounters
from fleetbox_replication.relay.destination import Cut, Destination, Entry, Reply
from fleetbox_replication.relay.options import Timing
from fleetbox_replication.relay.patience import Patience
from fleetbox_replication.relay.settling import Outcome, Settler, joined
from fleetbox_replication.relay.vouching import LARGE_GRACE_S, Answer, judge_answer
from fleetbox_replication.wire import Part, RecordError

RETRY_S = 8.0  # the engine itself waits about 10 s after a 503; below that, trying here is faster
FIRST_PAUSE_S = 0.1  # a proxy's hiccup is over by then
LONGEST_PAUSE_S = 1.0  # a store that restarts is met soon after it is back
ROUNDS = 100  # more than any healing needs; a bug must not spin

Attempt = Callable[[], Awaitable[Outcome]]


class Delivery:
    """Write or relabel a batch at the destination, healing what a broken connection left there."""

    def __init__(self, there: Destination, counters: RelayCounters, patience: Patience, timing: Timing) -> None:
        self._there = there
        self._counters = counters
        self._patience = patience
        self._timing = timing
        self._settler = Settler(there, counters, patience, timing.monotonic_s)

    async def write(self, batch: Batch, wanted: Callable[[], bool]) -> Outcome:
        """Store a batch held in memory; keeps trying for a while as long as `wanted` says so."""
        careful = self._counters.refusing(batch.entry.bucket) is not None
        write = BatchWrite(self._there, self._settler, self._patience, batch, careful)
        return await self._persist(write.attempt, wanted)

    async def relabel(self, entry: Entry, parts: tuple[Part, ...], wanted: Callable[[], bool]) -> Outcome:
        """Set labels of records that are readable there; the others are passed back as 404."""
        pending = parts

        async def attempt() -> Outcome:
            nonlocal pending
            outcome = await self._relabel(entry, pending)
            pending = outcome.pending
            return outcome

        return await self._persist(attempt, wanted)

    async def stream(
        self, entry: Entry, parts: tuple[Part, ...], headers: Mapping[str, str], body: AsyncIterator[bytes]
    ) -> Outcome:
        """Pass a batch through that is too large to hold: one attempt, then clear what it left torn."""
        try:
            reply = await self._there.forward("POST", f"{entry.path}/batch", headers, body, entry.bucket)
        except Cut as cut:
            return await self._settle_streamed(entry, parts, str(cut))
        if judge_answer("POST", reply.status) is not Answer.READ:
            return self._refused_stream(entry, parts, reply)
        found = sorted_by_error(reply, "POST", parts)
        self._patience.took(entry.bucket, found.taken)
        outcome = Outcome(passed=found.passed) | joined(
            self._settler.refused(entry, part, error.status, error.message) for part, error in found.refused
        )
        return outcome | await self._settle_streamed(entry, found.doubtful, "sent again once more of it is stored")

    def give_up(self, entry: Entry, parts: tuple[Part, ...], message: str) -> Outcome:
        """Judge a batch that cannot be taken apart: all its records are let through by name, to be copied singly."""
        return joined(self._settler.refused(entry, part, 422, message) for part in parts)

    def _refused_stream(self, entry: Entry, parts: tuple[Part, ...], reply: Reply) -> Outcome:
        outcome = refused(self._there, reply, "POST", parts)
        if outcome.soon or outcome.ready:
            return outcome
        return joined(self._settler.refused(entry, part, reply.status, reply.message) for part in parts)

    async def _settle_streamed(self, entry: Entry, parts: tuple[Part, ...], message: str) -> Outcome:
        pending = parts

        async def attempt() -> Outcome:
            nonlocal pending
            outcome = await self._settler.settle(entry, pending, None)
            pending = tuple(part for part in outcome.pending if part not in outcome.ready)
            return replace(outcome, ready=())

        settled = await self._persist(attempt, lambda: True, LARGE_GRACE_S + 2)
        return replace(settled, status=0, message=message) if settled.pending else settled

    async def _persist(self, attempt: Attempt, wanted: Callable[[], bool], for_s: float = RETRY_S) -> Outcome:
        deadline_s = self._timing.monotonic_s() + for_s
        passed: dict[int, RecordError] = {}
        letters: dict[int, RecordError] = {}
        outcome, pause_s, left = Outcome(), FIRST_PAUSE_S, 0
        for _ in range(ROUNDS):
            outcome = await attempt()
            if len(outcome.pending) < left:
                pause_s = FIRST_PAUSE_S  # it moves
            left = len(outcome.pending)
            passed |= outcome.passed
            letters |= outcome.letters
            if not outcome.pending:
                break
            if not outcome.ready:
                if not outcome.soon or not wanted() or self._timing.monotonic_s() >= deadline_s:
                    break
                await self._timing.sleep(pause_s * (0.5 + self._timing.chance()))  # jitter: robots come back together
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
            self._counters.counts["retried"] += 1
        return replace(outcome, passed=passed, letters=letters)

    async def _relabel(self, entry: Entry, parts: tuple[Part, ...]) -> Outcome:
        """Ask with empty labels which records are there at all, look at those, then set their labels."""
        try:
            reply = await self._there.relabel(entry, [replace(part, labels={}) for part in parts])
        except Cut as cut:
            return Outcome(parts, status=0, message=str(cut), soon=True)
        answer = judge_answer("PATCH", reply.status)
        if answer is Answer.READ:
            found = sorted_by_error(reply, "PATCH", parts)
            passed = {**found.passed, **{part.time_us: error for part, error in found.refused}}
            there = [part for part in parts if part.time_us not in passed]
            return Outcome(passed=passed) | await self._settler.relabel(entry, there)
        outcome = refused(self._there, reply, "PATCH", parts)
        if outcome.soon or outcome.ready:
            return outcome
        # The engine answers an error of labels by sending the record whole: that is where refusals are judged.
        return Outcome(passed={part.time_us: RecordError(reply.status, reply.message) for part in parts})

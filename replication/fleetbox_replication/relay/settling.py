"""Settle records the destination did not simply take: look at what stands there; leave it, mend it or clear it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from operator import or_

from fleetbox_replication.relay.clearing import clear
from fleetbox_replication.relay.counters import RelayCounters
from fleetbox_replication.relay.destination import Cut, Destination, Entry
from fleetbox_replication.relay.patience import Patience
from fleetbox_replication.relay.vouching import Answer, Found, Remedy, judge_answer, judge_found, judge_present
from fleetbox_replication.wire import Part, RecordError, errors_of

REMEMBERED = 10_000  # unreadable records watched at once; beyond it the oldest start anew

Bodies = Mapping[int, memoryview]


@dataclass(frozen=True, slots=True)
class Outcome:
    """Say what became of records.

    `pending` are not vouched for, for the reason in `status` and `message`; `ready` are those of them that may be sent
    at once, `soon` means that trying again after a pause may help. `passed` are errors the engine itself shall see;
    `letters` those of records that the destination will not take and that are let through by name.
    """

    pending: tuple[Part, ...] = ()
    passed: Mapping[int, RecordError] = field(default_factory=dict)
    status: int = 200
    message: str = ""
    ready: tuple[Part, ...] = ()
    soon: bool = False
    letters: Mapping[int, RecordError] = field(default_factory=dict)

    def __or__(self, other: Outcome) -> Outcome:
        reason = self if self.status != 200 else other
        return Outcome(
            self.pending + other.pending,
            {**self.passed, **other.passed},
            reason.status,
            reason.message,
            self.ready + other.ready,
            self.soon or other.soon,
            {**self.letters, **other.letters},
        )


def joined(outcomes: Iterable[Outcome]) -> Outcome:
    """Return many outcomes as one."""
    return reduce(or_, outcomes, Outcome())


@dataclass(frozen=True, slots=True)
class Looked:
    """Hold a record, what was found at its time, and what follows."""

    part: Part
    found: Found
    remedy: Remedy


class Settler:
    """Apply the remedies; it remembers since when a record has been unreadable."""

    def __init__(
        self, there: Destination, counters: RelayCounters, patience: Patience, monotonic_s: Callable[[], float]
    ) -> None:
        self._there = there
        self._counters = counters
        self._patience = patience
        self._monotonic_s = monotonic_s
        self._torn_since: dict[tuple[str, int], float] = {}

    async def settle(self, entry: Entry, parts: Iterable[Part], bodies: Bodies | None) -> Outcome:
        """Settle records that were sent; `bodies` serve to compare those that carry no hash."""
        looked = await asyncio.gather(*(self._look(entry, part, bodies) for part in parts))
        return await self._apply(entry, looked)

    def refused(self, entry: Entry, part: Part, status: int, message: str, beside: int = -1) -> Outcome:
        """Return what becomes of a record that was refused by itself: it waits, or is let through by name."""
        if self._patience.lets_go(entry, part, status, beside):
            return Outcome(letters={part.time_us: RecordError(status, message)})
        soon = judge_answer("POST", status) is Answer.AGAIN
        return Outcome((part,), status=status, message=message, soon=soon)

    async def relabel(self, entry: Entry, parts: Iterable[Part]) -> Outcome:
        """Set the labels of records that stand there and are ours; pass the others back, to be written whole.

        Labels that are refused are passed back as well: the engine sends the record, and that decides.
        """
        looked = await asyncio.gather(*(self._look_present(entry, part) for part in parts))
        outcome = await self._apply(entry, [item for item in looked if item.remedy is not Remedy.CONFLICT])
        taken = {item.part.time_us: _CONFLICT for item in looked if item.remedy is Remedy.CONFLICT}
        cleared = {part.time_us: _ABSENT for part in outcome.ready}
        passed = {time_us: RecordError(404, message) for time_us, message in {**taken, **cleared}.items()}
        pending = tuple(part for part in outcome.pending if part.time_us not in cleared)
        passed |= {**outcome.passed, **outcome.letters}
        return replace(outcome, pending=pending, ready=(), passed=passed, letters={})

    async def _look(self, entry: Entry, part: Part, bodies: Bodies | None) -> Looked:
        found = await self._there.look(entry, part.time_us)
        remedy = judge_found(found, part, self._torn_s(entry, part, found), bodies is not None)
        if remedy is Remedy.COMPARE and bodies is not None:
            remedy = await self._compare(entry, part, bodies[part.time_us])
        return Looked(part, found, remedy)

    async def _compare(self, entry: Entry, part: Part, body: memoryview) -> Remedy:
        try:
            same = await self._there.same_bytes(entry, part.time_us, body)
        except Cut:
            return Remedy.WAIT
        return Remedy.RELABEL if same else Remedy.CONFLICT

    async def _look_present(self, entry: Entry, part: Part) -> Looked:
        found = await self._there.look(entry, part.time_us)
        return Looked(part, found, judge_present(found, part, self._torn_s(entry, part, found)))

    async def _apply(self, entry: Entry, looked: Sequence[Looked]) -> Outcome:
        outcome = Outcome()
        early = any(item.remedy is Remedy.WAIT for item in looked)  # one may still be written: delete nothing beside it
        to_clear = [item for item in looked if item.remedy is Remedy.REPLACE]
        for item in looked:
            outcome |= self._without_asking(
                entry, replace(item, remedy=Remedy.WAIT) if early and item in to_clear else item
            )
        outcome |= await self._clear(entry, [] if early else to_clear)
        return outcome | await self._relabel(entry, [item.part for item in looked if item.remedy is Remedy.RELABEL])

    def _without_asking(self, entry: Entry, item: Looked) -> Outcome:
        part, remedy = item.part, item.remedy
        message = item.found.message or remedy.value
        if remedy is Remedy.DONE:
            self._counters.counts["already"] += 1
        elif remedy is Remedy.SEND:
            return Outcome((part,), status=item.found.status, message=message, ready=(part,))
        elif remedy is Remedy.PASS:
            return Outcome(passed={part.time_us: RecordError(404, _ABSENT)})
        elif remedy is Remedy.CONFLICT:
            self._counters.conflict(entry.bucket, entry.name, part.time_us, _CONFLICT)
            return Outcome(letters={part.time_us: RecordError(409, _CONFLICT)})
        elif remedy is Remedy.WAIT:
            return Outcome((part,), status=item.found.status, message=message, soon=True)
        elif remedy is Remedy.KEEP:
            return self.refused(entry, part, item.found.status, message)
        return Outcome()

    async def _clear(self, entry: Entry, items: Sequence[Looked]) -> Outcome:
        """Delete what stands there, so that the records can be sent again."""
        if not items:
            return Outcome()
        parts, found = tuple(item.part for item in items), items[0].found
        try:
            gone = await clear(self._there, entry, [part.time_us for part in parts])
        except Cut as cut:
            return Outcome(parts, status=0, message=str(cut), soon=True)
        if not gone:
            message = f"{found.message}; and it cannot be deleted there"
            return joined(self.refused(entry, part, found.status, message) for part in parts)
        for item in items:
            self._torn_since.pop((entry.path, item.part.time_us), None)
            self._counters.healed["wrong" if item.found.status == 200 else "torn"] += 1
        return Outcome(parts, status=404, message="deleted there, to be sent again", ready=parts)

    async def _relabel(self, entry: Entry, parts: Sequence[Part]) -> Outcome:
        if not parts:
            return Outcome()
        try:
            reply = await self._there.relabel(entry, parts)
        except Cut as cut:
            return Outcome(tuple(parts), status=0, message=str(cut), soon=True)
        answer = judge_answer("PATCH", reply.status)
        if answer is Answer.READ:
            errors = errors_of(reply.headers)
            left = [part for part in parts if part.time_us in errors]
            return joined(self._unlabelled(entry, part, errors[part.time_us]) for part in left)
        if answer is Answer.AGAIN:
            return Outcome(tuple(parts), status=reply.status, message=reply.message, soon=True)
        if len(parts) == 1:
            return self._unlabelled(entry, parts[0], RecordError(reply.status, reply.message))
        return await self._relabel_apart(entry, parts)

    async def _relabel_apart(self, entry: Entry, parts: Sequence[Part]) -> Outcome:
        """Set labels one by one, because one of them spoils the rest; stop where the first is refused and held."""
        outcome = await self._relabel(entry, parts[:1])
        if outcome.pending:
            return replace(outcome, pending=tuple(parts))
        for part in parts[1:]:
            outcome |= await self._relabel(entry, [part])
        return outcome

    def _unlabelled(self, entry: Entry, part: Part, error: RecordError) -> Outcome:
        if error.status == 404:  # gone since it was looked at: send it
            return Outcome((part,), status=404, message=error.message, soon=True)
        return self.refused(entry, part, error.status, error.message)

    def _torn_s(self, entry: Entry, part: Part, found: Found) -> float:
        key = (entry.path, part.time_us)
        if found.status not in (425, 500):
            self._torn_since.pop(key, None)
            return 0.0
        if len(self._torn_since) >= REMEMBERED:
            self._torn_since.pop(next(iter(self._torn_since)))
        return self._monotonic_s() - self._torn_since.setdefault(key, self._monotonic_s())


_ABSENT = "not readable at the destination"
_CONFLICT = "another record stands at this time at the destination; each stays where it is"

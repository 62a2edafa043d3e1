"""Settle records the destination did not simply take: look at what stands there; leave it, mend it or clear it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import reduce

from fleetbox_replication.destination import Cut, Destination, Entry
from fleetbox_replication.relay_counters import RelayCounters
from fleetbox_replication.vouching import Found, Remedy, judge_found, judge_patched
from fleetbox_replication.wire import Part, RecordError

REMEMBERED = 10_000  # unreadable records watched at once; beyond it the oldest start anew

Bodies = Mapping[int, memoryview]


@dataclass(frozen=True, slots=True)
class Outcome:
    """Say what became of records.

    `pending` are not vouched for, for the reason in `status` and `message`; `at_once` means that another attempt may
    follow without a pause, `soon` that a pause may help. `passed` are errors the engine itself shall see.
    """

    pending: tuple[Part, ...] = ()
    passed: Mapping[int, RecordError] = field(default_factory=dict)
    status: int = 200
    message: str = ""
    at_once: bool = False
    soon: bool = False

    def __or__(self, other: Outcome) -> Outcome:
        reason = self if self.pending else other
        return Outcome(
            self.pending + other.pending,
            {**self.passed, **other.passed},
            reason.status,
            reason.message,
            self.at_once or other.at_once,
            self.soon or other.soon,
        )


def kept(part: Part, status: int, message: str, *, soon: bool = False) -> Outcome:
    """Return the outcome of a record that is not vouched for."""
    return Outcome((part,), status=status, message=message, soon=soon)


class Settler:
    """Apply the remedies; it remembers since when a record has been unreadable."""

    def __init__(self, there: Destination, counters: RelayCounters, monotonic_s: Callable[[], float]) -> None:
        self._there = there
        self._counters = counters
        self._monotonic_s = monotonic_s
        self._torn_since: dict[tuple[str, int], float] = {}

    async def settle(self, entry: Entry, parts: Iterable[Part], bodies: Bodies | None) -> Outcome:
        """Settle written records; without `bodies` what must be sent again stays pending."""
        return await _together(self._settle_one(entry, part, bodies) for part in parts)

    async def settle_patched(self, entry: Entry, parts: Iterable[Part]) -> Outcome:
        """Settle relabelled records: those that are absent or torn are passed back as 404, to be written whole."""
        return await _together(self._settle_patched(entry, part) for part in parts)

    async def _settle_one(self, entry: Entry, part: Part, bodies: Bodies | None) -> Outcome:
        found = await self._there.look(entry, part.time_us)
        remedy = judge_found(found, part, self._torn_s(entry, part, found), bodies is not None)
        try:
            if remedy is Remedy.COMPARE and bodies is not None:
                same = await self._there.same_bytes(entry, part.time_us, bodies[part.time_us])
                remedy = Remedy.RELABEL if same else Remedy.CONFLICT
            return await self._apply(remedy, entry, part, found, bodies is not None)
        except Cut as cut:
            return kept(part, 0, str(cut), soon=True)

    async def _apply(self, remedy: Remedy, entry: Entry, part: Part, found: Found, can_send: bool) -> Outcome:
        if remedy is Remedy.DONE:
            self._counters.counts["already"] += 1
            return Outcome()
        if remedy is Remedy.RELABEL:
            return await self._relabel(entry, part)
        if remedy is Remedy.REPLACE:
            return replace(await self._clear(entry, part, found), at_once=can_send)
        if remedy is Remedy.CONFLICT:
            return self._conflict(entry, part)
        soon = remedy is Remedy.WAIT or (remedy is Remedy.SEND and can_send)
        return kept(part, found.status, found.message or remedy.value, soon=soon)

    async def _settle_patched(self, entry: Entry, part: Part) -> Outcome:
        found = await self._there.look(entry, part.time_us)
        remedy = judge_patched(found, part, self._torn_s(entry, part, found))
        if remedy is Remedy.DONE:
            return Outcome()
        if remedy is Remedy.REPLACE:
            try:
                cleared = await self._clear(entry, part, found)
            except Cut as cut:
                return kept(part, 0, str(cut), soon=True)
            if cleared.status != 404:
                return cleared
            remedy = Remedy.PASS
        if remedy is Remedy.PASS:
            return Outcome(passed={part.time_us: RecordError(404, "not readable at the destination")})
        return kept(part, found.status, found.message or remedy.value, soon=remedy is Remedy.WAIT)

    async def _clear(self, entry: Entry, part: Part, found: Found) -> Outcome:
        """Delete what stands there; the outcome is 404 when it is gone."""
        if not await self._there.delete(entry, [part.time_us]):
            return kept(part, found.status, f"{found.message}; and it cannot be deleted there")
        self._torn_since.pop((entry.path, part.time_us), None)
        self._counters.healed["wrong" if found.status == 200 else "torn"] += 1
        return kept(part, 404, "deleted there, to be sent again")

    async def _relabel(self, entry: Entry, part: Part) -> Outcome:
        reply = await self._there.relabel(entry, [part])
        if reply.status != 200:
            return kept(part, reply.status, reply.message)
        self._counters.healed["labels"] += 1
        return Outcome()

    def _conflict(self, entry: Entry, part: Part) -> Outcome:
        """Let it through by name: the source keeps its record, the destination keeps the other, the entry goes on."""
        message = "another record stands at this time at the destination; both are kept where they are"
        self._counters.conflict(entry.bucket, entry.name, part.time_us, message)
        return Outcome(passed={part.time_us: RecordError(409, message)})

    def _torn_s(self, entry: Entry, part: Part, found: Found) -> float:
        key = (entry.path, part.time_us)
        if found.status not in (425, 500):
            self._torn_since.pop(key, None)
            return 0.0
        if len(self._torn_since) >= REMEMBERED:
            self._torn_since.pop(next(iter(self._torn_since)))
        return self._monotonic_s() - self._torn_since.setdefault(key, self._monotonic_s())


async def _together(work: Iterable[Coroutine[None, None, Outcome]]) -> Outcome:
    outcomes = await asyncio.gather(*work)
    return reduce(Outcome.__or__, outcomes, Outcome())

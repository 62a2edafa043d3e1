"""Write one batch held in memory: what is in doubt is looked at before it is sent again, and less is sent at once."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace

from fleetbox_replication.relay.answers import refused, sorted_by_error
from fleetbox_replication.relay.destination import Cut, Destination, Entry, Reply
from fleetbox_replication.relay.patience import Patience
from fleetbox_replication.relay.settling import Bodies, Outcome, Settler, joined
from fleetbox_replication.relay.vouching import Answer, judge_answer
from fleetbox_replication.wire import Part

SCOUTS = 2  # the first and the last record of a batch: when both are refused, the bucket is, and the link is spared
BROKEN = (408, 502, 504)  # a proxy gave up on what came through it: perhaps it was too much

Parts = tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Batch:
    """Hold the records of one entry and their bytes."""

    entry: Entry
    parts: Parts
    bodies: Bodies


class BatchWrite:
    """Remember between attempts which records may be sent and which must be looked at first.

    A batch that is refused whole is taken apart: halved where one record's labels or size may be at fault; for any
    other refusal two scouts go first, so that a full store is not asked for every record.
    """

    def __init__(
        self, there: Destination, settler: Settler, patience: Patience, batch: Batch, careful: bool = False
    ) -> None:
        self._there, self._settler, self._patience = there, settler, patience
        self._entry, self._bodies = batch.entry, batch.bodies
        known = patience.holds(batch.entry, batch.parts)  # the others were taken then: ask before sending them again
        self._to_send: Parts = () if known else batch.parts
        self._in_doubt: Parts = batch.parts if known else ()
        self._most = len(batch.parts)  # records a request; halved by every cut, so that a bad link makes progress
        self._careful = careful or known
        self._groups: deque[Parts] = deque()
        self._scouts = 0  # still to be answered
        self._turned_away = 0  # of them
        self._largest = -1  # bytes, of what was taken here

    async def attempt(self) -> Outcome:
        """Settle what is in doubt and send the rest; the next attempt goes on with what is pending."""
        outcome = await self._settle()
        self._line_up(self._to_send)
        back: Parts = ()
        go_on = True
        while self._groups and go_on:
            sent, go_on = await self._send(self._groups.popleft())
            back += sent.pending
            outcome |= sent
        left = back + tuple(part for group in self._groups for part in group)
        self._to_send = tuple(sorted(left, key=lambda part: part.time_us))
        return replace(outcome, pending=self._to_send + self._in_doubt)

    async def _settle(self) -> Outcome:
        settled = await self._settler.settle(self._entry, self._in_doubt, self._bodies)
        ready = {part.time_us for part in settled.ready}
        self._in_doubt = tuple(part for part in settled.pending if part.time_us not in ready)
        self._to_send = tuple(sorted(settled.ready + self._to_send, key=lambda part: part.time_us))
        if self._in_doubt:
            return replace(settled, ready=())
        return Outcome(passed=settled.passed, letters=settled.letters)

    def _line_up(self, parts: Parts) -> None:
        self._groups.clear()
        self._scouts = self._turned_away = 0
        if self._careful and len(parts) > SCOUTS:
            self._send_scouts(parts)
        else:
            self._groups.extend(_chunks(parts, self._most))

    def _send_scouts(self, parts: Parts) -> None:
        self._careful, self._scouts = True, SCOUTS
        self._groups.extendleft([*reversed(_chunks(parts[1:-1], self._most)), parts[-1:], parts[:1]])

    async def _send(self, group: Parts) -> tuple[Outcome, bool]:
        """Send a group; return what to send again, and whether the next group may follow."""
        scouting = self._scouts > 0 and len(group) == 1
        self._scouts -= scouting
        try:
            reply = await self._there.write(self._entry, group, [self._bodies[part.time_us] for part in group])
        except Cut as cut:
            return self._cut(group, str(cut)), False
        answer = judge_answer("POST", reply.status)
        if answer is Answer.READ:
            return self._read(reply, group), True
        if answer is Answer.AGAIN:
            return self._again(reply, group), False
        if answer is Answer.RENEW and self._there.renew(reply.token):
            return Outcome(group, status=reply.status, message=reply.message, ready=group), False
        if len(group) == 1:
            return self._refused(reply, group[0], scouting)
        self._take_apart(group, answer)
        return Outcome(), True

    def _read(self, reply: Reply, group: Parts) -> Outcome:
        found = sorted_by_error(reply, "POST", group)
        self._in_doubt += found.doubtful
        self._largest = max([self._largest, *(part.size for part in found.taken)])
        held = joined(
            self._settler.refused(self._entry, part, error.status, error.message, self._largest)
            for part, error in found.refused
        )
        self._patience.took(self._entry.bucket, found.taken)
        return held | Outcome(passed=found.passed, ready=found.doubtful)

    def _cut(self, group: Parts, message: str) -> Outcome:
        self._most = max(1, len(group) // 2)
        if len(group) == 1:
            outcome = self._settler.refused(self._entry, group[0], 0, message, self._largest)
            if outcome.letters:
                return outcome
        self._in_doubt += group
        return Outcome(status=0, message=message, soon=True)

    def _again(self, reply: Reply, group: Parts) -> Outcome:
        if reply.status in BROKEN:
            self._most = max(1, len(group) // 2)
        if len(group) == 1:
            return self._settler.refused(self._entry, group[0], reply.status, reply.message, self._largest)
        return refused(self._there, reply, "POST", group)

    def _refused(self, reply: Reply, part: Part, scouting: bool) -> tuple[Outcome, bool]:
        """Judge a record refused alone; the batch goes on unless every scout was turned away."""
        outcome = self._settler.refused(self._entry, part, reply.status, reply.message, self._largest)
        self._turned_away += scouting and bool(outcome.pending)
        return outcome, self._turned_away < SCOUTS

    def _take_apart(self, group: Parts, answer: Answer) -> None:
        if answer is not Answer.SPLIT and not self._careful and len(group) > SCOUTS:
            self._send_scouts(group)
        else:
            half = len(group) // 2
            self._groups.extendleft([group[half:], group[:half]])


def _chunks(parts: Parts, most: int) -> list[Parts]:
    return [parts[start : start + most] for start in range(0, len(parts), max(1, most))]

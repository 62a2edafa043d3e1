"""Write one batch held in memory: what is in doubt is looked at before it is sent again, and less is sent at once."""

from __future__ import annotations

from dataclasses import replace

from fleetbox_replication.relay.answers import refused, sorted_by_error
from fleetbox_replication.relay.destination import Cut, Destination, Entry, Reply
from fleetbox_replication.relay.settling import Bodies, Outcome, Settler
from fleetbox_replication.relay.vouching import Answer, judge_answer
from fleetbox_replication.wire import Part


class BatchWrite:
    """Remember between attempts which records may be sent and which must be looked at first."""

    def __init__(
        self, there: Destination, settler: Settler, entry: Entry, parts: tuple[Part, ...], bodies: Bodies
    ) -> None:
        self._there = there
        self._settler = settler
        self._entry = entry
        self._bodies = bodies
        self._to_send = parts
        self._in_doubt: tuple[Part, ...] = ()
        self._most = len(parts)  # records a request; halved by every cut, so that a bad link makes progress

    async def attempt(self) -> Outcome:
        """Settle what is in doubt and send the rest; the next attempt goes on with what is pending."""
        outcome = await self._settle()
        back: tuple[Part, ...] = ()
        go_on = True
        while self._to_send and go_on:
            group, self._to_send = self._to_send[: self._most], self._to_send[self._most :]
            sent, go_on = await self._send(group)
            back += sent.pending
            outcome |= sent
        self._to_send = back + self._to_send
        return replace(outcome, pending=self._to_send + self._in_doubt)

    async def _settle(self) -> Outcome:
        settled = await self._settler.settle(self._entry, self._in_doubt, self._bodies)
        ready = {part.time_us for part in settled.ready}
        self._in_doubt = tuple(part for part in settled.pending if part.time_us not in ready)
        self._to_send = tuple(sorted(settled.ready + self._to_send, key=lambda part: part.time_us))
        return replace(settled, ready=()) if self._in_doubt else Outcome(passed=settled.passed)

    async def _send(self, group: tuple[Part, ...]) -> tuple[Outcome, bool]:
        """Send a group; return what to send again, and whether the next group may follow."""
        try:
            reply = await self._there.write(self._entry, group, [self._bodies[part.time_us] for part in group])
        except Cut as cut:
            self._most = max(1, len(group) // 2)
            self._in_doubt += group
            return Outcome(status=0, message=str(cut), soon=True), False
        answer = judge_answer("POST", reply.status)
        if answer is Answer.READ:
            return self._read(reply, group), True
        if answer is Answer.SPLIT and len(group) > 1:
            self._most = len(group) // 2
            self._to_send = group + self._to_send
            return Outcome(), True
        return refused(self._there, reply, "POST", group), answer is Answer.SPLIT  # one bad record spares the others

    def _read(self, reply: Reply, group: tuple[Part, ...]) -> Outcome:
        doubtful, outcome = sorted_by_error(reply, "POST", group)
        self._in_doubt += doubtful
        return replace(outcome, ready=doubtful)

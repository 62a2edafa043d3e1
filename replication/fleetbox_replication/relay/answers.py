"""Read the destination's answer to a batch: what it refuses, what it has doubts about, what the engine shall see."""

from __future__ import annotations

from collections.abc import Sequence

from fleetbox_replication.relay.destination import Destination, Reply
from fleetbox_replication.relay.settling import Outcome
from fleetbox_replication.relay.vouching import Answer, Remedy, judge_answer, judge_error
from fleetbox_replication.wire import Part, errors_of


def refused(there: Destination, reply: Reply, method: str, parts: tuple[Part, ...]) -> Outcome:
    """Return the outcome of a request that was refused as a whole; a 401 has the token read again."""
    answer = judge_answer(method, reply.status)
    renewed = answer is Answer.RENEW and there.renew()
    return Outcome(parts, {}, reply.status, reply.message, parts if renewed else (), soon=answer is Answer.AGAIN)


def sorted_by_error(reply: Reply, method: str, parts: Sequence[Part]) -> tuple[tuple[Part, ...], Outcome]:
    """Return the records to look at, and the outcome of those that are refused or passed back."""
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

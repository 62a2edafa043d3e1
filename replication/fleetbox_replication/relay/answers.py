"""Read the destination's answer to a batch: what it refuses, what it has doubts about, what the engine shall see."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fleetbox_replication.relay.destination import Destination, Reply
from fleetbox_replication.relay.settling import Outcome
from fleetbox_replication.relay.vouching import Answer, Remedy, judge_answer, judge_error
from fleetbox_replication.wire import Part, RecordError, errors_of


@dataclass(frozen=True, slots=True)
class Sorted:
    """Part a batch by what the destination said of each record inside its success."""

    taken: tuple[Part, ...]
    doubtful: tuple[Part, ...]
    refused: tuple[tuple[Part, RecordError], ...]
    passed: Mapping[int, RecordError]


def refused(there: Destination, reply: Reply, method: str, parts: tuple[Part, ...]) -> Outcome:
    """Return the outcome of a request that was refused as a whole; a 401 has the token read again."""
    answer = judge_answer(method, reply.status)
    renewed = answer is Answer.RENEW and there.renew(reply.token)
    return Outcome(parts, {}, reply.status, reply.message, parts if renewed else (), soon=answer is Answer.AGAIN)


def sorted_by_error(reply: Reply, method: str, parts: Sequence[Part]) -> Sorted:
    """Return the records to look at, those refused, and those passed back to the engine."""
    errors = errors_of(reply.headers)
    remedies = {
        part.time_us: judge_error(method, errors[part.time_us].status) for part in parts if part.time_us in errors
    }

    def chosen(remedy: Remedy) -> tuple[Part, ...]:
        return tuple(part for part in parts if remedies.get(part.time_us) is remedy)

    return Sorted(
        tuple(part for part in parts if part.time_us not in remedies),
        chosen(Remedy.WAIT),
        tuple((part, errors[part.time_us]) for part in chosen(Remedy.KEEP)),
        {part.time_us: errors[part.time_us] for part in chosen(Remedy.PASS)},
    )

"""How often the reconciler looks, and how long it leaves a minute to the task before it looks itself."""

from __future__ import annotations

from dataclasses import dataclass

from fleetbox.ledger import MINUTE_US


@dataclass(frozen=True, slots=True)
class Rhythm:
    """Hold the reconciler's times in s."""

    look_s: float = 5.0  # a look costs two small requests; the engine itself takes ten seconds after each trouble
    grace_s: float = 60.0  # the destination tells of a record within 20 s, the engine tries again after 10 s
    stalled_s: float = 60.0  # a task that has sent nothing for so long is not busy with its backlog
    again_s: float = 60.0  # after the first look at a minute that stays open; doubled each time
    longest_s: float = 600.0  # between two looks at it
    hops_s: float = 60.0  # tasks are listed again: somebody may have added one
    letters_s: float = 30.0  # half of what an operator is promised after the cause of a refusal is gone
    ledger_s: float = 120.0  # pages are in no page's count; they are compared one by one, on this side alone
    far_s: float = 60.0  # the destination's pages while nothing is open: what vanished there shows within two minutes
    waiting_far_s: float = 20.0  # and while a minute waits for them
    sweep_s: float = 15.0  # after a sweep that was refused: half-written records there are healed after 60 s
    watch_s: float = 60.0  # after a break: a request of before it ends with the engine's own limit for one, 30 s
    start_s: float = 300.0  # the destination's uptime: 700 bytes; killed, it may have lost what it had taken
    whole_s: float = 900.0  # the destination's oldest records: an entry that was wiped there is noticed by them
    sample_s: float = 300.0  # one record proven long ago is looked at: 700 bytes
    payloads: int = 12  # each so-manieth sample is read at both ends: one an hour
    waiting_s: float = 600.0  # a minute that waits longer than this is told so in the ledger


@dataclass(frozen=True, slots=True)
class Flow:
    """Say how a task moves: what it has pending, when something of its bucket last arrived, how far a stream is."""

    pending: int
    still_s: float | None  # since anything of the bucket arrived; None when nothing has since we began
    reached_us: int


def is_due(minute_us: int, age_s: float, flow: Flow, rhythm: Rhythm) -> bool:
    """Tell whether an open minute is to be looked at now, or left to a task that is still sending.

    A task works through its backlog in order, so what it has passed by and not brought in ten graces is looked at even
    while it is busy; before that a copy would only send the same bytes twice.
    """
    if age_s < rhythm.grace_s:
        return False
    if flow.pending == 0 or flow.still_s is None or flow.still_s > rhythm.stalled_s:
        return True
    return flow.reached_us >= minute_us + MINUTE_US and age_s >= 10 * rhythm.grace_s

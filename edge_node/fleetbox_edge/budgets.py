"""Judge what a policy costs against its budget: fine, to be rolled back, or its triggers to be muted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from fleetbox.settings.policy import Budget

DAY_US = 86_400_000_000
SHORTEST_US = 60_000_000  # µs; a pace is told over a minute at least: bytes are counted by the minute
GOES_ON = "marks, pulls and what always travels go on"


@dataclass(frozen=True, slots=True)
class Costs:
    """Hold what was spent: bytes selected within 24 h, and since the policy came in force.

    `cpu` is the share of one core as a mean of the last minute, None before one has passed.
    """

    day_bytes: int
    since_bytes: int
    cpu: float | None = None


@dataclass(frozen=True, slots=True)
class Term:
    """Say how long a policy has been in force (µs), and whether there is something to return to if it fails."""

    held_us: int
    can_return: bool


@dataclass(frozen=True, slots=True)
class Ruling:
    """Say what follows, and why."""

    what: Literal["fine", "roll back", "mute"]
    reason: str = ""
    by_cpu: bool = False


def judge(budget: Budget, costs: Costs, term: Term) -> Ruling:
    """Return what follows from what a policy costs.

    While it is on trial a breach rolls it back, unless it keeps to the budget itself and the bytes are those of what
    held before: then, and later, triggers are muted.
    """
    on_trial = term.can_return and term.held_us <= budget.trial
    if budget.cpu is not None and costs.cpu is not None and costs.cpu > budget.cpu:
        reason = f"budget: {costs.cpu:.0%} of a core over the last minute, {budget.cpu:.0%} allowed"
        return Ruling("roll back" if on_trial else "mute", reason, by_cpu=True)
    if budget.bytes_per_day is None or costs.day_bytes <= budget.bytes_per_day:
        return Ruling("fine")
    reason = f"budget: {_size(costs.day_bytes)} selected within 24 h, {_size(budget.bytes_per_day)} allowed"
    pace = costs.since_bytes * DAY_US / max(term.held_us, SHORTEST_US)
    return Ruling("roll back" if on_trial and pace > budget.bytes_per_day else "mute", reason)


def _size(size_bytes: int) -> str:
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size_bytes >= factor:
            return f"{size_bytes / factor:.3g} {unit}"
    return f"{size_bytes} B"

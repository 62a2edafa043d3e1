"""What a policy costs leads to the right ruling: nothing, a return to what held before, or silence."""

from __future__ import annotations

import pytest

from fleetbox.settings.policy import Budget
from fleetbox_edge.budgets import Costs, Term, judge

MINUTE_US, HOUR_US = 60_000_000, 3_600_000_000
BUDGET = Budget.model_validate({"bytes_per_day": "1 GB", "cpu": "15 %", "trial": "30m"})
FRESH, OLD, OWN = Term(5 * MINUTE_US, True), Term(2 * HOUR_US, True), Term(5 * MINUTE_US, False)


@pytest.mark.parametrize(
    ("costs", "term", "what"),
    [
        (Costs(10**9, 10**9, 0.15), FRESH, "fine"),
        (Costs(10**9, 10**9, None), OLD, "fine"),
        (Costs(10**9 + 1, 10**9 + 1), FRESH, "roll back"),
        (Costs(10**9 + 1, 10**9 + 1), OLD, "mute"),
        (Costs(10**9 + 1, 10**9 + 1), OWN, "mute"),
        (Costs(5 * 10**9, 1_000), FRESH, "mute"),  # the bytes are those of what held before
        (Costs(5 * 10**9, 10**8), FRESH, "roll back"),  # 100 MB in 5 min is 29 GB a day
        (Costs(0, 0, 0.16), FRESH, "roll back"),
        (Costs(0, 0, 0.16), OLD, "mute"),
        (Costs(0, 0, 0.16), OWN, "mute"),
    ],
)
def test_a_breach_leads_to_its_ruling(costs: Costs, term: Term, what: str) -> None:
    """On trial a policy that breaks its budget itself goes; anything else mutes triggers."""
    assert judge(BUDGET, costs, term).what == what


def test_reasons_say_what_was_spent_and_what_is_allowed() -> None:
    """A person reads both figures."""
    assert judge(BUDGET, Costs(0, 0, 0.234), FRESH).reason == (
        "budget: 23% of a core over the last minute, 15% allowed"
    )
    assert judge(BUDGET, Costs(1_234_567_890, 0), OLD).reason == ("budget: 1.23 GB selected within 24 h, 1 GB allowed")


def test_no_budget_is_no_bound() -> None:
    """A policy that says nothing of costs may cost anything."""
    assert judge(Budget(), Costs(10**15, 10**15, 8.0), FRESH).what == "fine"

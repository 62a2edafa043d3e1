"""What a rollout does by itself follows from what its robots answered."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fleetbox_cloud.desk.deciding import decide, taken_later
from fleetbox_cloud.desk.rollouts import Rollout
from fleetbox_cloud.desk.standing import Stand, Standing

ROLLOUT = Rollout("one", "{}", "9f3a", "shift", 3, "ada", 1, ("r1", "r2", "r3"), stages=(50, 100), auto_us=60_000_000)
ALL = [Standing("r1", "applied"), Standing("r2", "applied")]


def test_it_goes_on_when_all_applied_and_it_has_held() -> None:
    """Not before the time, and not without a word that it may."""
    assert decide(ROLLOUT, ALL, 60_000_000).what == "go on"
    assert decide(ROLLOUT, ALL, 59_999_999).what == "wait"
    assert decide(replace(ROLLOUT, auto_us=None), ALL, 10**12).what == "wait"


def test_who_has_not_answered_is_waited_for_by_name() -> None:
    """An offline robot does not halt a rollout, it holds it up, and is named."""
    decision = decide(ROLLOUT, [ALL[0], Standing("r2", "pending")], 10**12)
    assert decision.what == "wait"
    assert "r2 did not answer yet" in decision.why


@pytest.mark.parametrize("state", ["failed", "refused", "rolled back", "expired"])
def test_one_bad_answer_halts_it_with_the_reason(state: Stand) -> None:
    """At once, whatever others said and however long it held."""
    decision = decide(ROLLOUT, [ALL[0], Standing("r2", state, "21 % of a core")], 0)
    assert (decision.what, decision.why) == ("halt", f"stage 1 of 2: r2 {state} (21 % of a core)")


def test_a_sentence_names_three() -> None:
    """Of forty that fail, three are named and the others counted."""
    decision = decide(ROLLOUT, [Standing(f"r{n}", "failed") for n in range(40)], 0)
    assert decision.why.endswith("r2 failed; and 37 more")


def test_robots_that_a_later_rollout_reached_are_left_out() -> None:
    """They would refuse the older one; those a later one only means to reach still take it."""
    later = replace(ROLLOUT, id="two", begun_us=2, robots=("r3", "r2", "r9"), stages=(1, 100))
    assert taken_later(ROLLOUT, [ROLLOUT, later]) == {"r3"}
    assert taken_later(later, [ROLLOUT, later]) == frozenset()

"""How a robot stands: from the newest order for it, its answers, and what it says it follows."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fleetbox.blobs import EntryInfo
from fleetbox.orders import Answer, Order, State
from fleetbox.policies import Followed
from fleetbox_cloud.cli.policy_showing import show_status
from fleetbox_cloud.desk.applying import Standings
from fleetbox_cloud.desk.rollouts import Rollout
from fleetbox_cloud.desk.standing import Known, Stand, Standing, judge, last_heard, summary

NOW_US = 1_800_000_000_000_000
ROLLOUT = Rollout("new", "{}", "9f3a", "shift", 3, "ada", NOW_US - 20, ("r1", "r2"), stages=(50, 100))
ORDER = Order("new", "r1", "policy", {}, "ada", NOW_US - 10_000_000, NOW_US + 10)
OLD = Order("old", "r1", "policy", {}, "ada", NOW_US - 90_000_000)
BEFORE = Followed("r1", "aaaa", 'name = "own"\nversion = 2', NOW_US - 100_000_000)


def answer(state: State, order: str = "new", time_us: int = NOW_US, **more: str) -> Answer:
    """Make an answer to an order of a policy."""
    return Answer(order, "r1", "policy", state, time_us, more.get("reason", ""), more.get("policy", ""))


def known(*answers: Answer, orders: tuple[Order, ...] = (OLD, ORDER), heard_us: int = NOW_US) -> Known:
    """Make what a site knows of a robot."""
    return Known("r1", orders, answers, BEFORE, heard_us)


@pytest.mark.parametrize(
    ("said", "stands"),
    [("applied", "applied"), ("failed", "failed"), ("refused", "refused"), ("expired", "expired"),
     ("rolled back", "rolled back"), ("marked", "failed")],
)  # fmt: skip
def test_an_answer_is_the_last_word(said: State, stands: Stand) -> None:
    """With its reason; an answer that makes no sense here is no success."""
    found = judge(known(answer("applied", "old", NOW_US - 5), answer(said, reason="why")), [ROLLOUT], NOW_US)
    assert (found.state, found.reason, found.wanted, found.order) == (stands, "why", "9f3a", "new")


@pytest.mark.parametrize("order", ["new", ""])
def test_a_robot_that_rolls_back_by_itself_is_believed(order: str) -> None:
    """What it says later counts, whether it names the order or not."""
    later = answer("rolled back", order, NOW_US + 1, reason="21 % of a core", policy="aaaa")
    found = judge(known(answer("applied", policy="9f3a"), later), [ROLLOUT], NOW_US)
    assert (found.state, found.reason, found.policy) == ("rolled back", "21 % of a core", "aaaa")


@pytest.mark.parametrize(
    ("said", "muted"),
    [
        ((), ""),
        ((("muted", 1, "9 GB today"),), "9 GB today"),
        ((("muted", 1, "9 GB today"), ("unmuted", 2, "")), ""),
        ((("unmuted", 2, ""), ("muted", 3, "21 % of a core"), ("muted", 1, "9 GB today")), "21 % of a core"),
    ],
)
def test_muted_triggers_are_told_beside_the_state(said: tuple[tuple[State, int, str], ...], muted: str) -> None:
    """A policy that was applied and then costs too much stays applied; why its triggers are silent is told."""
    later = [answer(state, "", NOW_US + at, reason=why, policy="9f3a") for state, at, why in said]
    found = judge(known(answer("applied", policy="9f3a"), *later), [ROLLOUT], NOW_US + 5)
    assert (found.state, found.reason, found.muted) == ("applied", "", muted)
    assert found.as_dict()["muted"] == muted


def test_the_table_says_who_is_muted(capsys: pytest.CaptureFixture[str]) -> None:
    """With the reason beside the robot, and in the sum."""
    found = Standing("r1", "applied", policy="9f3a", muted="9 GB today", heard_us=NOW_US)
    show_status(Standings("edge", (found, replace(found, robot="r2", muted="")), ()))
    table = capsys.readouterr().out
    assert "triggers muted: 9 GB today" in table
    assert "2 applied; triggers muted on 1 robot (r1)" in table


def test_an_event_answered_is_no_word_about_a_policy() -> None:
    """Orders share their stream of answers."""
    other = replace(answer("marked", "new"), kind="event")
    assert judge(known(other), [ROLLOUT], NOW_US).state == "pending"


def test_a_robot_that_did_not_answer_is_pending_and_says_after_what() -> None:
    """On its way; not fetched though it is online; offline since it was last heard."""
    fresh = judge(known(), [ROLLOUT], NOW_US)
    assert (fresh.state, fresh.reason, fresh.offline) == ("pending", "on its way", False)
    old = replace(ORDER, issued_us=NOW_US - 60_000_000)
    assert "fleetbox site run" in judge(known(orders=(old,)), [ROLLOUT], NOW_US).reason
    away = judge(known(heard_us=NOW_US - 3_600_000_000), [ROLLOUT], NOW_US)
    assert (away.offline, away.as_dict()["offline_since_us"]) == (True, NOW_US - 3_600_000_000)
    assert away.reason.startswith("offline")


def test_an_order_nobody_fetched_in_time_is_expired() -> None:
    """It is not pending for ever."""
    assert judge(known(), [ROLLOUT], NOW_US + 10).state == "expired"


def test_a_robot_whose_stage_has_not_come_is_pending() -> None:
    """Whatever it answered to older orders, and with the reason of a halted rollout."""
    halted = replace(ROLLOUT, robots=("r2", "r1"), state="halted", reason="r2 failed")
    found = judge(known(answer("applied", "old"), orders=(OLD,)), [halted], NOW_US)
    assert (found.state, found.wanted) == ("pending", "9f3a")
    assert found.reason == "its turn is stage 2 of 2; the rollout is halted: r2 failed"


def test_a_robot_nobody_asked_follows_its_own() -> None:
    """It says which policy that is, by name, version and hash, and since when."""
    found = judge(known(orders=()), [], NOW_US)
    assert (found.state, found.policy, found.name, found.version) == ("own", "aaaa", "own", 2)
    assert found.since_us == BEFORE.time_us


def test_the_newer_of_answer_and_policy_record_tells_what_it_follows() -> None:
    """The two travel apart."""
    found = judge(known(answer("applied", policy="9f3a")), [ROLLOUT], NOW_US)
    assert (found.policy, found.since_us, found.name) == ("9f3a", NOW_US, "")
    told = replace(known(answer("applied", policy="9f3a")), follows=replace(BEFORE, hash="9f3a", time_us=NOW_US - 1))
    assert judge(told, [ROLLOUT], NOW_US).since_us == NOW_US - 1


def test_only_the_robots_own_entries_tell_when_it_was_heard() -> None:
    """A site's pages about a robot that is away do not make it seem there."""
    entries = [
        EntryInfo("ledger", 1, 1, 1, 0, 50),
        EntryInfo("ledger/edge", 1, 1, 1, 0, 99),
        EntryInfo("answers", 0, 0, 0, 0, 70),
    ]
    assert last_heard(entries) == 50
    assert last_heard([]) == 0


def test_a_summary_counts_by_state() -> None:
    """Each robot once."""
    found = [judge(known(), [ROLLOUT], NOW_US), judge(known(answer("applied")), [ROLLOUT], NOW_US)]
    assert summary(found) == {"pending": 1, "applied": 1}

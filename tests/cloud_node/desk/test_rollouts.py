"""Stages of a rollout: how many robots, which ones, and what its revisions add up to."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as some

from fleetbox.errors import InputError
from fleetbox_cloud.desk.rollouts import Rollout, check_stages, decode, encode, fold, turn_order


def rollout(robots: int = 50, **changed: object) -> Rollout:
    """Make a rollout to so many robots."""
    names = tuple(f"r{number}" for number in range(robots))
    base = Rollout("one", "{}", "9f3a12bc", "shift", 3, "ada", 1_000_000, names)
    return base.next(**changed)


@pytest.mark.parametrize(
    ("robots", "sizes"), [(1, [1, 1, 1]), (2, [1, 1, 2]), (50, [1, 5, 50]), (2000, [20, 200, 2000])]
)
def test_a_stage_has_its_percent_and_at_least_one(robots: int, sizes: list[int]) -> None:
    """1, 10 and 100 percent; the first robots stay in every later stage."""
    one = rollout(robots)
    assert [len(one.upto(stage)) for stage in range(3)] == sizes
    assert one.upto(2)[: sizes[1]] == one.upto(1)


def test_a_stage_that_reaches_nobody_more_is_passed_over() -> None:
    """Of two robots one and ten percent are the same one; a single robot has it at once."""
    assert rollout(2).next_stage == 2
    assert rollout(50).next_stage == 1
    assert rollout(1).is_last


@given(some.integers(1, 300), some.sets(some.integers(1, 99), max_size=4))
def test_every_robot_has_one_turn(robots: int, percents: set[int]) -> None:
    """Whatever the stages, each robot's stage is the first that reaches it, and the last reaches all."""
    one = rollout(robots, stages=(*sorted(percents), 100))
    assert one.upto(len(one.stages) - 1) == one.robots
    for robot in one.robots:
        stage = one.stage_of(robot)
        assert robot in one.upto(stage)
        assert stage == 0 or robot not in one.upto(stage - 1)


@pytest.mark.parametrize("stages", [(), (10,), (10, 5, 100), (10, 10, 100), (0, 100), (50, 120)])
def test_stages_rise_to_all(stages: tuple[int, ...]) -> None:
    """A row that does not rise to 100 percent is refused."""
    with pytest.raises(InputError, match="rises to 100"):
        check_stages(stages)


def test_turns_are_the_same_each_time_and_offline_robots_come_last() -> None:
    """The order follows from policy and robots alone; another policy begins elsewhere; canaries are online."""
    robots = [f"r{number}" for number in range(40)]
    order = turn_order(robots, "9f3a")
    assert order == turn_order(reversed(robots), "9f3a")
    assert order != turn_order(robots, "b71c")
    assert sorted(order) == sorted(robots)
    first = turn_order(robots, "9f3a", online=["r7", "r8"])[:2]
    assert set(first) == {"r7", "r8"}


def test_the_newest_revision_stands() -> None:
    """Revisions fold by number, whoever wrote them and whatever the clock said; a rollout is read back as written."""
    first = rollout()
    second = first.next(stage=1)
    assert fold([(5, second), (9, first)]) == [second]
    both = [second.next(stage=2), second.next(state="halted")]
    assert fold([(7, both[1]), (6, both[0])])[0].stage == 2, "of two at once the one further on is what robots know"
    assert decode(encode(second)) == second


def test_a_foreign_record_is_no_rollout() -> None:
    """Bytes that are none raise, with their number."""
    with pytest.raises(InputError, match="4 bytes are no rollout"):
        decode(b"null")

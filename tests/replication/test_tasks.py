"""Tasks derived from route and policy."""

from __future__ import annotations

import pytest

from fleetbox.blobs import TaskInfo
from fleetbox.errors import InputError
from fleetbox.naming import CLASSES
from fleetbox.settings import HopRule, Place, Uplink
from fleetbox_replication.plan import plan
from fleetbox_replication.tasks import engine_glob, is_ours, parse_name, wanted_tasks

ROBOT = Place("r1", "robot", "http://127.0.0.1:1", "t", "http://127.0.0.1:2", "edge-1")
EDGE = Place("edge-1", "edge", "http://127.0.0.1:3", "t", "http://127.0.0.1:4", "cloud")


def test_a_robot_has_one_task_per_class() -> None:
    """At a robot a task is named by class and site and writes into the robot's own bucket there."""
    tasks = wanted_tasks(ROBOT, ["r1"], HopRule(), "s")
    assert {task.name for task in tasks} == {f"{cls}-to-edge-1" for cls in CLASSES}
    assert {(task.src_bucket, task.dst_bucket) for task in tasks} == {(cls, f"r1--{cls}") for cls in CLASSES}
    assert {(task.dst_url, task.dst_token) for task in tasks} == {("http://127.0.0.1:2", "s")}


def test_an_edge_has_one_task_per_robot_and_class_with_its_own_filter() -> None:
    """An edge site asks for keep=1, per robot, and skips what the hop rule names, but never meta or kept."""
    tasks = {task.name: task for task in wanted_tasks(EDGE, ["r1", "r2"], HopRule(skip=("cam/**",)), "s")}
    assert len(tasks) == 2 * len(CLASSES)
    media = tasks["r2--media-to-cloud"]
    assert (media.src_bucket, media.dst_bucket) == ("r2--media", "r2--media")
    assert media.entries == ("*", "!cam/**")
    assert media.when == {"$has": "keep", "&keep": {"$eq": 1}}
    assert tasks["r1--meta-to-cloud"].entries == ("*",)


def test_the_last_place_has_no_tasks() -> None:
    """A cloud passes nothing on."""
    assert wanted_tasks(Place("cloud", "cloud", "http://x", "t"), ["r1"], HopRule(), "s") == []


def test_a_hop_without_a_relay_is_refused() -> None:
    """A task straight to a site would lose records in silence, so it is never derived."""
    with pytest.raises(InputError, match="names no relay"):
        wanted_tasks(Place("r1", "robot", "http://x", "t", None, "edge-1"), ["r1"], HopRule(), "s")


@pytest.mark.parametrize("glob", ["cam*", "*", "*cam*", "cam/?", "cam/[ab]"])
def test_globs_that_mean_more_to_the_engine_are_refused(glob: str) -> None:
    """A glob that the engine would read more widely than we do would skip streams nobody named."""
    with pytest.raises(InputError, match="cannot skip"):
        engine_glob(glob)


@pytest.mark.parametrize("glob", ["cam/*", "cam*/**", "*_raw", "cam/front"])
def test_globs_that_mean_the_same_pass(glob: str) -> None:
    """A glob that both read alike goes into the task as it is."""
    assert engine_glob(glob) == glob


def test_names_are_read_back() -> None:
    """A task's name says robot, class and site, also when names hold dashes."""
    name = parse_name("wh-1_b--sensor-to-edge-to-1")
    assert name is not None
    assert (name.robot, name.cls, name.site) == ("wh-1_b", "sensor", "edge-to-1")
    assert str(name) == "wh-1_b--sensor-to-edge-to-1"
    assert parse_name("backup") is None
    assert all(is_ours(task) for task in [*wanted_tasks(ROBOT, ["r1"], HopRule(), ""),
                                          *wanted_tasks(EDGE, ["r1"], HopRule(), "")])  # fmt: skip


def test_wanted_minus_nothing_creates_everything() -> None:
    """Against an empty store the plan creates every task, in order of names."""
    changes = plan("r1", wanted_tasks(ROBOT, ["r1"], HopRule(), ""), [])
    assert [change.action for change in changes] == ["create"] * len(CLASSES)
    assert [change.task for change in changes] == sorted(change.task for change in changes)


def test_who_does_not_know_the_uplink_leaves_batches_as_they_are() -> None:
    """Small batches that the agent asked for are right for a command line without robot.toml, not for the agent."""
    capped = wanted_tasks(ROBOT, ["r1"], HopRule(), "s", Uplink(max="8 Mbit/s"))
    there = [TaskInfo(spec, True, 0, False, "enabled", 0, 0, {}) for spec in capped]
    assert {change.action for change in plan("r1", wanted_tasks(ROBOT, ["r1"], HopRule(), "s"), there)} == {"keep"}
    freed = plan("r1", wanted_tasks(ROBOT, ["r1"], HopRule(), "s", Uplink()), there)
    assert {change.task: change.action for change in freed}["media-to-edge-1"] == "update"

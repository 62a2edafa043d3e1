"""Raise events from the command line, now and in the past, and wait until they have arrived."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time

import pytest

from fleetbox.errors import Incomplete, InputError, NotFound
from fleetbox.events import Event
from fleetbox.settings import find_fleet
from fleetbox_edge.awaiting import Patience, arrived
from fleetbox_edge.globs import check_glob
from fleetbox_edge.marking import MarkOrder, cut_lines, mark
from fleetbox_edge.recorder import Recorder

from .conftest import Robot


def fleetbox(robot: Robot, *words: str) -> subprocess.CompletedProcess[str]:
    """Run the command line as this robot."""
    env = {**os.environ, "FLEETBOX_FLEET": str(robot.file)}
    return subprocess.run(
        [sys.executable, "-m", "fleetbox", *words], capture_output=True, text=True, env=env, timeout=120
    )


def test_mark_and_wait(robot: Robot) -> None:
    """`mark --wait` returns once the window's records are labelled, and counts them."""
    robot.write(policy='[event.default]\npre = "300s"\npost = "0s"\n')
    with Recorder(robot.file) as recorder:
        for number in range(10):
            recorder.log("log/app", f"line {number}")
        recorder.flush(60)
        done = fleetbox(robot, "mark", "near_miss", "--note", "seen by hand", "--wait", "--json")
        assert done.returncode == 0, done.stderr
        answer = json.loads(done.stdout)
    assert (answer["state"], answer["labelled"], answer["robot"]) == ("labelled", {"log/app": 10}, robot.id)
    assert all(record.labels["keep"] == "1" for record in robot.records("log", "log/app"))


def test_waiting_for_a_window_with_nothing_in_it_is_not_a_success(robot: Robot) -> None:
    """`mark --wait` exits 3 as `pull` does; an event that is to ship nothing is no failure."""
    with Recorder(robot.file) as recorder:
        recorder.log("log/app", "line")
        recorder.flush(60)
        words = ("mark", "near_miss", "--pre", "1s", "--post", "0s", "--streams", "cam/*", "--wait", "--json")
        told = fleetbox(robot, *words)
        assert (told.returncode, json.loads(told.stdout)["state"]) == (3, "labelled"), told.stderr
        assert fleetbox(robot, *words, "--to", "robot").returncode == 0


def test_a_window_older_than_the_ring(robot: Robot) -> None:
    """A mark that reaches back before the ring's beginning says per stream how much is left."""
    with Recorder(robot.file) as recorder:
        recorder.log("log/app", "line", time=time.time_ns() // 1000 - 4_000_000)
        recorder.flush(60)
        done = fleetbox(robot, "mark", "near_miss", "--pre", "300s", "--streams", "log/**")
    assert done.returncode == 0, done.stderr
    assert "log/app: the ring begins at" in done.stderr
    assert "of the 5.0 min before the moment are left" in done.stderr
    assert done.stdout.startswith("near-miss-")


def test_wrong_marks_say_what_to_do(robot: Robot) -> None:
    """A kind that is no name, a time that is none, an unknown robot and a store without meta explain themselves."""
    cases = {
        ("mark", "hard brake"): (2, "event kind"),
        ("mark", "x", "--at", "yesterday"): (2, "time 'yesterday'"),
        ("mark", "x", "--robot", "r99"): (1, "r99"),
        ("mark", "x"): (1, "fleetbox agent run"),
    }
    for words, (code, text) in cases.items():
        done = fleetbox(robot, *words)
        assert done.returncode == code, (words, done.stderr)
        assert text in done.stderr


@pytest.mark.parametrize(
    ("order", "text"),
    [
        (MarkOrder("x", at=""), "time ''"),
        (MarkOrder("x", at="-99999d"), "1970"),
        (MarkOrder("x", at="99999999999999999999999"), "9999"),
        (MarkOrder("x", at="now+1h"), "60 min ahead"),
        (MarkOrder("x", pre="301s"), "the 300 s an event may keep"),
        (MarkOrder("x", post="3m"), "the 120 s an event may keep"),
        (MarkOrder("x", streams=("**", "cam/[z-a]")), "'cam/[z-a]' can match no stream"),
    ],
)
def test_an_order_beyond_the_limits_is_refused(robot: Robot, order: MarkOrder, text: str) -> None:
    """No such time, a future one, a window longer than a policy may ask for, no glob: usage errors, nothing written."""
    with pytest.raises(InputError) as refused:
        mark(find_fleet(robot.file), order, print)
    assert text in str(refused.value)
    assert refused.value.exit_code == 2


def test_an_unknown_event_is_no_moment(robot: Robot) -> None:
    """`--at event:nope-10s` says which events there are, here none."""
    with pytest.raises(NotFound, match="event 'nope' is not known"):
        mark(find_fleet(robot.file), MarkOrder("x", at="event:nope-10s"), print)


def test_a_moment_named_by_an_event(robot: Robot) -> None:
    """`--at event:ID-10s` marks ten seconds before that event's moment; the beginning of its id is enough."""
    with Recorder(robot.file) as recorder:
        recorder.flush(60)
        first = json.loads(fleetbox(robot, "mark", "near_miss", "--at", "-60s", "--json").stdout)
        done = fleetbox(robot, "mark", "before", "--at", f"event:{first['id'][:-2]}-10s", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["time_us"] == first["time_us"] - 10_000_000


def test_streams_that_are_not_there_are_said(robot: Robot) -> None:
    """A glob that matches no stream is said on stderr with what there is; the mark stands, as the stream may come."""
    with Recorder(robot.file) as recorder:
        recorder.log("log/app", "line")
        recorder.flush(60)
        done = fleetbox(robot, "mark", "near_miss", "--streams", "nope/*", "--streams", "log/*")
    assert (done.returncode, done.stdout[:10]) == (0, "near-miss-"), done.stderr
    assert "matches 'nope/*'" in done.stderr
    assert "it has log/app" in done.stderr
    assert "'log/*'" not in done.stderr


def test_nobody_labels(robot: Robot) -> None:
    """Without an agent, a waiting mark first asks whether one runs, then gives up: the event stands."""
    with Recorder(robot.file) as recorder:
        recorder.log("log/app", "line")
        recorder.flush(60)
    told: list[str] = []
    order = MarkOrder("near_miss", at="-10m", wait=True)
    with pytest.raises(Incomplete, match="is marked, but nobody labelled"):
        mark(find_fleet(robot.file), order, told.append, Patience(poll_s=0.05, doubt_s=0.2, label_s=0.5))
    assert sum("nobody labels: is the agent running? fleetbox doctor" in text for text in told) == 1
    assert len(robot.records("meta", "events")) == 1


def test_nothing_arrives(robot: Robot) -> None:
    """A site that gets no further record ends the wait with how many are there, instead of never."""
    robot.write(f'site = "{robot.url}"\nsite_token = {{ file = "token" }}')
    event = Event("x-1", "x", robot.id, 5, 1, 9, state="labelled", labelled={"log/app": 3})
    told: list[str] = []
    with pytest.raises(Incomplete, match="x-1: 0 of 3 records at edge, none more for"):
        asyncio.run(arrived(find_fleet(robot.file), event, told.append, Patience(poll_s=0.05, still_s=0.3)))
    assert told == ["0 of 3 records at edge"]


def test_a_window_outside_the_ring_is_one_sentence() -> None:
    """Streams that tell the same are named together; more than five are counted."""
    event = Event("x-1", "x", "r1", 100_000_000, 90_000_000, 105_000_000)
    gone = cut_lines(event, {f"s{number}": 200_000_000 + number for number in range(7)})
    assert len(gone) == 1
    assert gone[0].startswith("s0, s1, s2, s3, s4 and 2 more: the ring begins at")
    assert gone[0].endswith("or later: nothing of the window is left")
    (part,) = cut_lines(event, {"a": 96_000_000, "b": 96_000_000})
    assert part.startswith("a, b: ")
    assert "4.0 s of the 10 s before the moment are left" in part
    assert cut_lines(event, {}) == []


@pytest.mark.parametrize("glob", ["", "/cam", "cam/", "a//b", "cam/[", "cam/[z-a]", "cam front", "r1:ax"])
def test_a_glob_that_can_match_nothing_is_refused(glob: str) -> None:
    """What no stream name can ever match is a usage error, before anything is written."""
    with pytest.raises(InputError, match="can match no stream"):
        check_glob(glob)


@pytest.mark.parametrize("glob", ["**", "cam/*", "*/front", "log/**", "cam/[fr]*", "imu", "a?/b_c-1"])
def test_a_usable_glob_passes(glob: str) -> None:
    """Every form that the grammar knows passes as it is."""
    assert check_glob(glob) == glob

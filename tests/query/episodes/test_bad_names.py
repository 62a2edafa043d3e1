"""Bad input to the verbs of episodes: names and selectors that are empty or of nothing, times that end too early."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from fleetbox_query.fleet import Fleet

from ..conftest import Tiers, chunk
from ..test_cli import run

T0 = 1_760_000_000_000_000  # µs
SECOND = 1_000_000
NEW = ("--start", str(T0), "--stop", str(T0 + SECOND))
VERBS = {
    "ls": (),
    "show": (),
    "label": ("--note", "x"),
    "split": ("--into", "a=0.5"),
    "merge": ("--into", "m"),
    "drop": ("--yes",),
    "restore": (),
    "features": (),
    "pin": (),
    "unpin": (),
}
Ask = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def ask(tiers: Tiers, fleet: Fleet, tmp_path: Path) -> Ask:
    """Say `fleetbox episode` where a robot has a stream and one episode, named after it, whose note is empty."""
    tiers.put("edge", "sensor", [chunk("imu", [T0], {"ax": [1.0]}, robot=tiers.robot)])
    tiers.put("edge", "meta", [chunk("ledger", [T0], {"n": [0]}, robot=tiers.robot)])  # so that there is a bucket
    fleet.new_episode(f"{tiers.robot}/one", tiers.robot, T0, T0 + SECOND, streams=["imu"])
    settings = tiers.write_fleet(tmp_path)
    return lambda *words: run(settings, "episode", *words)


@pytest.mark.parametrize("verb", VERBS)
def test_a_name_that_is_empty(ask: Ask, fleet: Fleet, tiers: Tiers, verb: str) -> None:
    """A shell's variable that is not set means none of them, though every id begins with it: nothing is changed."""
    done = ask(verb, "", *VERBS[verb])
    assert done.returncode == 2, done.stdout
    assert "an episode's name is empty" in done.stderr
    (one,) = fleet.episodes(f"{tiers.robot}/*").list()
    assert (one.version, one.note, one.pinned) == (1, "", {})


@pytest.mark.parametrize("verb", VERBS)
def test_a_name_of_nothing(ask: Ask, tiers: Tiers, verb: str) -> None:
    """The one that is nearly called so is offered."""
    done = ask(verb, f"{tiers.robot}/on", *VERBS[verb])
    assert done.returncode == 1, done.stdout
    assert f"{tiers.robot}/one" in done.stderr


def test_a_selector_that_is_empty(ask: Ask) -> None:
    """An episode of everything is written with a star."""
    done = ask("new", "two", "", *NEW)
    assert done.returncode == 2, done.stdout
    assert "a selector is empty" in done.stderr


def test_a_stream_that_is_not_there(ask: Ask, tiers: Tiers) -> None:
    """It may come yet, so the episode is made; what was probably meant is said."""
    done = ask("new", f"{tiers.robot}/two", f"{tiers.robot}/im", f"{tiers.robot}/imu", *NEW)
    assert done.returncode == 0, done.stderr
    assert f"no stream matches {tiers.robot}/im so far: did you mean {tiers.robot}/imu?" in done.stderr
    assert f"{tiers.robot}/imu so far" not in done.stderr


@pytest.mark.parametrize("stop", [T0, T0 - SECOND], ids=["no length", "reversed"])
def test_a_time_that_ends_before_it_starts(ask: Ask, fleet: Fleet, tiers: Tiers, stop: int) -> None:
    """No episode is made."""
    done = ask("new", f"{tiers.robot}/two", f"{tiers.robot}/imu", "--start", str(T0), "--stop", str(stop))
    assert done.returncode == 2, done.stdout
    assert "ends before it starts" in done.stderr
    assert len(fleet.episodes(f"{tiers.robot}/*").list()) == 1


def test_a_cut_outside(ask: Ask, tiers: Tiers) -> None:
    """An episode is not cut where it has nothing."""
    done = ask("split", f"{tiers.robot}/one", "--at", str(T0 + 9 * SECOND))
    assert done.returncode == 2, done.stdout
    assert "cannot be cut where it has nothing" in done.stderr


def test_events_of_no_such_kind(ask: Ask) -> None:
    """No episode is made of them, and where to see them is said."""
    done = ask("new", "two", "--events", "nosuch")
    assert done.returncode in (1, 2), done.stdout
    assert "event" in done.stderr

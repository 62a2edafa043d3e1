"""What a question says of itself in a notebook: one line, nothing of how it is held."""

from __future__ import annotations

from pathlib import Path

import pytest

import fleetbox as fb
from fleetbox_query.fleet import Fleet


@pytest.fixture
def offline(tmp_path: Path) -> Fleet:
    """A fleet that nothing is asked of."""
    (tmp_path / "fleet.toml").write_text(
        'fleet = "yard"\n[site.edge-1]\nstore = "http://127.0.0.1:1"\ntoken = { env = "TOKEN_OF_NOBODY" }\n'
        '[[robots]]\nmatch = "r*"\nsite = "edge-1"\n'
    )
    return fb.connect(tmp_path / "fleet.toml")


def test_a_fleet_names_its_places(offline: Fleet) -> None:
    """Its name and its places, not where the settings lie."""
    assert repr(offline) == "Fleet(yard: edge-1)"


def test_a_selection_says_streams_times_and_conditions(offline: Fleet) -> None:
    """In the words it was asked in."""
    chosen = offline.select("r1/imu:ax", "r1/joints").between("2026-11-21T13:30:00Z", "event:x+5s")
    text = repr(chosen.where("ax > 5").where(site="a").tier("edge"))
    assert text == (
        "Selection(r1/imu:ax, r1/joints, from 2026-11-21T13:30:00.000000Z, to event:x+5s, "
        "where ax > 5 and site='a', tier edge)"
    )


def test_events_say_kind_robots_and_margins(offline: Fleet) -> None:
    """Alone, and as what a selection lies around."""
    brakes = offline.events("hard_brake")
    assert repr(brakes) == "Events(events hard_brake of *)"
    around = brakes.select("imu", pre="5s", post="2s")
    assert repr(around) == "Selection(*/imu, around events hard_brake of *, pre 5.0 s, post 2.0 s)"


def test_episodes_say_names_and_success(offline: Fleet) -> None:
    """Alone, and as what a selection takes."""
    picks = offline.episodes("picks/*").where("success")
    assert repr(picks) == "Episodes(episodes picks/* of *, where success)"
    assert repr(picks.select("imu")) == "Selection(*/imu, of episodes picks/* of *, where success)"

"""Scratch fleets for the fault matrix: tests whose scenarios ask for the same one share it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from fleetbox_local.drill.catalog import SCENARIOS
from fleetbox_local.drill.outcome import Outcome
from fleetbox_local.drill.scenario import Scenario
from fleetbox_local.drill.session import Session

A_MINUTE = frozenset({"answer-422"})  # what a refusal tears is written again once it is dead for sure
TWICE = frozenset({"resets"})  # `make test` resets links in whole_path/test_storm.py and relay/test_relay_faults.py


def cases(group: str) -> list[Any]:
    """Return a group's scenarios as parameters; those that are not quick belong to the full matrix only."""
    return [
        pytest.param(
            one, id=one.name, marks=[] if one.quick and one.name not in A_MINUTE | TWICE else [pytest.mark.faults]
        )
        for one in SCENARIOS
        if one.group == group
    ]


@pytest.fixture(scope="session")
def drill(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    """One drill for all tests; a scene in which something went wrong is not used again."""
    with Session(tmp_path_factory.mktemp("drill"), print) as session:  # shown when a test fails
        yield session


def play(drill: Session, scenario: Scenario) -> Outcome:
    """Play a scenario; nothing may be missing, wrong or unexplained at its end."""
    outcome = drill.play(scenario)
    if outcome.skipped:
        pytest.skip(outcome.skipped)
    assert outcome.faults == ()
    assert outcome.promised >= scenario.before + scenario.during
    return outcome

"""Resets, black holes and bad links between the robot and the edge lose nothing."""

from __future__ import annotations

import pytest

from fleetbox_local.drill.scenario import Scenario
from fleetbox_local.drill.session import Session

from .conftest import cases, play


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("scenario", cases("network"))
def test_network(drill: Session, scenario: Scenario) -> None:
    """Resets, black holes and bad links between the robot and the edge lose nothing, record by record."""
    play(drill, scenario)

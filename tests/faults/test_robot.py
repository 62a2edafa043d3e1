"""The robot's own troubles: a full disk, a clock that is set, equal times, a ring that is too small."""

from __future__ import annotations

import pytest

from fleetbox_local.drill.scenario import Scenario
from fleetbox_local.drill.session import Session

from .conftest import cases, play


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("scenario", cases("robot"))
def test_robot(drill: Session, scenario: Scenario) -> None:
    """A full disk, a clock that is set, equal times and a small ring lose nothing in silence, record by record."""
    play(drill, scenario)

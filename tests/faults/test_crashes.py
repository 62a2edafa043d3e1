"""Stores, agents and programs ended with SIGKILL, one by one and together, lose nothing."""

from __future__ import annotations

import pytest

from fleetbox_local.drill.scenario import Scenario
from fleetbox_local.drill.session import Session

from .conftest import cases, play


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("scenario", cases("crashes"))
def test_crashes(drill: Session, scenario: Scenario) -> None:
    """Stores, agents and programs ended with SIGKILL, one by one and together, lose nothing, record by record."""
    play(drill, scenario)

"""Statuses that make the engine drop a batch for good: behind the relay nothing is dropped."""

from __future__ import annotations

import pytest

from fleetbox_local.drill.scenario import Scenario
from fleetbox_local.drill.session import Session

from .conftest import cases, play


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("scenario", cases("answers"))
def test_answers(drill: Session, scenario: Scenario) -> None:
    """Statuses that make the engine drop a batch for good: behind the relay nothing is dropped, record by record."""
    play(drill, scenario)

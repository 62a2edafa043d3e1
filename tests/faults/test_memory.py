"""Replication logs deleted, corrupted or overflowed: what the engine forgot is found and brought."""

from __future__ import annotations

import pytest

from fleetbox_local.drill.scenario import Scenario
from fleetbox_local.drill.session import Session

from .conftest import cases, play


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("scenario", cases("memory"))
def test_memory(drill: Session, scenario: Scenario) -> None:
    """What the engine forgot to send is found and brought, record by record."""
    play(drill, scenario)

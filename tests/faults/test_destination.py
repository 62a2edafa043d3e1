"""Full, closed or gone: whatever the destination refuses arrives once it takes records again."""

from __future__ import annotations

import pytest

from fleetbox_local.drill.scenario import Scenario
from fleetbox_local.drill.session import Session

from .conftest import cases, play


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("scenario", cases("destination"))
def test_destination(drill: Session, scenario: Scenario) -> None:
    """Full, closed or gone: whatever the destination refuses arrives once it takes records again, record by record."""
    play(drill, scenario)

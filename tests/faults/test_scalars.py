"""An InfluxDB that was away for the whole run has every point afterwards."""

from __future__ import annotations

import pytest

from fleetbox_local.drill.scenario import Scenario
from fleetbox_local.drill.session import Session

from .conftest import cases, play


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("scenario", cases("scalars"))
def test_scalars(drill: Session, scenario: Scenario) -> None:
    """An InfluxDB that was away for the whole run has every point afterwards, record by record."""
    play(drill, scenario)

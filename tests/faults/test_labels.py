"""Labels patched by strangers, marks at once, records and attachments from before their task."""

from __future__ import annotations

import pytest

from fleetbox_local.drill.scenario import Scenario
from fleetbox_local.drill.session import Session

from .conftest import cases, play


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("scenario", cases("labels"))
def test_labels(drill: Session, scenario: Scenario) -> None:
    """Labels patched by strangers, marks at once, records and attachments from before their task, record by record."""
    play(drill, scenario)

"""Health tells of a place's own faults, not of other places' outages."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fleetbox_local.containers.health import agent_fault, site_fault, stuck
from fleetbox_local.ports import free_port

DONE = {"state": "done", "why": None}


@pytest.mark.parametrize(
    ("parts", "well"),
    [
        ({"provision": DONE, "ledger": {"state": "running", "why": None}}, True),
        ({"provision": DONE, "relay": {"state": "waiting", "why": "cloud is away"}}, True),
        ({"provision": DONE, "ledger": {"state": "waiting", "why": "disk"}}, False),
        ({"provision": {"state": "waiting", "why": "no store"}}, False),
        ({}, False),
    ],
)
def test_parts_decide(parts: dict[str, dict[str, str | None]], well: bool) -> None:
    """A part that waits for another place is no fault; one that fails by itself is named."""
    fault = stuck(parts)
    assert (fault is None) == well
    if "ledger" in parts and not well:
        assert "disk" in str(fault)


def test_a_dead_process_is_a_fault(tmp_path: Path) -> None:
    """No relay, no door, or no file that says where the door is."""
    assert "does not answer" in str(agent_fault({"ROBOT_RELAY_PORT": str(free_port())}))
    assert "does not answer" in str(site_fault(tmp_path))
    (tmp_path / "site.json").write_text(json.dumps({"url": f"http://127.0.0.1:{free_port()}"}))
    assert "does not answer" in str(site_fault(tmp_path))

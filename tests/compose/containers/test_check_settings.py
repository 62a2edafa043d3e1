"""What makes no sense in .env is told by name, with what is right, before anything starts on it."""

from __future__ import annotations

from pathlib import Path

import pytest

from fleetbox_local.containers.check_settings import faults
from fleetbox_local.containers.first_start import main


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("ROBOT_STORE_PORT", "83830", "a number from 1 to 65535"),
        ("EDGE_STORE_PORT", "http://edge", "a number from 1 to 65535"),
        ("SITE_URL", "edge.example:8443", "http:// or https://"),
        ("SITE_URL", "https://edge.example:port", "http:// or https://"),
        ("CLOUD_URL", "https://", "http:// or https://"),
        ("EDGE_HOST", "https://edge.example", "a name or an address alone"),
        ("CLOUD_TLS", "acme", "e-mail address"),
        ("ROBOT", "r--1", "without '--'"),
        ("SITE_NAME", "the edge", "letter or digit"),
    ],
)
def test_each_fault_is_named(name: str, value: str, said: str) -> None:
    """The sentence holds the variable, its value and what it should be."""
    (fault,) = faults({name: value, "HOME": "/", "GRAFANA_URL": "of somebody else"})
    assert fault.startswith(f"{name}={value}: ")
    assert said in fault


def test_two_of_one_machine_need_two_ports() -> None:
    """A port that two would listen on is told with both names."""
    (fault,) = faults({"EDGE_STORE_PORT": "8390", "EDGE_RELAY_PORT": "8390"})
    assert "EDGE_STORE_PORT" in fault
    assert "EDGE_RELAY_PORT" in fault


def test_what_makes_sense_passes() -> None:
    """The defaults, addresses of the two families, and a public certificate are no faults."""
    good = {"ROBOT": "r1", "ROBOT_STORE_PORT": "8383", "SITE_NAME": "edge", "SITE_URL": "https://edge.example:8443/"}
    good |= {"EDGE_HOST": "10.0.0.5", "EDGE_TLS": "ops@example.org", "CLOUD_HOST": "[::1]", "CLOUD_TLS": "internal"}
    assert faults(good) == []


def test_nothing_is_made_on_wrong_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first start ends with 2, all faults and the next step; no secret is made."""
    monkeypatch.setenv("ROBOT_STORE_PORT", "none")
    monkeypatch.setenv("ROBOT", "r-")
    assert main(["tokens", str(tmp_path), "store"]) == 2
    told = capsys.readouterr().err
    assert "ROBOT=r-" in told
    assert "ROBOT_STORE_PORT=none" in told
    assert "correct it in .env" in told
    assert not list(tmp_path.iterdir())

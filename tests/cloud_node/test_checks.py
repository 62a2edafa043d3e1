"""Checks: what a site's report means to a person."""

from __future__ import annotations

from typing import Any

from fleetbox_cloud.checks import judge


def a_report(**changed: Any) -> dict[str, Any]:
    """Return the report of a healthy site, with changes."""
    counts = {"chunks": 2, "points": 100, "values": 200, "refused:nan": 7}
    loader = {"influx": "http://i", "running": True, "trouble": None, "robots": {"r1": counts}, **changed}
    return {"parts": {"loader": {"state": "running", "failures": 0, "why": None}}, "loader": loader}


def verdicts(report: dict[str, Any]) -> list[str]:
    """Return the verdicts in order."""
    return [check.verdict for check in judge("edge-1", report)]


def test_a_healthy_site_passes() -> None:
    """All parts running and nothing but NaN refused is a PASS."""
    assert verdicts(a_report()) == ["PASS", "PASS"]


def test_refused_points_are_a_warning() -> None:
    """Points that InfluxDB refused for good are named by reason and counted."""
    report = a_report(robots={"r1": {"points": 5, "refused:type": 1200}, "r2": {"refused:type": 1, "chunks": 1}})
    warning = judge("edge-1", report)[1]
    assert warning.verdict == "WARN"
    assert "1,201 type" in warning.text


def test_trouble_is_a_failure_with_a_next_step() -> None:
    """Numbers that wait fail the check, with the reason and what to type."""
    failure = judge("edge-1", a_report(trouble="nothing answers"))[1]
    assert failure.verdict == "FAIL"
    assert "nothing answers" in failure.text
    assert failure.next_step


def test_a_waiting_part_is_a_failure() -> None:
    """A part that could not run is named with its reason; a site without InfluxDB has no loader to judge."""
    report = a_report() | {"loader": None, "parts": {"relay": {"state": "waiting", "failures": 3, "why": "port taken"}}}
    checks = judge("edge-1", report)
    assert [check.verdict for check in checks] == ["FAIL"]
    assert "port taken" in checks[0].text

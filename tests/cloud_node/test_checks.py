"""Checks: what a site's report means to a person."""

from __future__ import annotations

from typing import Any

from fleetbox_cloud.checks import judge
from fleetbox_cloud.showing import tables_of, troubles_of


def a_report(**changed: Any) -> dict[str, Any]:
    """Return the report of a healthy site, with changes to its loader's."""
    counts = {"chunks": 2, "points": 100, "values": 200, "refused:nan": 7}
    checks = {"trouble": None, "away": False, "done": {"hour": {"at_us": 1, "values": 200, "repaired": 0, "short": 0}}}
    loader = {"influx": "http://i", "running": True, "trouble": None, "robots": {"r1": counts}}
    loader |= {"refused": [], "short": [], "checks": checks, **changed}
    return {"parts": {"loader": {"state": "running", "failures": 0, "why": None}}, "loader": loader}


def a_short(reason: str, n: int = 1200) -> dict[str, Any]:
    """Return what the books say of a stream that stays short."""
    return {"robot": "r1", "stream": "imu", "reason": reason, "n": n, "minutes": 2, "first_us": 1, "last_us": 2}


def verdicts(report: dict[str, Any]) -> list[str]:
    """Return the verdicts in order."""
    return [check.verdict for check in judge("edge-1", report)]


def test_a_healthy_site_passes() -> None:
    """All parts running, nothing but NaN refused and nothing lost is a PASS."""
    assert verdicts(a_report()) == ["PASS", "PASS", "PASS"]


def test_refused_points_are_a_warning() -> None:
    """Points that InfluxDB refused for good are named by reason and counted, the worst stream with what helps."""
    refused = [
        {"robot": "r1", "stream": "gps", "reason": "nan", "n": 9, "next_step": "nothing"},
        {"robot": "r1", "stream": "imu", "reason": "type", "n": 5, "next_step": "rename it"},
    ]
    robots = {"r1": {"points": 5, "refused:type": 1200}, "r2": {"refused:type": 1, "chunks": 1}}
    warning = judge("edge-1", a_report(robots=robots, refused=refused))[1]
    assert warning.verdict == "WARN"
    assert "1,201 type (most: r1/imu type)" in warning.text
    assert warning.next_step == "rename it"


def test_trouble_is_a_failure_with_a_next_step() -> None:
    """Numbers that wait fail the check, with the reason and what to type."""
    failure = judge("edge-1", a_report(trouble="nothing answers"))[1]
    assert failure.verdict == "FAIL"
    assert "nothing answers" in failure.text
    assert failure.next_step


def test_an_influxdb_that_is_away_fails_although_no_chunk_comes() -> None:
    """When only the checks have noticed that nothing answers, that is the failure, said once."""
    checks = judge("edge-1", a_report(checks={"trouble": "nothing answers", "away": True, "done": {}}))
    assert [check.verdict for check in checks] == ["PASS", "FAIL"]
    assert "nothing answers" in checks[1].text


def test_what_cannot_be_compared_is_a_warning() -> None:
    """A token that may not read stops no loading, but is said."""
    warning = judge("edge-1", a_report(checks={"trouble": "401", "away": False, "done": {}}))[-1]
    assert (warning.verdict, warning.name) == ("WARN", "numbers")
    assert "401" in warning.text


def test_lost_values_are_named() -> None:
    """Values that stay away although written again are a failure, those without a chunk a warning; the worst named."""
    failure = judge("edge-1", a_report(short=[a_short("no chunk"), a_short("unexplained")]))[-1]
    assert (failure.verdict, failure.name) == ("FAIL", "numbers")
    assert "1,200 values" in failure.text
    assert "r1/imu" in failure.text
    warning = judge("edge-1", a_report(short=[a_short("no chunk")]))[-1]
    assert (warning.verdict, bool(warning.next_step)) == ("WARN", True)


def test_before_the_first_comparison_nothing_is_claimed() -> None:
    """A site that has just started says nothing about what InfluxDB holds."""
    report = a_report(checks={"trouble": None, "away": False, "done": {}})
    assert [check.name for check in judge("edge-1", report)] == ["site", "loader"]


def test_a_waiting_part_is_a_failure() -> None:
    """A part that could not run is named with its reason; a site without InfluxDB has no loader to judge."""
    report = a_report() | {"loader": None, "parts": {"relay": {"state": "waiting", "failures": 3, "why": "port taken"}}}
    checks = judge("edge-1", report)
    assert [check.verdict for check in checks] == ["FAIL"]
    assert "port taken" in checks[0].text


def test_every_count_has_its_table() -> None:
    """Counts, refusals, missing values and checks are laid out, what is empty is left out, trouble stands apart."""
    refused = {
        "robot": "r1",
        "stream": "imu",
        "reason": "type",
        "n": 5,
        "first_us": 1,
        "message": "m",
        "next_step": "s",
    }
    whole = a_report(refused=[refused], short=[a_short("no chunk")], trouble="away")["loader"]
    assert [len(rows) for rows, _ in tables_of(whole)] == [4, 1, 1, 1]
    assert all(column in row for rows, columns in tables_of(whole)[:3] for row in rows for column in columns)
    assert troubles_of(whole) == ["loader: away"]
    waiting = a_report(robots={}, checks=None)["loader"]
    assert (tables_of(waiting), troubles_of(waiting)) == ([], [])

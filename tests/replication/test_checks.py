"""The verdicts on hops, from what was measured."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from fleetbox.blobs import TaskInfo, TaskSpec
from fleetbox.settings import Place
from fleetbox_replication.checks import judge
from fleetbox_replication.status import HopStatus, Lag, PlaceStatus, furthest_behind

PLACE = Place("edge-1", "edge", "http://127.0.0.1:1", "t", "http://127.0.0.1:2", "cloud")
SPEC = TaskSpec("r1--media-to-cloud", "r1--media", "r1--media", "http://127.0.0.1:2", "")
TASK = TaskInfo(SPEC, active=True, pending=0, provisioned=False, mode="enabled", ok=1, errored=0, errors={})
FULL = {"bucket": "r1--media", "status": 507, "message": "disk full", "count": 16, "active": True, "next_step": "free"}


def _verdicts(status: PlaceStatus, wrong: int = 0, robot: str | None = None) -> dict[str, str]:
    return {check.name: check.verdict for check in judge(PLACE, status, wrong, robot)}


def _status(lag: Lag, refused: list[dict[str, Any]] | None = None, mode: str = "enabled") -> PlaceStatus:
    return PlaceStatus("edge-1", (HopStatus("edge-1", replace(TASK, mode=mode), lag),), {"refused": refused or []})


@pytest.mark.parametrize(("lag_s", "verdict"), [(0.0, "PASS"), (29.0, "PASS"), (31.0, "WARN")])
def test_a_hop_that_is_behind_is_a_warning(lag_s: float, verdict: str) -> None:
    """A few seconds are ordinary, half a minute is worth a look."""
    assert _verdicts(_status(Lag(lag_s, 3, "cam/front"))) == {"hop": verdict}


def test_wrong_tasks_and_a_paused_one_are_said() -> None:
    """What the plan would change fails; what somebody paused is a warning however little waits."""
    assert _verdicts(_status(Lag(0.0, 0), mode="paused"), wrong=2) == {"tasks": "FAIL", "hop": "WARN"}


def test_a_refusal_names_its_reason_and_its_next_step() -> None:
    """An active refusal of the destination fails with code, count and what to do; a past one is history."""
    checks = judge(PLACE, _status(Lag(5.0, 16, "cam/front"), [FULL, {**FULL, "active": False}]), 0, None)
    (refused,) = [check for check in checks if check.name == "refused"]
    assert (refused.verdict, refused.next_step) == ("FAIL", "free")
    assert "507" in refused.text
    assert "16 times" in refused.text


def test_one_robots_checks_leave_out_the_others() -> None:
    """Asked about r2, the trouble of r1's buckets is not shown."""
    assert _verdicts(_status(Lag(99.0, 16, "cam/front"), [FULL]), robot="r2") == {"hop": "PASS"}


def test_a_silent_relay_fails_only_where_it_could_be_asked() -> None:
    """A relay on another machine listens there only: from here its silence means nothing."""
    status = replace(_status(Lag(0.0, 0)), relay=None, relay_error="relay does not answer")
    assert _verdicts(status)["relay"] == "FAIL"
    far = replace(PLACE, url="http://edge-1.local:8383")
    assert [check.name for check in judge(far, status, 0, None)] == ["hop"]


def test_a_filter_that_drops_in_silence_is_a_warning() -> None:
    """Whoever made the task: an unguarded label in it is said."""
    assert _verdicts(replace(_status(Lag(0.0, 0)), faults=("task x: &a has no $has",))) == {
        "hop": "PASS",
        "filter": "WARN",
    }


def test_lag_is_the_age_of_the_oldest_that_waits() -> None:
    """The stream whose record has waited longest gives the figure; nothing waiting is no lag."""
    assert furthest_behind({}, 10) == Lag(0.0, 0)
    waiting = {"imu": [7_000_000, 8_000_000], "cam": [5_000_000]}
    assert furthest_behind(waiting, 10_000_000) == Lag(5.0, 3, "cam")


def test_dead_letters_are_named_per_bucket_and_status() -> None:
    """Records a destination would not take fail with their number and reason; other robots' are left out."""
    group = {"bucket": "r1--media", "entry": "cam/front", "status": 413, "message": "too large", "letters": 3}
    groups = [group, {**group, "entry": "cam/left", "letters": 4}, {**group, "bucket": "r2--media"}]
    status = replace(_status(Lag(0.0, 0)), relay={"refused": [], "dead_letters": {"open": 10, "groups": groups}})
    (check,) = [check for check in judge(PLACE, status, 0, None) if check.name == "dead letters"]
    assert check.verdict == "FAIL"
    assert check.text == "cloud would not take 7 records of r1--media (413): too large"
    assert check.next_step == "fleetbox replicate dead-letters"

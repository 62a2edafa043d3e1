"""Checks: doctor tells streams that still arrive from those that stopped."""

from __future__ import annotations

import asyncio
from pathlib import Path

from fleetbox.blobs import EntryInfo
from fleetbox.settings import Place, load_fleet, parse_policy
from fleetbox_query.checks import SILENT_US, judge, newest, streams
from fleetbox_query.inventory import Holding

from .conftest import Tiers, blob

NOW = 1_760_000_000_000_000  # µs


def test_young_silent_and_missing_streams_are_judged() -> None:
    """All young is PASS; one silent, all silent or none at all is WARN with a command that helps."""
    assert judge("r1", {"imu": NOW - 1_000_000, "cam": NOW}, NOW).verdict == "PASS"
    one = judge("r1", {"imu": NOW - SILENT_US - 240_000_000, "cam": NOW}, NOW)
    assert (one.verdict, one.next_step) == ("WARN", "fleetbox get r1/imu --at now")
    assert "imu for 5" in one.text
    assert "all 1 streams" in judge("r1", {"imu": 0}, NOW).text
    assert judge("r1", {}, NOW).verdict == "WARN"


def test_what_the_policy_lets_be_silent_is_no_cause_for_a_warning() -> None:
    """A ring in memory, a video, a thumbnail every two minutes: all old by right; the camera itself is not."""
    policy = parse_policy(
        """
        [stream.force]
        ring = "ram 20 s"
        [stream."cam/*"]
        preview = { every = "1s" }
        thumbnail = { every = "2min" }
        """
    )
    old = NOW - 2 * SILENT_US
    quiet = {"force": old, "cam/a/video": old, "cam/a/thumbnail": old}
    assert judge("r1", {**quiet, "imu": NOW, "cam/a": NOW, "cam/a/preview": NOW}, NOW, policy).verdict == "PASS"
    assert (
        judge("r1", {**quiet, "imu": NOW, "cam/a/preview": old}, NOW, policy).phrase == "cam/a/preview silent 2.0 min"
    )
    assert "all 1 streams" in judge("r1", {**quiet, "imu": old}, NOW, policy).text
    assert judge("r1", {"force": old}, NOW, policy).verdict == "PASS"


def test_the_robots_own_store_is_judged_first() -> None:
    """A stream is as young as the robot's own store has it; sites count only where that is out of reach."""
    own = Holding(Place("r1", "robot", "http://r", ""), "r1", "log", EntryInfo("a", 1, 1, 1, 0, 70))
    site = Holding(Place("edge-1", "edge", "http://e", ""), "r1", "log", EntryInfo("a", 1, 1, 1, 0, 50))
    assert newest([site, own]) == {"a": 70}
    assert newest([site]) == {"a": 50}


def test_streams_are_judged_from_what_answers(tiers: Tiers, tmp_path: Path) -> None:
    """With the robot's store out of reach its streams are judged by what the sites have."""
    settings = load_fleet(tiers.write_fleet(tmp_path, urls={"robot": "http://127.0.0.1:9"}))
    tiers.put("edge", "log", [blob("lines", NOW, b"x", kind="log")])
    (check,) = asyncio.run(streams(settings, tiers.robot, lambda: NOW + 1_000_000))
    assert (check.verdict, check.subject, check.phrase) == ("PASS", tiers.robot, "1 streams")
    (check,) = asyncio.run(streams(settings, tiers.robot, lambda: NOW + 10 * SILENT_US))
    assert check.verdict == "WARN"

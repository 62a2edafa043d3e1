"""Foretell for one robot how long its rings hold, when they and the disk are full, and what that does to what waits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from fleetbox.checks import Check, Verdict
from fleetbox.time import show_duration
from fleetbox_edge.horizon import Ring, hours_held, hours_to_floor, hours_to_full

HOUR_US = 3_600_000_000
HALF = 0.5  # of what the ring holds: as much time is left to mend the link as it has been away
NEARLY = 0.9  # of it: the guard copies by now, and `kept` is smaller than the rings
FLOOR_H = 24.0  # a day to free disk space, or to bring the rings down
KEPT_FULL = 0.8  # of its quota: the next outage may not fit


@dataclass(frozen=True, slots=True)
class RingOutlook:
    """Say how one ring stands: `span_h` it holds now, `holds_h` when full at this rate, `full_h` until it turns.

    `holds_h` and `full_h` are None for a ring that is not written or has no quota. `oldest_us` is the time in µs of
    the oldest record that its site is not proven to hold, None when there is none or nobody knows.
    """

    size_bytes: int
    quota_bytes: int
    rate_bytes_s: float
    span_h: float
    holds_h: float | None
    full_h: float | None
    oldest_us: int | None = None


@dataclass(frozen=True, slots=True)
class Forecast:
    """Hold the outlook of a robot's rings (by class), of its disk and of `kept`, as of a time in µs.

    `spare_bytes` of disk are left above the floor, `floor_h` hours until they are used up (None: never); both are
    None where the disk was not seen. `at_risk` and `full` are the guard's.
    """

    robot: str
    at_us: int
    rings: Mapping[str, RingOutlook]
    spare_bytes: int | None = None
    floor_h: float | None = None
    kept_bytes: int = 0
    kept_quota_bytes: int = 0
    saved: int = 0
    at_risk: int = 0
    full: str | None = None


@dataclass(frozen=True, slots=True)
class Seen:
    """Hold what a forecast is made from: rings and rates by class, and what else is known."""

    robot: str
    at_us: int
    rings: Mapping[str, Ring]
    rates: Mapping[str, float]
    oldest_us: Mapping[str, int] = field(default_factory=dict)
    kept: Ring = field(default_factory=lambda: Ring(0))
    spare_bytes: int | None = None


def forecast(seen: Seen, *, saved: int = 0, at_risk: int = 0, full: str | None = None) -> Forecast:
    """Return the outlook by what was seen."""
    rings = {cls: _outlook(ring, seen.rates[cls], seen.oldest_us.get(cls)) for cls, ring in seen.rings.items()}
    floor_h = None
    if seen.spare_bytes is not None:
        floor_h = hours_to_floor([(ring, seen.rates[cls]) for cls, ring in seen.rings.items()], seen.spare_bytes)
    return Forecast(
        seen.robot, seen.at_us, rings, seen.spare_bytes, floor_h,
        seen.kept.size_bytes, seen.kept.quota_bytes, saved, at_risk, full,
    )  # fmt: skip


def judge(seen: Forecast, now_us: int) -> list[Check]:
    """Return one check: the worst that a forecast says, or how long the rings hold."""
    checks = [*_kept(seen), *_undelivered(seen, now_us), *_disk(seen)]
    return checks or [Check("PASS", "ring", seen.robot, _shown(seen))]


def _kept(seen: Forecast) -> list[Check]:
    if seen.at_risk:
        why = seen.full or "other records stand in their place in kept"
        text = f"{seen.at_risk} promoted records will be overwritten before their site has them: {why}"
        step = "bring the link back, or raise `ring.kept` in robot.toml and start the agent again"
        return [Check("FAIL", "ring", seen.robot, text, "promoted records at risk", step)]
    if seen.kept_quota_bytes and seen.kept_bytes >= KEPT_FULL * seen.kept_quota_bytes:
        share = f"{_size(seen.kept_bytes)} of {_size(seen.kept_quota_bytes)}"
        text = f"kept holds {share}: what the guard saves in the next outage may not fit"
        step = "raise `ring.kept` in robot.toml and start the agent again"
        return [Check("WARN", "ring", seen.robot, text, "kept nearly full", step)]
    return []


def _undelivered(seen: Forecast, now_us: int) -> list[Check]:
    """Compare the age of what waits longest with what its ring holds."""
    ages = {
        cls: ((now_us - ring.oldest_us) / HOUR_US, ring.holds_h)
        for cls, ring in seen.rings.items()
        if ring.oldest_us is not None and ring.holds_h
    }
    if not ages:
        return []
    cls = max(ages, key=lambda cls: ages[cls][0] / (ages[cls][1] or 1.0))
    age_h, holds_h = ages[cls][0], ages[cls][1] or 0.0
    if age_h < HALF * holds_h:
        return []
    verdict: Verdict = "FAIL" if age_h >= NEARLY * holds_h else "WARN"
    text = f"the oldest unproven record of {cls} is {_hours(age_h)} old, the ring holds {_hours(holds_h)}"
    step = f"fleetbox doctor {seen.robot} names what is in the way; fleetbox replicate status shows what waits"
    return [Check(verdict, "ring", seen.robot, text, f"undelivered for {_hours(age_h)} of {_hours(holds_h)}", step)]


def _disk(seen: Forecast) -> list[Check]:
    if seen.spare_bytes is None or (seen.spare_bytes > 0 and (seen.floor_h is None or seen.floor_h >= FLOOR_H)):
        return []
    step = "free disk space, or lower the quotas under `ring` in robot.toml"
    if seen.spare_bytes <= 0:
        text = f"the disk is {_size(-seen.spare_bytes)} below the floor that `ring.leave_free` sets"
        return [Check("FAIL", "ring", seen.robot, text, "disk below its floor", step)]
    text = f"the rings reach the disk's floor in {_hours(seen.floor_h or 0.0)}, before they are full"
    return [Check("WARN", "ring", seen.robot, text, f"disk full in {_hours(seen.floor_h or 0.0)}", step)]


def _shown(seen: Forecast) -> str:
    parts = []
    for cls, ring in seen.rings.items():
        if ring.holds_h is None:
            continue
        turns = f", full in {_hours(ring.full_h)}" if ring.full_h else ", turning"
        parts.append(f"{cls} holds {_hours(ring.holds_h)}{turns}")
    kept = f"kept {_size(seen.kept_bytes)}"
    return "; ".join([*(parts or ["nothing is recorded yet"]), kept])


def _outlook(ring: Ring, rate: float, oldest_us: int | None) -> RingOutlook:
    return RingOutlook(
        ring.size_bytes, ring.quota_bytes, rate, ring.span_s / 3600,
        hours_held(ring, rate), hours_to_full(ring, rate), oldest_us,
    )  # fmt: skip


def _hours(hours: float) -> str:
    return show_duration(round(hours * HOUR_US))


def _size(size_bytes: float) -> str:
    return f"{size_bytes / 1e9:.1f} GB" if size_bytes >= 1e9 else f"{size_bytes / 1e6:.1f} MB"

"""Judge for `doctor` whether streams still arrive: how old each one's newest record is."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from fleetbox.checks import Check
from fleetbox.errors import FleetboxError
from fleetbox.measurements import HEALTH_STREAMS
from fleetbox.naming import RING_CLASSES, SMALL, parent_of
from fleetbox.policies import policy_in_force
from fleetbox.selectors import Selector
from fleetbox.settings import FleetSettings, Policy
from fleetbox.time import show_duration
from fleetbox_query.inventory import Holding, take_inventory
from fleetbox_query.stores import Stores, places_for

SILENT_US = 60_000_000  # a robot at work writes something at least every second; a minute is no hiccup


async def streams(
    fleet: FleetSettings, robot: str | None, now_us: Callable[[], int] = lambda: time.time_ns() // 1000
) -> list[Check]:
    """Judge each robot by the age of its streams' newest records, nearest place first: where it is recorded."""
    stores = Stores()
    selectors = [Selector(robot or "*")]
    try:
        inventory = await take_inventory(stores, places_for(fleet, selectors, None, None), selectors)
        by_robot: dict[str, list[Holding]] = {}
        for holding in inventory.holdings:
            if holding.cls in RING_CLASSES and holding.stream not in HEALTH_STREAMS:
                by_robot.setdefault(holding.robot, []).append(holding)
        policies = {name: await _in_force(stores, name, found) or fleet.policy for name, found in by_robot.items()}
    finally:
        await stores.close()
    names = [robot] if robot else sorted({*fleet.known_robots, *by_robot})
    return [judge(name, newest(by_robot.get(name, [])), now_us(), policies.get(name, fleet.policy)) for name in names]


def silent_by_right(policy: Policy, stream: str) -> bool:
    """Return whether a stream may write nothing for a minute by what the policy says of it.

    What circles in memory reaches a store with events only, videos are made while a robot is idle, originals of
    `keep = "preview"` are not recorded, and small frames come as seldom as they are asked for.
    """
    parent, kind = parent_of(stream)
    rule = policy.rule_for(parent)
    if kind in SMALL and (small := rule.preview if kind == "preview" else rule.thumbnail) is not None:
        return rule.ring is not None or 2 * small.every > SILENT_US
    return bool(kind) or rule.ring is not None or rule.keep != "original" or 2 * (rule.every or 0) > SILENT_US


async def _in_force(stores: Stores, robot: str, holdings: Sequence[Holding]) -> Policy | None:
    """Return what a robot follows as the nearest place to it that was reached has it; None where nobody knows."""
    place = min((one.place for one in holdings), key=lambda one: one.tier != "robot")
    try:
        return await policy_in_force(await stores.at(place), place.bucket(robot, "meta"))
    except FleetboxError:  # then fleet.toml's is the best guess there is
        return None


def newest(holdings: Sequence[Holding]) -> dict[str, int]:
    """Return each stream's newest record in µs, as its own robot has it, else as the sites do."""
    own = [holding for holding in holdings if holding.place.tier == "robot"] or list(holdings)
    found: dict[str, int] = {}
    for holding in own:
        found[holding.stream] = max(found.get(holding.stream, 0), holding.entry.latest_us)
    return found


def judge(robot: str, newest_us: dict[str, int], now_us: int, policy: Policy | None = None) -> Check:
    """Judge one robot: PASS when every stream is young, WARN when one is silent or all are, or nothing is recorded.

    Those that may be silent by what the policy says of them are no cause for a warning.
    """
    if not newest_us:
        step = f"is the agent running? fleetbox agent run on {robot}"
        return Check("WARN", "streams", robot, "nothing is recorded", "nothing recorded", step)
    ages = {stream: now_us - at for stream, at in sorted(newest_us.items())}
    may = {stream for stream in ages if policy is not None and silent_by_right(policy, stream)}
    silent = {stream: age for stream, age in ages.items() if age > SILENT_US and stream not in may}
    young = show_duration(max(0, min(ages.values())))
    if not silent:
        return Check(
            "PASS", "streams", robot, f"{len(ages)} streams, newest record {young} old", f"{len(ages)} streams"
        )
    worst = max(silent, key=lambda stream: silent[stream])
    if len(silent) == len(ages.keys() - may):
        text = f"all {len(silent)} streams are silent, newest record {young} old"
        return Check("WARN", "streams", robot, text, f"silent for {young}", f"fleetbox status {robot}")
    age = show_duration(silent[worst])
    text = f"{len(silent)} of {len(ages)} streams are silent for over a minute; {worst} for {age}"
    step = f"fleetbox get {robot}/{worst} --at now"
    return Check("WARN", "streams", robot, text, f"{worst} silent {age}", step)

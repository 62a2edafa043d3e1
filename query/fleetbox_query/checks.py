"""Judge for `doctor` whether streams still arrive: how old each one's newest record is."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from fleetbox.checks import Check
from fleetbox.naming import RING_CLASSES
from fleetbox.selectors import Selector
from fleetbox.settings import FleetSettings
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
    finally:
        await stores.close()
    by_robot: dict[str, list[Holding]] = {}
    for holding in inventory.holdings:
        if holding.cls in RING_CLASSES:
            by_robot.setdefault(holding.robot, []).append(holding)
    names = [robot] if robot else sorted({*fleet.known_robots, *by_robot})
    return [judge(name, newest(by_robot.get(name, [])), now_us()) for name in names]


def newest(holdings: Sequence[Holding]) -> dict[str, int]:
    """Return each stream's newest record in µs, as its own robot has it, else as the sites do."""
    own = [holding for holding in holdings if holding.place.tier == "robot"] or list(holdings)
    found: dict[str, int] = {}
    for holding in own:
        found[holding.stream] = max(found.get(holding.stream, 0), holding.entry.latest_us)
    return found


def judge(robot: str, newest_us: dict[str, int], now_us: int) -> Check:
    """Judge one robot: PASS when every stream is young, WARN when one is silent or all are, or nothing is recorded."""
    if not newest_us:
        step = f"is the agent running? fleetbox agent run on {robot}"
        return Check("WARN", "streams", robot, "nothing is recorded", "nothing recorded", step)
    ages = {stream: now_us - at for stream, at in sorted(newest_us.items())}
    silent = {stream: age for stream, age in ages.items() if age > SILENT_US}
    young = show_duration(max(0, min(ages.values())))
    if not silent:
        return Check(
            "PASS", "streams", robot, f"{len(ages)} streams, newest record {young} old", f"{len(ages)} streams"
        )
    worst = max(silent, key=lambda stream: silent[stream])
    if len(silent) == len(ages):
        text = f"all {len(ages)} streams are silent, newest record {young} old"
        return Check("WARN", "streams", robot, text, f"silent for {young}", f"fleetbox status {robot}")
    age = show_duration(silent[worst])
    text = f"{len(silent)} of {len(ages)} streams are silent for over a minute; {worst} for {age}"
    step = f"fleetbox get {robot}/{worst} --at now"
    return Check("WARN", "streams", robot, text, f"{worst} silent {age}", step)

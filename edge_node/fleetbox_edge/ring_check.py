"""Check for `doctor` and `status` how long a robot's rings hold, against what its site does not have yet."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace

from fleetbox.blobs import Store
from fleetbox.checks import ANSWER_S, Check, each_robot
from fleetbox.errors import FleetboxError
from fleetbox.naming import RING_CLASSES
from fleetbox.settings import FleetSettings, Place
from fleetbox.time import show_duration
from fleetbox_edge.forecast import Forecast, Seen, forecast, judge
from fleetbox_edge.health import EVERY_US, last_told
from fleetbox_edge.horizon import Ring, mean_rate

OLD_US = 2 * EVERY_US  # the agent tells it twice as often: older, it has stopped or the link is down


async def ring(
    fleet: FleetSettings, robot: str | None, now_us: Callable[[], int] = lambda: time.time_ns() // 1000
) -> list[Check]:
    """Check the rings of one robot or of all that can be asked; what cannot be told is not said.

    A robot's own store says how full its rings are now; what waits in them is as its agent told last. Where that
    store is out of reach, its site has the agent's last word.
    """
    return await each_robot(fleet, robot, lambda name: _checked(fleet, name, now_us()))


async def _checked(fleet: FleetSettings, robot: str, now_us: int) -> list[Check]:
    for place in fleet.route(robot):
        try:
            async with asyncio.timeout(ANSWER_S), Store.at(place, timeout_s=ANSWER_S) as store:
                told = await last_told(store, place.bucket(robot, "meta"))
                seen = await _live(store, place, told, now_us) if place.tier == "robot" else told
        except (FleetboxError, TimeoutError):
            continue  # the check of places says so
        if seen is not None:
            return [_aged(check, seen, now_us) for check in judge(seen, now_us)]
    return []


async def _live(store: Store, place: Place, told: Forecast | None, now_us: int) -> Forecast | None:
    """Return the forecast by the rings as they are now, with what only the agent knows."""
    rings: dict[str, Ring] = {cls: found for cls in RING_CLASSES if (found := await _ring(store, cls)) is not None}
    if not rings:
        return told
    rates = {cls: mean_rate(found) for cls, found in rings.items()}
    if told is None:
        return forecast(Seen(place.name, now_us, rings, rates))
    rates |= {cls: one.rate_bytes_s for cls, one in told.rings.items() if cls in rates and one.rate_bytes_s}
    oldest_us = {cls: one.oldest_us for cls, one in told.rings.items() if one.oldest_us is not None}
    kept = await _ring(store, "kept") or Ring(0)
    seen = forecast(
        Seen(place.name, now_us, rings, rates, oldest_us, kept, told.spare_bytes),
        saved=told.saved, at_risk=told.at_risk, full=told.full,
    )  # fmt: skip
    return replace(seen, at_us=told.at_us)


async def _ring(store: Store, cls: str) -> Ring | None:
    spec = await store.bucket_spec(cls)
    return None if spec is None else Ring(spec.quota_bytes, tuple(await store.entries(cls)))


def _aged(check: Check, seen: Forecast, now_us: int) -> Check:
    """Say how old an agent's word is when it is not of now."""
    age_us = now_us - seen.at_us
    if age_us < OLD_US:
        return check
    return replace(check, text=f"{check.text} (as its agent told {show_duration(age_us)} ago)")

"""Judge the hops for `doctor` and `status`: are the tasks as wanted, does the relay answer, what waits."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

from fleetbox.checks import Check
from fleetbox.settings import FleetSettings, Place
from fleetbox_replication.apply import plan_fleet, sources
from fleetbox_replication.status import LIMIT_S, HopStatus, PlaceStatus, status_of

BEHIND_S = 30.0  # a chunk closes after 5 s and a hop needs a few round trips; beyond this somebody should look
LOCAL = ("127.0.0.1", "localhost", "::1")


async def hops(fleet: FleetSettings, robot: str | None) -> list[Check]:
    """Check every hop that leaves a place: one robot's places, or all that can be reached from here."""
    places = [place for place in (fleet.route(robot) if robot else sources(fleet)) if place.next]
    planned, standing = await asyncio.gather(
        asyncio.gather(*(_wrong_tasks(fleet, place) for place in places)),
        status_of(fleet, places, time.time_ns() // 1000),
    )
    wrong = dict(zip((place.name for place in places), planned, strict=True))
    return [
        check
        for place, status in zip(places, standing, strict=True)
        if status.error is None  # the check of places has said that this store is away
        for check in judge(place, status, wrong[place.name], robot)
    ]


async def _wrong_tasks(fleet: FleetSettings, place: Place) -> int:
    """Count the tasks a plan would change; 0 for a store that does not answer, which its status says."""
    try:
        async with asyncio.timeout(LIMIT_S):
            (planned,) = await plan_fleet(fleet, [place])
    except TimeoutError:
        return 0
    return sum(change.action != "keep" for change in planned.changes)


def judge(place: Place, status: PlaceStatus, wrong_tasks: int, robot: str | None) -> list[Check]:
    """Return the checks of the hop that leaves a place; `wrong_tasks` counts those a plan would change."""
    target = place.next or "?"
    checks = []
    if wrong_tasks:
        text = f"{wrong_tasks} tasks to {target} are missing or not as the policy wants them"
        checks.append(Check("FAIL", "tasks", place.name, text, "tasks not as wanted", "fleetbox replicate apply"))
    chosen = [hop for hop in status.hops if robot is None or hop.robot == robot]
    checks.append(_behind(place, target, chosen))
    if status.relay_error and _is_here(place):
        step = "fleetbox agent run" if place.tier == "robot" else f"fleetbox site run --site {place.name}"
        text = f"{status.relay_error}; nothing is lost, records wait"
        checks.append(Check("FAIL", "relay", place.name, text, f"{place.name}'s relay down", step))
    checks += [Check("WARN", "filter", place.name, fault) for fault in status.faults]
    checks += [_refused(place, target, item) for item in _active(status.relay, chosen)]
    checks += _letters(place, target, status.relay, chosen)
    return checks


def _behind(place: Place, target: str, chosen: Iterable[HopStatus]) -> Check:
    hops = list(chosen)
    unknown = next((hop.error for hop in hops if hop.error), None)
    if unknown is not None:
        return Check("WARN", "hop", place.name, f"how far {target} is behind cannot be told: {unknown}")
    waiting = sum(hop.lag.waiting or 0 for hop in hops)
    lag_s = max((hop.lag.lag_s or 0.0 for hop in hops), default=0.0)
    paused = [hop.task.spec.name for hop in hops if hop.task.mode != "enabled"]
    phrase = f"{target} {lag_s:.1f} s behind, {waiting} waiting"
    if paused:
        text = f"{phrase}; not sending by order: {', '.join(paused)}"
        return Check("WARN", "hop", place.name, text, phrase, "fleetbox replicate status")
    if lag_s > BEHIND_S:
        return Check("WARN", "hop", place.name, phrase, phrase, "fleetbox replicate status")
    return Check("PASS", "hop", place.name, phrase, phrase)


def _active(relay: Any, hops: Iterable[HopStatus]) -> list[dict[str, Any]]:
    buckets = {hop.task.spec.dst_bucket for hop in hops}
    refused = relay.get("refused", []) if relay else []
    return [item for item in refused if item.get("active") and item.get("bucket", "") in ("", *buckets)]


def _letters(place: Place, target: str, relay: Any, hops: Iterable[HopStatus]) -> list[Check]:
    """Name the records that a destination would not take, one check per bucket and status."""
    buckets = {hop.task.spec.dst_bucket for hop in hops}
    groups: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for group in (relay or {}).get("dead_letters", {}).get("groups", []):
        if group["bucket"] in buckets:
            groups.setdefault((group["bucket"], group["status"]), []).append(group)
    checks = []
    for (bucket, status), same in groups.items():
        letters = sum(group["letters"] for group in same)
        text = f"{target} would not take {letters} records of {bucket} ({status}): {same[0]['message']}"
        phrase = f"{letters} dead letters of {bucket} ({status})"
        checks.append(Check("FAIL", "dead letters", place.name, text, phrase, "fleetbox replicate dead-letters"))
    return checks


def _refused(place: Place, target: str, item: dict[str, Any]) -> Check:
    reason = f"{item['status']}" if item["status"] else "no answer"
    text = f"{target} refuses {item['bucket'] or 'everything'} ({reason}, {item['count']} times): {item['message']}"
    phrase = f"{target} refuses {item['bucket']} ({reason})"
    step = item.get("next_step") or "they are sent again by themselves once the cause is gone"
    return Check("FAIL", "refused", place.name, text, phrase, step)


def _is_here(place: Place) -> bool:
    """Tell whether the place is on this machine: only then can its relay be asked from here."""
    return urlsplit(place.url).hostname in LOCAL

"""Waits until every hop of a fleet has its tasks: a record written before its task exists does not travel."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from fleetbox.errors import FleetboxError
from fleetbox.settings import FleetSettings
from fleetbox_replication.apply import PlacePlan, plan_fleet, sources

OPEN = ("create", "update")
POLL_S = 0.1  # the agents make their tasks within a second of their start


async def wait_for_tasks(
    fleet: FleetSettings, timeout_s: float, check: Callable[[], None] = lambda: None, *, sites_only: bool = False
) -> None:
    """Return once no place, or no site, lacks a task; raise FleetboxError naming what is missing at the deadline.

    `check` is called between two looks and may raise: who has ended makes no task.
    """
    deadline = time.monotonic() + timeout_s
    places = [place for place in sources(fleet) if place.tier != "robot" or not sites_only]
    while lacking := [text for plan in await plan_fleet(fleet, places) for text in _lacks(plan)]:
        if time.monotonic() > deadline:
            raise FleetboxError(
                f"the hops did not get their tasks within {timeout_s:.0f} s: {'; '.join(lacking)}",
                f"read the agents' and sites' logs in {fleet.source.parent}",
            )
        check()
        await asyncio.sleep(POLL_S)


def _lacks(plan: PlacePlan) -> list[str]:
    if plan.error is not None:
        return [f"{plan.place}: {plan.error.message}"]
    return [f"{plan.place}: {change.action} {change.task}" for change in plan.changes if change.action in OPEN]

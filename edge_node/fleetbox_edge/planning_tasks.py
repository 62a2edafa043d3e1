"""Say which tasks follow from a policy on each hop, and what changes in them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace

from fleetbox.settings import FleetSettings, Place, Policy
from fleetbox_replication.tasks import wanted_tasks

ANY_ROBOT = "ROBOT"  # where nobody was named: the tasks of all robots are alike


@dataclass(frozen=True, slots=True)
class HopPlan:
    """Hold the tasks of one hop: name -> filter as text ("" for everything); `changed` names those that differ."""

    from_place: str
    to_site: str
    tasks: dict[str, str]
    skips: tuple[str, ...]
    changed: tuple[str, ...]

    def line(self) -> str:
        """Say it in a sentence."""
        skips = f"; not {', '.join(self.skips)}" if self.skips else ""
        changed = f"; changes: {', '.join(self.changed)}" if self.changed else ""
        return f"hop      {self.from_place} -> {self.to_site}: {len(self.tasks)} tasks{skips}{changed}"


def plan_hops(fleet: FleetSettings, policy: Policy, before: Policy, robot: str | None) -> Iterator[HopPlan]:
    """Yield the hops a robot's records pass; without a robot, those between sites."""
    places = fleet.route(robot) if robot else [place for place in fleet.places() if place.tier != "robot"]
    for place in places:
        if place.next is not None:
            yield _hop(place, robot or ANY_ROBOT, policy, before)


def _hop(place: Place, robot: str, policy: Policy, before: Policy) -> HopPlan:
    site = place.next or ""
    there = place if place.relay is not None else replace(place, relay="http://127.0.0.1")  # it changes no filter
    wanted = {task.name: task for task in wanted_tasks(there, [robot], policy.hop_rule(site), "")}
    now = {task.name: task for task in wanted_tasks(there, [robot], before.hop_rule(site), "")}
    tasks = {name: json.dumps(task.when) if task.when else "" for name, task in wanted.items()}
    changed = tuple(name for name, task in wanted.items() if now.get(name) != task)
    return HopPlan(place.name, site, tasks, policy.hop_rule(site).skip, changed)

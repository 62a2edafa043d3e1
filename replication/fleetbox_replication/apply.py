"""Give stores the tasks they should have: ask each what it has, plan, change what differs."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from fleetbox.blobs import Store
from fleetbox.errors import FleetboxError, NotFound
from fleetbox.naming import split_bucket
from fleetbox.settings import FleetSettings, Place
from fleetbox_replication.plan import Change, plan
from fleetbox_replication.relay_secret import relay_secret
from fleetbox_replication.tasks import wanted_tasks

TIMEOUT_S = 10.0  # per request; a place that does not answer must not hold up the others


@dataclass(frozen=True, slots=True)
class PlacePlan:
    """Say what is to change at one place, or why it cannot be known."""

    place: str
    changes: tuple[Change, ...] = ()
    error: FleetboxError | None = None


@dataclass(frozen=True, slots=True)
class Done:
    """Say what became of one change: done, kept, held back or failed.

    A task that was made but has nowhere to deliver is done or kept, and carries an error all the same.
    """

    change: Change
    outcome: str
    error: FleetboxError | None = None

    def row(self) -> dict[str, Any]:
        """Return the outcome as a row for people and JSON."""
        error = {"error": self.error.message, "next_step": self.error.next_step} if self.error else {}
        return {**self.change.row(), "outcome": self.outcome, **error}


@dataclass(frozen=True, slots=True)
class ApplyReport:
    """Account for every task of every place."""

    done: tuple[Done, ...] = ()
    failed_places: dict[str, FleetboxError] = field(default_factory=dict)

    @property
    def changed(self) -> int:
        """Count the tasks that were created, updated or removed."""
        return sum(item.outcome == "done" for item in self.done)

    @property
    def exit_code(self) -> int:
        """Return 0 when all is as wanted, 3 when only a part is, else the code of the first failure."""
        troubles = [item.error for item in self.done if item.error] + list(self.failed_places.values())
        held = any(item.outcome == "held back" for item in self.done)
        if not troubles:
            return 3 if held else 0
        return 3 if any(item.outcome in ("done", "kept") for item in self.done) else troubles[0].exit_code


def sources(fleet: FleetSettings) -> list[Place]:
    """Return the places whose tasks can be managed from here: the known robots, then the sites that pass on."""
    robots = [place for robot in fleet.known_robots if (place := fleet.robot_place(robot))]
    return [*(place for place in robots if place.next), *(place for place in fleet.places() if _passes_on(place))]


def ahead_of(fleet: FleetSettings, place: Place) -> Place:
    """Return the site a place passes records on to, with the token that place may use there; raise NotFound if none."""
    ahead = fleet.site_place(place.next or "") if place.tier == "robot" else fleet.next_place(place.name)
    if ahead is None:
        raise NotFound(f"{place.name} passes nothing on", "fleetbox whoami shows the places and their next")
    return ahead


def _passes_on(place: Place) -> bool:
    return place.tier != "robot" and place.next is not None


async def plan_fleet(fleet: FleetSettings, places: Iterable[Place], *, renew: bool = False) -> list[PlacePlan]:
    """Return the plan of each place; one that does not answer carries its error instead."""
    return list(await asyncio.gather(*(_planned(fleet, place, renew) for place in places)))


async def apply_fleet(
    fleet: FleetSettings, places: Iterable[Place], *, remove: bool = False, renew: bool = False
) -> ApplyReport:
    """Bring every place's tasks to what its route and the policy want; a second call changes nothing.

    Tasks to be removed are held back unless `remove`. `renew` writes every task again, for a new store token.
    """
    places = list(places)
    reports = await asyncio.gather(*(_applied(fleet, place, remove, renew) for place in places))
    return ApplyReport(
        tuple(item for report in reports for item in report.done),
        {name: error for report in reports for name, error in report.failed_places.items()},
    )


async def plan_place(fleet: FleetSettings, place: Place, store: Store, *, renew: bool = False) -> list[Change]:
    """Return what is to change at a place; `store` is connected to it."""
    robots = [place.name] if place.tier == "robot" else await _robots_here(fleet, place, store)
    rule = fleet.policy.hop_rule(place.next or "")
    uplink = fleet.site[place.name].uplink if place.name in fleet.site else fleet.policy.uplink
    wanted = wanted_tasks(place, robots, rule, relay_secret(place.current_token()), uplink)
    return plan(place.name, wanted, await store.tasks(), renew=renew)


async def apply_place(store: Store, place: Place, changes: Iterable[Change], *, remove: bool = False) -> list[Done]:
    """Carry out a place's changes one by one; a failure stops nothing else."""
    buckets = set(await store.buckets())
    return [await _carry_out(store, place, change, buckets, remove) for change in changes]


def connect(place: Place) -> Store:
    """Return a client for a place's store."""
    return Store(place.url, place.current_token(), timeout_s=TIMEOUT_S, name=place.name)


async def _robots_here(fleet: FleetSettings, place: Place, store: Store) -> list[str]:
    """Return the robots named in the settings and those that a glob lets in and whose records are here."""
    known = set(fleet.robots_of(place.name))
    found = {split[0] for bucket in await store.buckets() if (split := split_bucket(bucket))}
    return sorted(known | {robot for robot in found if _passes(fleet, robot, place.name)})


def _passes(fleet: FleetSettings, robot: str, site: str) -> bool:
    try:
        return any(place.name == site for place in fleet.route(robot))
    except NotFound:
        return False  # a robot that has left the fleet: its tasks are planned for removal


async def _planned(fleet: FleetSettings, place: Place, renew: bool) -> PlacePlan:
    try:
        async with connect(place) as store:
            return PlacePlan(place.name, tuple(await plan_place(fleet, place, store, renew=renew)))
    except FleetboxError as error:
        return PlacePlan(place.name, error=error)


async def _applied(fleet: FleetSettings, place: Place, remove: bool, renew: bool) -> ApplyReport:
    try:
        async with connect(place) as store:
            changes = await plan_place(fleet, place, store, renew=renew)
            done = await apply_place(store, place, changes, remove=remove)
        return ApplyReport(tuple(await _with_destinations(fleet, place, done)))
    except FleetboxError as error:
        return ApplyReport(failed_places={place.name: error})


async def _carry_out(store: Store, place: Place, change: Change, buckets: set[str], remove: bool) -> Done:
    if change.action == "keep":
        return Done(change, "kept")
    try:
        if change.action == "remove":
            if not remove:
                return Done(change, "held back")
            await store.remove_task(change.task)
        elif change.spec is not None:
            _require_source(place, change.spec.src_bucket, buckets)
            await store.put_task(change.spec)
        return Done(change, "done")
    except FleetboxError as error:
        return Done(change, "failed", error)


async def _with_destinations(fleet: FleetSettings, place: Place, done: list[Done]) -> list[Done]:
    """Name tasks whose destination bucket is missing: their records wait at the source until it is there."""
    try:
        target = ahead_of(fleet, place)
        async with connect(target) as store:
            there = set(await store.buckets())
    except FleetboxError:
        return done  # the next site is out of reach from here; the task waits for it, as it would anyway
    return [_judged(item, target.name, there) for item in done]


def _judged(item: Done, target: str, there: set[str]) -> Done:
    spec = item.change.spec
    if item.error or spec is None or spec.dst_bucket in there:
        return item
    message = f"task {item.change.task} at {item.change.place} has no bucket {spec.dst_bucket} at {target}: it waits"
    return replace(item, error=NotFound(message, f"fleetbox site provision --site {target}"))


def _require_source(place: Place, bucket: str, buckets: set[str]) -> None:
    if bucket in buckets:
        return
    step = "start the agent once: fleetbox agent run" if place.tier == "robot" else "fleetbox site provision"
    raise NotFound(f"task from bucket {bucket} at {place.name}: the store has no such bucket", step)

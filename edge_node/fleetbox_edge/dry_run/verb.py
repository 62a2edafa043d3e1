"""Run `fleetbox policy dry-run`: find the robot's records, try the policy on them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

from fleetbox.blobs import Store
from fleetbox.errors import FleetboxError, InputError, NotFound, Unreachable
from fleetbox.settings import FleetSettings, Place, Policy, find_fleet, load_policy
from fleetbox.time import parse_duration, parse_time
from fleetbox_edge.dry_run.report import DryRun
from fleetbox_edge.dry_run.run import Asked, Tell, dry_run
from fleetbox_edge.dry_run.source import Source


@dataclass(frozen=True, slots=True)
class DryRunOrder:
    """Hold what one call of `fleetbox policy dry-run` asks for, as it was typed."""

    file: Path
    robot: str
    start: str | None = None
    stop: str | None = None
    last: str | None = None
    against: tuple[str, ...] = ()
    site: str | None = None


def tried(fleet_path: Path | None, order: DryRunOrder, now_us: int, tell: Tell) -> DryRun:
    """Try the policy on what the robot recorded; its own store first, else the nearest site that has some of it.

    Raises Unreachable when no place answers, NotFound when none holds records of the robot.
    """
    policy, fleet = load_policy(order.file), find_fleet(fleet_path)
    return asyncio.run(_tried(fleet, policy, order, asked_of(order, now_us), tell))


def asked_of(order: DryRunOrder, now_us: int) -> Asked:
    """Return the window asked for; without --start it is the last 24 h, or --last."""
    if order.last is not None and order.start is not None:
        raise InputError("--last and --start both say where it begins", "give one of them")
    stop_us = now_us if order.stop is None else parse_time(order.stop, now_us)
    start_us = stop_us - parse_duration(order.last or "24h")
    if order.start is not None:
        start_us = parse_time(order.start, now_us)
    if start_us >= stop_us:
        raise InputError("the window ends before it begins", "give --start before --stop")
    against = tuple(kind.strip() for text in order.against for kind in text.split(",") if kind.strip())
    return Asked(max(0, start_us), stop_us, against)


async def _tried(fleet: FleetSettings, policy: Policy, order: DryRunOrder, asked: Asked, tell: Tell) -> DryRun:
    failed: list[FleetboxError] = []
    for place in _places(fleet, order):
        try:
            async with Store.at(place) as store:
                return await dry_run(await Source.open(store, place, order.robot), policy, asked, tell)
        except (Unreachable, NotFound) as error:
            failed.append(error)
    if failed:
        raise next((error for error in failed if isinstance(error, Unreachable)), failed[0])
    raise NotFound(f"{fleet.source} does not say where records of {order.robot} are", "add its site or its store")


def _places(fleet: FleetSettings, order: DryRunOrder) -> list[Place]:
    return [fleet.site_place(order.site)] if order.site is not None else fleet.route(order.robot)

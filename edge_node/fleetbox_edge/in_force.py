"""Say which policy a robot follows, and which one a hash on its records means, as far as this machine can tell."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from fleetbox.blobs import Store
from fleetbox.errors import AccessDenied, InputError, NotFound, StoreRefused, Unreachable
from fleetbox.policies import Followed, policy_by_hash, policy_in_force, read_policies
from fleetbox.settings import FleetSettings, Policy

REACH_S = 6.0  # a place that has not answered by then is passed over: the next one knows as well

Ask = Callable[[Store, str], Awaitable[Policy | None]]


def policy_in_force_of(fleet: FleetSettings, robot: str | None) -> tuple[Policy, str]:
    """Return the policy a robot follows by its own word, else fleet.toml's, and where it was found."""
    told = asyncio.run(_ask(fleet, robot, policy_in_force)) if robot is not None else None
    return told or (fleet.policy, f"as {fleet.source.name} names it")


def policy_of_hash(fleet: FleetSettings, robot: str, policy_hash: str) -> tuple[Policy, str] | None:
    """Return the policy that a hash on a robot's records means, and where it was found; None where nobody knows."""
    if fleet.policy.hash == policy_hash:
        return fleet.policy, f"as {fleet.source.name} names it"
    return asyncio.run(_ask(fleet, robot, lambda store, bucket: policy_by_hash(store, bucket, policy_hash)))


def policy_at_of(fleet: FleetSettings, robot: str, time_us: int) -> tuple[Policy, str]:
    """Return the policy a robot followed at a time (µs) by its own word, else fleet.toml's, and where it was found."""
    told = asyncio.run(_ask(fleet, robot, lambda store, bucket: followed_at(store, bucket, time_us)))
    return told or (fleet.policy, f"as {fleet.source.name} names it")


async def known_at_sites(fleet: FleetSettings, robot: str) -> Policy:
    """Return the policy a robot that does not answer follows as the sites on its way know it, else fleet.toml's."""
    told = await _ask(fleet, robot, policy_in_force, own=False)
    return told[0] if told else fleet.policy


async def followed_at(store: Store, bucket: str, time_us: int) -> Policy | None:
    """Return what was in force at a time; before a robot said anything, what it said first."""
    found: Followed | None = None
    async for one in read_policies(store, bucket):
        if found is not None and one.time_us > time_us:
            break
        found = one
    try:
        return None if found is None else found.policy
    except InputError:  # written by another version of this program
        return None


async def _ask(fleet: FleetSettings, robot: str, ask: Ask, own: bool = True) -> tuple[Policy, str] | None:
    """Ask the places a robot's records pass, the nearest first, until one knows; without its own store unless `own`."""
    for place in fleet.route(robot):
        if place.tier == "robot" and not own:
            continue
        try:
            async with asyncio.timeout(REACH_S), Store.at(place) as store:
                policy = await ask(store, place.bucket(robot, "meta"))
        except (Unreachable, AccessDenied, NotFound, StoreRefused, TimeoutError):
            continue
        if policy is not None:
            return policy, f"as {robot} told {place.name}" if place.name != robot else f"as {robot} tells itself"
    return None

"""Say which policy a robot follows, and which one a hash on its records means, as far as this machine can tell."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from fleetbox.blobs import Store
from fleetbox.errors import AccessDenied, NotFound, StoreRefused, Unreachable
from fleetbox.policies import policy_by_hash, policy_in_force
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


async def _ask(fleet: FleetSettings, robot: str, ask: Ask) -> tuple[Policy, str] | None:
    """Ask the places a robot's records pass, the nearest first, until one knows."""
    for place in fleet.route(robot):
        try:
            async with asyncio.timeout(REACH_S), Store.at(place) as store:
                policy = await ask(store, place.bucket(robot, "meta"))
        except (Unreachable, AccessDenied, NotFound, StoreRefused, TimeoutError):
            continue
        if policy is not None:
            return policy, f"as {robot} told {place.name}" if place.name != robot else f"as {robot} tells itself"
    return None

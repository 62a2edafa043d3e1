"""Say which policy a robot follows now, as far as this machine can tell."""

from __future__ import annotations

from fleetbox.settings import FleetSettings, Policy


def policy_in_force_of(fleet: FleetSettings, robot: str | None) -> tuple[Policy, str]:
    """Return the policy and where it was found."""
    return fleet.policy, f"as {fleet.source.name} names it"

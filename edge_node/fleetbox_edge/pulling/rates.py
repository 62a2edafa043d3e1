"""Say how fast a robot's link is taken to be: as somebody says, else by the caps on the way, else by a guess."""

from __future__ import annotations

from dataclasses import dataclass

from fleetbox.settings import FleetSettings, Policy, load_robot
from fleetbox.settings.files import read_toml

ASSUMED = 1_250_000  # bytes/s, 10 Mbit/s: a fair mobile link; a faster one surprises nobody in the wrong way


@dataclass(frozen=True, slots=True)
class Rate:
    """Hold bytes a second, and who says so."""

    bytes_s: int
    source: str

    def __str__(self) -> str:
        return f"{self.bytes_s * 8 / 1e6:.3g} Mbit/s"


def rate_of(fleet: FleetSettings, robot: str, policy: Policy, given: int | None) -> Rate:
    """Return the rate at which a window leaves a robot: the narrowest cap that is known on its way."""
    if given is not None:
        return Rate(given, "--rate")
    caps = [Rate(cap, f"uplink of {name}") for name, cap in _caps(fleet, robot, policy) if cap]
    return min(caps, key=lambda cap: cap.bytes_s, default=Rate(ASSUMED, "assumed; --rate says better"))


def _caps(fleet: FleetSettings, robot: str, policy: Policy) -> list[tuple[str, int | None]]:
    caps = [(robot, policy.uplink.max if policy.uplink else _own_cap(fleet, robot))]
    for place in fleet.route(robot):
        site = fleet.site.get(place.name)
        if site is not None and place.next is not None:
            caps.append((place.name, site.uplink.max))
    return caps


def _own_cap(fleet: FleetSettings, robot: str) -> int | None:
    """Return the cap of robot.toml where that file is what says where we are: on the robot itself."""
    if not fleet.source.exists() or read_toml(fleet.source).get("robot") is None:
        return None
    settings = load_robot(fleet.source)
    return settings.uplink.max if settings.robot == robot else None

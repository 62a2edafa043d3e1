"""Say which hops a robot's records travel, and which records each of them selects."""

from __future__ import annotations

from dataclasses import dataclass

from fleetbox.errors import NotFound
from fleetbox.ledger import Reach
from fleetbox.naming import RING_CLASSES, Class
from fleetbox.selectors import matches_glob
from fleetbox.settings import FleetSettings


@dataclass(frozen=True, slots=True)
class Hop:
    """Name one hop of a robot's route: from a place to a site, and the stream globs it passes over.

    `own` names that site and all behind it: their revisions (`events/<site>`) begin there and never travel this hop.
    """

    source: str
    site: str
    first: bool
    skip: tuple[str, ...] = ()
    own: tuple[str, ...] = ()

    def reach(self, cls: Class, stream: str) -> Reach | None:
        """Return which of the source's records of a stream travel, None for none of them."""
        if cls not in RING_CLASSES:
            return "all"
        if any(matches_glob(glob, stream) for glob in self.skip):
            return None
        return "keep" if self.first else "cloud"

    def carries(self, cls: Class, stream: str) -> bool:
        """Tell whether a stream can travel this hop at all: what a site writes about a robot begins at that site."""
        return cls != "meta" or stream.rpartition("/")[2] not in self.own


def hops_of(fleet: FleetSettings, robot: str, until: str | None = None) -> tuple[Hop, ...]:
    """Return the hops of a robot's route, as far as the site `until`, else all; none for a robot without a site.

    Raises NotFound for a robot that is not in the fleet, and for a site that its records do not pass.
    """
    sites = [place.name for place in fleet.route(robot) if place.tier != "robot"]
    if until is not None and until not in sites:
        known = ", ".join(sites) or "none"
        raise NotFound(f"the records of {robot} do not pass {until}", f"they pass: {known}")
    hops = []
    for number, (source, site) in enumerate(zip([robot, *sites], sites, strict=False)):
        skip = fleet.policy.hop_rule(site).skip
        hops.append(Hop(source, site, number == 0, skip, tuple(sites[number:])))
    return tuple(hops[: sites.index(until) + 1] if until is not None else hops)

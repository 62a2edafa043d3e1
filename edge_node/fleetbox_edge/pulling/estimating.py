"""Estimate what a pull costs, robot by robot: bytes and minutes, and the same for the thumbnails alone."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from fleetbox.errors import AccessDenied, NotFound
from fleetbox.ledger import Ledger, read_ledger
from fleetbox.policies import policy_in_force
from fleetbox.settings import FleetSettings, Policy
from fleetbox_edge.pulling.order import PullOrder, pull_event, small
from fleetbox_edge.pulling.rates import Rate, rate_of
from fleetbox_edge.pulling.sizes import Size, size_in_ledger, size_in_store
from fleetbox_replication.audit.reaching import Reached
from fleetbox_replication.scopes import robot_scope
from fleetbox_replication.window import chosen_entries


@dataclass(frozen=True, slots=True)
class Estimate:
    """Tell what one robot would send; `source` says who told, "" when nobody knows. Exact only from its own store.

    `told_until_us` is how far the ledger reaches where that is the source, in µs.
    """

    robot: str
    size: Size
    thumbnails: Size
    rate: Rate
    source: str = ""
    exact: bool = False
    told_until_us: int = 0

    @property
    def minutes(self) -> float:
        """Return how long it takes when nothing else uses the link."""
        return self.size.bytes / self.rate.bytes_s / 60

    def as_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        size = self.size
        return {
            "robot": self.robot, "records": size.records, "bytes": size.bytes, "minutes": round(self.minutes, 2),
            "before_records": size.before_records, "before_bytes": size.before_bytes,
            "thumbnails_bytes": self.thumbnails.bytes, "streams": size.streams, "oldest_us": size.oldest_us,
            "rate_bytes_s": self.rate.bytes_s, "rate_from": self.rate.source,
            "exact": self.exact, "from": self.source, "told_until_us": self.told_until_us,
        }  # fmt: skip


async def estimate(fleet: FleetSettings, order: PullOrder, robot: str, reached: Reached) -> Estimate:
    """Estimate one robot's share, from its own store if that answers, else from the pages at its nearest site."""
    await reached.reach(fleet.route(robot))
    event, policy = pull_event(order, robot, ""), await _policy(fleet, robot, reached)
    thumbs, scope = small(event), robot_scope(robot, policy)
    rate = rate_of(fleet, robot, policy, order.rate)
    place = fleet.robot_place(robot)
    if place is not None and (store := reached.stores.get(place.name)) is not None:
        whole = await size_in_store(store, event, scope)
        return Estimate(robot, whole, await size_in_store(store, thumbs, scope), rate, place.name, exact=True)
    ledger, source = await _ledger(fleet, robot, reached, event.start_us)
    whole, little = (size_in_ledger(ledger, one, scope.allowed) for one in (event, thumbs))
    return Estimate(robot, whole, little, rate, source, told_until_us=ledger.until_us.get(robot, 0))


async def streams_of(fleet: FleetSettings, order: PullOrder, robot: str, reached: Reached) -> list[str]:
    """Return the streams of an order that a robot's own store has and its policy lets go; none where it is away."""
    await reached.reach(fleet.route(robot))
    place = fleet.robot_place(robot)
    if place is None or (store := reached.stores.get(place.name)) is None:
        return []
    event, scope = pull_event(order, robot, ""), robot_scope(robot, await _policy(fleet, robot, reached))
    return [info.name async for _, infos in chosen_entries(store, event, scope) for info in infos]


async def _ledger(fleet: FleetSettings, robot: str, reached: Reached, start_us: int) -> tuple[Ledger, str]:
    """Return what the nearest site that answers knows of a robot."""
    for place in fleet.route(robot):
        store = reached.stores.get(place.name)
        if store is None:
            continue
        try:
            ledger = await read_ledger(store, place.bucket(robot, "meta"), robot, start_us=start_us)
        except (NotFound, AccessDenied):
            continue
        return ledger, place.name
    return Ledger(robot), ""


async def _policy(fleet: FleetSettings, robot: str, reached: Reached) -> Policy:
    """Return the policy that the robot follows: what of a window may leave it, and how fast."""
    for place in fleet.route(robot):
        if (store := reached.stores.get(place.name)) is not None:
            with suppress(NotFound, AccessDenied):
                if (policy := await policy_in_force(store, place.bucket(robot, "meta"))) is not None:
                    return policy
    return fleet.policy

"""Raise an event on a robot: write it into the robot's own store, or leave it at a site as an order."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from fleetbox.blobs import Store
from fleetbox.errors import AccessDenied, FleetboxError, NotFound, StoreRefused, Unreachable
from fleetbox.events import Event, write_event
from fleetbox.orders import Order, new_order, read_orders, write_order, writer_here
from fleetbox.settings import FleetSettings, Place

REACH_S = 6.0  # s; a robot behind a bad link answers within, and a person waits no longer to hear that none did
AGAIN = 3  # writes; two people at one desk may spoil each other's bytes, so what was written is read back
MADE_BY_SITE = "the site makes it: is `fleetbox site run` running there?"


@dataclass(frozen=True, slots=True)
class Raised:
    """Tell where an event went: `at` names the store, `order` is its order's id there, "" in the robot's own store."""

    event: Event
    at: str
    order: str = ""

    @property
    def waits(self) -> bool:
        """Tell whether the robot has yet to fetch it."""
        return bool(self.order)


async def raise_event(fleet: FleetSettings, event: Event, now_us: int | None = None) -> Raised:
    """Write the event into its robot's store where that answers, else order it at the nearest site that does.

    A robot that fetches an order twice keeps one event, known by its id. Raises NotFound when the robot's store
    answers and records nothing yet, Unreachable when neither it nor any site of its route takes it.
    """
    now_us = time.time_ns() // 1000 if now_us is None else now_us
    place, missed = fleet.robot_place(event.robot), []
    if place is not None:
        try:
            return await _write(place, event, now_us)
        except Unreachable as error:
            missed.append(f"{place.name}: {error.message}")
    sites = [site for site in fleet.route(event.robot) if site.tier != "robot"]
    return await _order(sites, event, now_us, missed)


async def _write(place: Place, event: Event, now_us: int) -> Raised:
    async with Store.at(place, timeout_s=REACH_S) as store:
        try:
            await write_event(store, "meta", event, now_us)
        except NotFound as error:
            step = "start its agent: fleetbox agent run"
            raise NotFound(f"{place.name} records nothing yet: {error.message}", step) from None
    return Raised(event, place.name)


async def _order(sites: Sequence[Place], event: Event, now_us: int, missed: list[str]) -> Raised:
    order = new_order(Order("", event.robot, "event", asdict(event), writer_here(), now_us))
    for site in sites:
        try:
            async with Store.at(site, timeout_s=REACH_S) as store:
                await _leave(store, order)
        except (Unreachable, AccessDenied) as error:
            missed.append(f"{site.name}: {error.message}")
        except NotFound as error:
            missed.append(f"{site.name} has no desk for {event.robot} ({error.message}); {MADE_BY_SITE}")
        else:
            return Raised(event, site.name, order.id)
    raise _nobody(event.robot, missed)


async def _leave(store: Store, order: Order) -> None:
    """Put the order into the desk until it can be read there."""
    for _ in range(AGAIN):
        await write_order(store, order, order.by)
        try:
            async for found in read_orders(store, order.robot, order.issued_us):
                if found.id == order.id:
                    return
        except StoreRefused:
            continue  # half-written by two at once
    raise StoreRefused(f"an order written to the desk of {order.robot} cannot be read back", 0, "try again")


def _nobody(robot: str, missed: Sequence[str]) -> FleetboxError:
    if not missed:
        step = "run this on the robot, or add its store or its site under [[robots]]"
        return NotFound(f"nothing here says how to reach {robot}", step)
    lines = "\n".join(f"  {line}" for line in missed)
    return Unreachable(f"nobody takes an event for {robot}:\n{lines}", f"fleetbox doctor {robot}")

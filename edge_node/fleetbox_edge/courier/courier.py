"""Carry out what sites ask of this robot: look into its desk, do what is new there, answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

import structlog

from fleetbox.errors import AccessDenied, FleetboxError, InputError
from fleetbox.orders import Order
from fleetbox.settings import RobotSettings
from fleetbox.signing import Refused
from fleetbox_edge.courier.fetching import Desk
from fleetbox_edge.courier.judging import Gate, Offer, newest, open_event, open_offer, what_remains
from fleetbox_edge.courier.switching import Switch
from fleetbox_edge.courier.telling import Tell, tell_event
from fleetbox_edge.door import RobotDoor

log = structlog.get_logger()

LOOK_S = 2.0  # with the site's own 3 s an order is on its way for 5 s at most; a look costs some hundred bytes
AWAY_S = 5.0  # a site that does not answer is asked again: an outage shall not cost the 10 s of a rollout

Held = Callable[[], Awaitable[Mapping[str, tuple[int, int]]]]  # stream -> oldest and newest stamp in the store


class Courier:
    """Fetch one robot's orders outbound and do them; it never holds anything up that records.

    `held` tells what the robot's store holds. An order is noted as handled after its answer is safe: what died in
    between is done again, which changes nothing.
    """

    def __init__(
        self, settings: RobotSettings, switch: Switch, tell: Tell, held: Held, now_us: Callable[[], int]
    ) -> None:
        self._settings, self._switch, self._tell, self._held, self._now_us = settings, switch, tell, held, now_us
        self._desk = Desk(settings.robot, switch.memory.cursors)
        ahead = settings.site_place()
        self._site = None if ahead is None else RobotDoor(ahead)
        self._said = ""

    async def run(self) -> None:
        """Look until cancelled; a site that is away is asked again, quietly. Raises FleetboxError for a full disk."""
        try:
            while True:
                try:
                    wait_s = LOOK_S if await self.look() else AWAY_S
                except OSError as error:
                    folder = self._settings.state
                    message = f"what sites ask of {self._settings.robot} cannot be noted in {folder}: {error}"
                    raise FleetboxError(message, "make room on its disk") from error
                await asyncio.sleep(wait_s)
        finally:
            if self._site is not None:
                await self._site.close()

    async def look(self) -> bool:
        """Tend the policy in force, then do what is new in the desk; return whether the site answered."""
        await self._switch.tend()
        if self._site is None:
            return True
        try:
            await self._site.renew()
            orders = await self._desk.news(self._site.store)
        except FleetboxError as error:
            self._say(error)
            return False
        self._say(None)
        await self._do([order for order in orders if order.id not in self._switch.memory.handled])
        return True

    async def _do(self, orders: list[Order]) -> None:
        unique = {order.id: order for order in orders}  # brought down twice, or lying at two writers
        for order in unique.values():
            if order.kind == "event":
                await self._event(order)
            elif order.kind != "policy":
                why = f"unreadable: this version knows no order of kind {order.kind!r}"
                self._switch.answer(order.id, "refused", why, kind="event")
        await self._policies([order for order in unique.values() if order.kind == "policy"])
        memory = self._switch.memory
        for order in unique.values():
            memory.handle(order.id)
        if unique or memory.cursors != self._desk.cursors:
            memory.cursors = self._desk.cursors
            await self._switch.save()

    async def _policies(self, orders: list[Order]) -> None:
        """Take the newest policy that this robot may take; say why not of all others."""
        offers = [offer for order in orders if (offer := self._offer(order)) is not None]
        best = newest(offers)
        for offer in offers:
            if best is not None and offer is not best:
                self._switch.answer(offer.order.id, "refused", f"older: the order {best.order.id} is newer")
        if best is None:
            return
        try:
            await self._switch.take(best)
        except OSError as error:
            reason = f"the policy cannot be put on this robot's disk: {error}"
            log.warning("policy not applied", robot=self._settings.robot, why=reason)
            self._switch.answer(best.order.id, "failed", reason)

    def _offer(self, order: Order) -> Offer | None:
        settings = self._settings
        try:
            return open_offer(order, Gate(settings.robot, settings.policy_keys, self._now_us(), self._switch.issued_us))
        except Refused as error:
            log.warning("policy refused", robot=settings.robot, order=order.id, why=error.message, reason=error.reason)
            self._switch.answer(order.id, "refused", f"{error.reason}: {error.message}")
            return None

    async def _event(self, order: Order) -> None:
        """Raise an event that was ordered, or say what stands against it."""
        now_us = self._now_us()
        try:
            event = open_event(order, now_us)
        except InputError as error:
            self._switch.answer(order.id, "refused", f"unreadable: {error.message}", kind="event")
            return
        if order.expires_us <= now_us:
            self._switch.answer(order.id, "expired", "it was fetched too late", kind="event")
            return
        try:
            is_there, reason = what_remains(event, await self._held(), now_us)
        except FleetboxError:  # our own store is away: the event waits in the spool, and its labeler will tell
            is_there, reason = True, ""
        if is_there:
            tell_event(self._tell, event)
        self._switch.answer(order.id, "marked" if is_there else "nothing", reason, kind="event")

    def _say(self, error: FleetboxError | None) -> None:
        """Say once when the site cannot be asked, and when it can again; a link that comes and goes is no fault."""
        said = "" if error is None else type(error).__name__
        if said != self._said:
            site, robot = self._settings.site_name, self._settings.robot
            if error is None:
                log.info("orders are fetched again", robot=robot, site=site)
            elif isinstance(error, AccessDenied):
                log.warning("orders cannot be fetched", robot=robot, site=site, why=error.message)
            else:
                log.info("orders cannot be fetched for now", robot=robot, site=site, why=error.message)
        self._said = said

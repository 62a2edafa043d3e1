"""Bring the orders for a site's robots down from the next site, where people leave them; outbound only."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import structlog

from fleetbox.blobs import Store
from fleetbox.errors import NotFound, StoreRefused
from fleetbox.naming import desk_bucket
from fleetbox.orders import Order, read_orders, write_order
from fleetbox.settings import Place
from fleetbox_cloud.desk.asking import for_each

log = structlog.get_logger()

LOOK_S = 3.0  # with the robot's own 2 s an order is on its way for 5 s at most; a look costs 122 bytes a bucket
WHOLE_S = 300.0  # all desks anew: one that was deleted and filled to the same size again looks unchanged


@dataclass(frozen=True, slots=True)
class Ends:
    """Hold both ends of a mirror: the next site's store, as this site may use it, and this site's own."""

    ahead: Store
    own: Store


class Mirror:
    """Keep copies of the next site's orders in this site's own desks, as entry `orders/from-<site>`.

    A desk is read only when its size changed, and once more at the next look: the engine counts an order into the size
    before it can be read. Copies are stamped when they come to lie here, and known by the order's id: a break in the
    middle, or a desk read twice, doubles nothing.
    """

    def __init__(self, site: str, now_us: Callable[[], int] = lambda: time.time_ns() // 1000) -> None:
        self._writer, self._now_us = f"from-{site}", now_us
        self._sizes: dict[str, int] = {}  # robot -> size of the desk ahead when it was read twice
        self._once: dict[str, int] = {}  # the same, read at the last look for the first time

    def forget(self) -> None:
        """Read every desk at the next look."""
        self._sizes.clear()
        self._once.clear()

    async def look(self, ends: Ends) -> int:
        """Bring down what is new; return how many orders. Raises Unreachable when the next site does not answer."""
        ahead, own = await ends.ahead.bucket_sizes(), await ends.own.bucket_sizes()
        changed = changed_desks(ahead, own, self._sizes)
        brought = await for_each(changed, lambda robot: self._bring(ends, robot))
        self._sizes.update({robot: size for robot, size in changed.items() if self._once.get(robot) == size})
        self._once = changed
        return sum(brought.values())

    async def _bring(self, ends: Ends, robot: str) -> int:
        there = [order async for order in read_orders(ends.ahead, robot)]
        here = {order.id async for order in read_orders(ends.own, robot)}
        fresh = missing(there, here)
        for order in fresh:
            await write_order(ends.own, order, self._writer, self._now_us())
            log.info("order brought", order=order.id, kind=order.kind, robot=order.robot, by=order.by)
        return len(fresh)


def changed_desks(ahead: Mapping[str, int], own: Mapping[str, int], before: Mapping[str, int]) -> dict[str, int]:
    """Return robot -> size of the desks ahead that are not empty, differ from before, and have one here to go into."""
    found = {}
    for bucket, size in ahead.items():
        robot = bucket.removesuffix(desk_bucket(""))
        if bucket == desk_bucket(robot) and bucket in own and size and before.get(robot) != size:
            found[robot] = size
    return found


def missing(there: Iterable[Order], here: set[str]) -> list[Order]:
    """Return the orders not here yet, each once, in order of issue."""
    fresh = {order.id: order for order in there if order.id not in here}
    return sorted(fresh.values(), key=lambda order: (order.issued_us, order.id))


async def mirror(ahead: Place, own: Callable[[], Store], look_s: float = LOOK_S) -> None:
    """Mirror until cancelled; raises what the next site answers, to be started again."""
    loop, work = asyncio.get_running_loop(), Mirror(ahead.name)
    async with Store.at(ahead) as above, own() as here:
        token, whole_s = ahead.current_token(), loop.time()
        while ahead.current_token() == token:  # a rotated one needs another connection
            if loop.time() - whole_s > WHOLE_S:
                work.forget()
                whole_s = loop.time()
            try:
                await work.look(Ends(above, here))
            except (NotFound, StoreRefused) as error:  # one desk's trouble; the next look may do
                log.warning("desk not mirrored", site=ahead.name, why=error.message)
            await asyncio.sleep(look_s)

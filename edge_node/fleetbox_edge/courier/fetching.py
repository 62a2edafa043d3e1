"""Fetch a robot's new orders from its desk at a site, at one small request while there are none."""

from __future__ import annotations

from collections.abc import Mapping

from fleetbox.blobs import Store
from fleetbox.naming import desk_bucket
from fleetbox.orders import ORDERS, Order, read_orders
from fleetbox_edge.courier.memory import Cursor

OVERLAP_US = 3_600_000_000  # µs; people's clocks differ: an order may be stamped behind the newest of its entry


class Desk:
    """Tell what is new in one robot's desk, from cursors as an earlier process left them.

    An entry counts as read when it looked the same at two looks: an order seen half-written is found by the second.
    """

    def __init__(self, robot: str, cursors: Mapping[str, Cursor]) -> None:
        self._robot, self.cursors = robot, dict(cursors)
        self._last: dict[str, Cursor] = {}

    async def news(self, store: Store) -> list[Order]:
        """Return orders that may be new, in order of issue; raises NotFound where the robot has no desk."""
        found = {
            info.name: (info.records, info.latest_us)
            for info in await store.entries(desk_bucket(self._robot))
            if info.name.startswith(f"{ORDERS}/")
        }
        orders: list[Order] = []
        for name, now in found.items():
            if self.cursors.get(name) != now:
                start_us, writer = start_of(self.cursors.get(name), now), name.removeprefix(f"{ORDERS}/")
                orders += [order async for order in read_orders(store, self._robot, start_us, writer)]
        self.cursors = {
            name: now if self._last.get(name) == now else self.cursors.get(name, (0, 0)) for name, now in found.items()
        }
        self._last = found
        return sorted(orders, key=lambda order: (order.issued_us, order.id))


def start_of(before: Cursor | None, now: Cursor) -> int:
    """Return from which stamp in µs an entry is to be read: from its beginning when it does not go on from before."""
    if before is None or now[1] <= before[1] or now[0] < before[0]:
        return 0
    return max(0, before[1] - OVERLAP_US)

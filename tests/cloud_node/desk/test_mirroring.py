"""Orders come down from the next site once each, whatever breaks in between."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from half_written import half_written

from fleetbox.blobs import Store
from fleetbox.naming import desk_bucket
from fleetbox.orders import Order, encode, read_orders, write_order
from fleetbox.quotas import bucket_spec
from fleetbox.records import Draft
from fleetbox_cloud.desk.mirroring import Ends, Mirror, changed_desks, missing

NOW_US = 1_800_000_000_000_000


def order(name: str, robot: str = "r1", issued_us: int = NOW_US) -> Order:
    """Make an order for an event."""
    return Order(name, robot, "event", {"kind": "pull"}, "ada", issued_us)


async def make_desks(store: Store, *robots: str) -> None:
    """Make the desks as provisioning would."""
    for robot in robots:
        await store.ensure_bucket(desk_bucket(robot), bucket_spec("meta"))


async def ids(store: Store, robot: str) -> list[str]:
    """Return the ids of the orders in a desk."""
    return [one.id async for one in read_orders(store, robot)]


def test_only_desks_that_changed_are_read() -> None:
    """A desk that is empty, unchanged, or has none here to go into is passed over; other buckets are none."""
    ahead = {"r1--desk": 5, "r2--desk": 0, "r3--desk": 7, "r4--desk": 9, "r1--meta": 3, "desk": 2}
    own = dict.fromkeys(("r1--desk", "r2--desk", "r3--desk", "desk"), 0)
    assert changed_desks(ahead, own, {"r3": 7}) == {"r1": 5}
    assert changed_desks(ahead, own, {"r3": 6, "r1": 5}) == {"r3": 7}


def test_missing_orders_come_once_and_in_order_of_issue() -> None:
    """What is here is left out; an order that lies in two entries is one order."""
    late, early = order("b", issued_us=2), order("a", issued_us=1)
    assert missing([late, early, late, order("c")], {"c"}) == [early, late]


def test_orders_come_down_once(new_store_server: Callable[..., Any]) -> None:
    """Each order of each writer arrives once and whole, a second look brings none, and none goes to another robot."""
    cloud, edge = new_store_server(), new_store_server()

    async def main() -> None:
        async with Store(cloud.url, cloud.token) as above, Store(edge.url, edge.token) as here:
            await make_desks(above, "r1", "r2", "r3")
            await make_desks(here, "r1", "r2")
            for number in range(3):
                await write_order(above, order(f"ada-{number}"), "ada")
                await write_order(above, order(f"bob-{number}", "r2"), "bob")
            await write_order(above, order("away", "r3"), "ada")
            mirror = Mirror("cloud", lambda: NOW_US + 5)
            assert await mirror.look(Ends(above, here)) == 6
            assert await mirror.look(Ends(above, here)) == 0
            assert await Mirror("cloud").look(Ends(above, here)) == 0, "another process knows them by their ids"
            assert await ids(here, "r1") == ["ada-0", "ada-1", "ada-2"]
            assert await ids(here, "r2") == ["bob-0", "bob-1", "bob-2"]
            assert [one async for one in read_orders(here, "r1")][1] == order("ada-1")
            assert {one.name for one in await here.entries("r1--desk")} == {"orders/from-cloud"}

    asyncio.run(main())


def test_an_order_still_being_written_comes_down_once_it_is(new_store_server: Callable[..., Any]) -> None:
    """The desk has its size before the order can be read: a look at that moment is not the last at this size."""
    cloud, edge = new_store_server(), new_store_server()
    draft = Draft("orders/ada", NOW_US, encode(order("one")), {"type": "json"}, "application/json")

    async def main() -> None:
        async with Store(cloud.url, cloud.token) as above, Store(edge.url, edge.token) as here:
            await make_desks(above, "r1")
            await make_desks(here, "r1")
            mirror, ends = Mirror("cloud"), Ends(above, here)
            async with half_written(cloud, "r1--desk", draft) as end:
                assert await mirror.look(ends) == 0
                await end()
            assert await mirror.look(ends) == 1
            assert await mirror.look(ends) == 0
            assert await ids(here, "r1") == ["one"]

    asyncio.run(main())


def test_an_order_that_comes_late_lies_behind_what_was_read(store_server: Any, bucket_name: str) -> None:
    """Copies are stamped when they come: a robot that read up to now finds an order issued an hour ago."""

    async def main() -> None:
        async with Store(store_server.url, store_server.token) as store:
            await make_desks(store, bucket_name)
            await write_order(store, order("old", bucket_name, NOW_US - 3_600_000_000), "from-cloud", NOW_US)
            assert [one.id async for one in read_orders(store, bucket_name, NOW_US)] == ["old"]

    asyncio.run(main())


def test_after_an_outage_only_what_is_missing_comes(
    new_store_server: Callable[..., Any], wait_until: Callable[..., Any]
) -> None:
    """Both stores go and come back in turn while orders are left: in the end each is there once."""
    cloud, edge = new_store_server(), new_store_server()

    async def main() -> None:
        async with Store(cloud.url, cloud.token) as above, Store(edge.url, edge.token) as here:
            await make_desks(above, "r1")
            await make_desks(here, "r1")
            mirror, ends = Mirror("cloud"), Ends(above, here)

            async def looked() -> bool:
                try:
                    await mirror.look(ends)
                except Exception:
                    return False
                return True

            for number, server in enumerate((cloud, edge)):
                await write_order(above, order(f"before-{number}"), "ada")
                await looked()
                await asyncio.to_thread(server.kill)
                assert not await looked()
                await asyncio.to_thread(server.start)
                await wait_until(looked)
            assert await ids(here, "r1") == ["before-0", "before-1"]

    asyncio.run(main())

"""A robot that records nothing is heard of all the same: its agent looks into its desk with its own token."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest

from fleetbox.blobs import Store
from fleetbox.orders import read_orders
from fleetbox_cloud.desk.standing import OFFLINE_US, read_all, standings
from fleetbox_cloud.tokens import replace_token, robot_token

DEADLINE_S = 100.0  # the engine writes down when tokens were used once a minute


@pytest.mark.slow
@pytest.mark.faults  # it waits a minute for the engine, whose timer that is
def test_a_robot_that_only_looks_into_its_desk_is_online(scene: Callable[..., Any]) -> None:
    """By the use of its token, to whoever may read that; its neighbour, and to others both, count by their records."""

    async def main() -> None:
        site = scene(2)
        await site.make()
        quiet, away = sorted(site.robots)
        old_us = time.time_ns() // 1000 - 2 * OFFLINE_US
        await site.look(old_us)
        async with site.store() as store:
            value = await replace_token(store, robot_token(quiet))
            before = await standings(store, [quiet, away], [], time.time_ns() // 1000)
            assert [one.offline for one in before] == [True, True]
            async with Store(site.server.url, value, name="edge") as own:
                until_s, found = time.monotonic() + DEADLINE_S, before
                while found[0].offline and time.monotonic() < until_s:
                    assert [order async for order in read_orders(own, quiet)] == []
                    await asyncio.sleep(0.5)
                    found = await standings(store, [quiet, away], [], time.time_ns() // 1000)
                assert [one.offline for one in found] == [False, True]
                assert found[0].heard_us > old_us + OFFLINE_US
                mine = await read_all(own, [quiet], time.time_ns() // 1000)
                assert mine[quiet].heard_us < old_us + OFFLINE_US, "a robot may not read who used which token"

    asyncio.run(main())

"""The relay on healthy servers: what tasks send arrives whole, labels and all."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

Hops = Callable[..., Any]


def test_everything_selected_arrives_and_nothing_else(hop: Hops) -> None:
    """Records of several entries, slashes in their names, arrive; those the filter leaves out stay."""

    async def run() -> None:
        async with hop() as h:
            await h.open(h.relay.url)
            await h.write("imu", range(1, 400), 3_000)
            await h.write("cam/front/preview", range(1, 40), 100_000)
            await h.write("cam/front", range(1, 40), 1_000, labels={"robot": "r1"}, expect=False)
            await h.arrived(15)
            assert await h.count_there("imu") == 399
            shown = h.relay.counters()
            assert shown["records"] == len(h.written)
            assert shown["reachable"]
            assert not shown["refused"]
            assert shown["held_bytes"] == 0

    asyncio.run(run())

"""Streams that change while the loader runs: renamed, with a field of another type, with numbers that are none."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from typing import Any

from fleetbox.records import Draft
from fleetbox.scalars import ScalarStore

SECOND_US = 1_000_000
NOW_US = int(time.time()) * SECOND_US


def second(make_chunk: Callable[..., Draft], ago_s: int, values: list[Any], stream: str = "imu") -> Draft:
    """Pack a second of ten rows that began so many seconds ago, with the field ax as given and ay beside it."""
    times = [NOW_US - ago_s * SECOND_US + row * 100_000 for row in range(10)]
    return make_chunk(stream, times, {"ax": values, "ay": [1.0] * 10})


def test_a_renamed_stream_is_two(rig: Any, make_chunk: Any, wait_until: Any) -> None:
    """What came under the old name stays there; from then on the new one has it, and none is in both."""

    async def main() -> None:
        await rig.make_buckets()
        old = second(make_chunk, 60, [0.5] * 10, "imu")
        new = second(make_chunk, 30, [0.5] * 10, "imu_main")
        async with rig.loading() as loader:
            await rig.write([old])
            await wait_until(lambda: rig.holds([old]))
            await rig.write([new])
            await wait_until(lambda: rig.holds([old, new]))
            await wait_until(lambda: asyncio.sleep(0, rig.counts(loader).get("chunks") == 2))
            assert rig.counts(loader) == {"chunks": 2, "points": 20, "values": 40}
        async with ScalarStore(rig.influx) as scalars:
            found = await scalars.query("SHOW MEASUREMENTS WHERE \"robot\" = 'r1'")
        assert [row[0] for row in found[0].rows] == ["imu", "imu_main"]

    asyncio.run(main())


def test_a_field_that_changes_type_goes_on(rig: Any, make_chunk: Any, wait_until: Any) -> None:
    """Numbers of any kind are one field; while it is text it has no points, and its neighbour is not disturbed."""

    async def main() -> None:
        await rig.make_buckets()
        kinds: list[list[Any]] = [[1.5] * 10, [3] * 10, [True] * 10, ["stuck"] * 10, [2.5] * 10]
        drafts = [second(make_chunk, 60 - 10 * number, values) for number, values in enumerate(kinds)]
        async with rig.loading() as loader:
            await rig.write(drafts)
            await wait_until(lambda: asyncio.sleep(0, rig.counts(loader).get("chunks") == 5))
            held = await rig.values("imu")
            means = [held[NOW_US - (60 - 10 * number) * SECOND_US].get("ax.mean") for number in range(5)]
            assert means == [1.5, 3.0, 1.0, None, 2.5]
            assert all(fields["ay.count"] == 10 for fields in held.values())
            assert rig.counts(loader) == {"chunks": 5, "points": 50, "values": 90}

    asyncio.run(main())


def test_a_sensor_that_fails_for_a_while_costs_its_own_values_alone(rig: Any, make_chunk: Any, wait_until: Any) -> None:
    """NaN and infinities among numbers: the second's roll-up is that of the others, and those left out are counted."""

    async def main() -> None:
        await rig.make_buckets()
        some = second(make_chunk, 60, [1.0, math.nan, 3.0, math.inf, -math.inf, *[2.0] * 5])
        none = second(make_chunk, 50, [math.nan] * 10)
        async with rig.loading() as loader:
            await rig.write([some, none])
            await wait_until(lambda: asyncio.sleep(0, rig.counts(loader).get("chunks") == 2))
            held = await rig.values("imu")
            first = held[NOW_US - 60 * SECOND_US]
            assert [first[f"ax.{what}"] for what in ("min", "mean", "max", "last", "count")] == [1.0, 2.0, 3.0, 2.0, 7]
            assert held[NOW_US - 50 * SECOND_US].keys() == {
                f"ay.{what}" for what in ("min", "mean", "max", "last", "count")
            }
            assert rig.counts(loader) == {"chunks": 2, "points": 20, "values": 27, "refused:nan": 13}

    asyncio.run(main())

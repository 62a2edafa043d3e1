"""Hours of the books and of machines in a real InfluxDB, beside the minutes and seconds they add up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from fleetbox.ledger import MINUTE_US, Line, Standing
from fleetbox.measurements import BOOKS, HOST_STREAM
from fleetbox.scalars import ScalarStore
from fleetbox_cloud.feeds.hours import HOUR_US, HourRhythm, Hours

from .conftest import NOW_US, Rig

SUMS = ", ".join(f'sum("{name}") AS "{name}"' for name in BOOKS.fields)
AT_ONCE = HourRhythm(settle_s=0.0)


async def look(rig: Rig, hours: Hours, now_s: float, now_us: int = NOW_US) -> int:
    """Let the hours look once."""
    async with ScalarStore(rig.influx) as scalars:
        return await hours.look(scalars, ["r1"], now_us, now_s)


async def sums(rig: Rig, measurement: str) -> list[dict[str, Any]]:
    """Return the sums of every field by stream and hour."""
    by = 'GROUP BY time(1h), "robot", "site", "stream", "class" fill(none)'
    since = f"time >= {NOW_US - 4 * HOUR_US}u AND time <= {NOW_US}u"
    return await rig.ask(f'SELECT {SUMS} FROM "{measurement}" WHERE {since} {by}')


def test_hours_are_the_sums_of_their_minutes_also_when_those_change(rig: Rig, line: Callable[..., Line]) -> None:
    """Two hours of two streams add up; a loss that is repaired later changes its hour alone, and that one only once."""

    async def told() -> None:
        for ago in (61, 62, 2):
            await rig.tell("edge", line("imu", ago, (6, 6, 6)), line("gps", ago, (1, 1, 1)), at_us=NOW_US + ago)
        lost = Standing("edge", "sensor", "imu", NOW_US - 62 * MINUTE_US, 0, {}, {"evicted": 4})
        lines = [line(name, ago, (many, many, many)) for ago in (61, 62, 2) for name, many in (("imu", 6), ("gps", 1))]
        lines[2] = line("imu", 62, (10, 10, 10))
        await rig.tell("r1", *lines, at_us=NOW_US + 100, standings=(lost,))
        feeds = rig.feeds()
        feeds.hours.rhythm = AT_ONCE
        books = rig.books(feeds)
        await rig.look(feeds, books)
        assert await look(rig, feeds.hours, 0.0) > 0
        hours = await sums(rig, "books_hours")
        assert hours == await sums(rig, "books")
        assert sum(row["lost"] for row in hours) == 4

        assert await look(rig, feeds.hours, 1.0) == 0  # nothing has changed since
        await rig.tell("edge", line("imu", 62, (10, 10, 10)), at_us=NOW_US + 200)
        repaired = Standing("edge", "sensor", "imu", NOW_US - 62 * MINUTE_US)
        await rig.tell("r1", line("imu", 62, (10, 10, 10)), at_us=NOW_US + 201, standings=(repaired,))
        await rig.look(feeds, books, NOW_US + MINUTE_US)
        assert await look(rig, feeds.hours, 2.0) > 0
        hours = await sums(rig, "books_hours")
        assert hours == await sums(rig, "books")
        assert sum(row["lost"] for row in hours) == 0

    asyncio.run(told())


def test_hours_that_nobody_told_of_are_found_by_the_sweep(rig: Rig) -> None:
    """Points of machines that came a week late, and books written by a process that was killed, are added up."""

    async def told() -> None:
        week_us = NOW_US - NOW_US % HOUR_US - 7 * 24 * HOUR_US
        async with ScalarStore(rig.influx) as scalars:
            await scalars.ensure_bucket()
            rolled = "cpu.min={0},cpu.mean={1},cpu.max={2},cpu.last={1},cpu.count=15"
            host = f"{HOST_STREAM},robot=r1,site=edge"
            text = [
                f"{host} {rolled.format(at, at + 1.0, at + 2.0)} {week_us + at * 15_000_000}" for at in range(240 + 1)
            ]
            books = "books,robot=r1,site=edge,stream=imu,class=sensor"
            text += [f"{books} recorded=6i,selected=6i,lost=1i {week_us + at * MINUTE_US}" for at in range(90)]
            assert not (await scalars.write_lines(text)).refused
        hours = Hours(AT_ONCE)
        await look(rig, hours, 0.0)
        host_rows = await rig.ask("SELECT * FROM host_hours")
        assert [
            (row["time"], row["cpu.min"], row["cpu.mean"], row["cpu.max"], row["cpu.last"], row["cpu.count"])
            for row in host_rows
        ] == [
            (week_us, 0.0, 120.5, 241.0, 240.0, 3600.0),
            (week_us + HOUR_US, 240.0, 241.0, 242.0, 241.0, 15.0),
        ]
        found = await rig.ask("SELECT * FROM books_hours")
        assert [(row["time"], row["selected"], row["lost"]) for row in found] == [
            (week_us, 360, 60),
            (week_us + HOUR_US, 180, 30),
        ]
        assert await look(rig, hours, AT_ONCE.sweep_s) == 0  # a day later all is as it was

    asyncio.run(told())


def test_a_bucket_lost_in_mid_sweep_is_swept_again(rig: Rig) -> None:
    """Hours that were found right a moment before the bucket went are looked at again at the next look."""
    text = [f"books,robot=r1,site=edge,stream=imu,class=sensor selected=6i {NOW_US - at * MINUTE_US}" for at in (1, 2)]
    hours = Hours(AT_ONCE)

    class Losing(ScalarStore):
        """Have all of it begun anew with the first question of a sweep, as the stamps' look does beside it."""

        async def query(self, influxql: str, params: Any = None) -> Any:
            if "books_hours" in influxql:
                hours.begin()
            return await super().query(influxql, params)

    async def told() -> None:
        async with Losing(rig.influx) as scalars:
            await scalars.ensure_bucket()
            await hours.look(scalars, ["r1"], NOW_US, 0.0)
            await scalars.write_lines(text)
        assert await look(rig, hours, 1.0) == len(await rig.ask("SELECT * FROM books_hours")) > 0
        assert await look(rig, hours, 2.0) == 0

    asyncio.run(told())

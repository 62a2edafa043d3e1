"""Robots, streams and dead letters in a real InfluxDB, beside what the store's ledger says."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from fleetbox.errors import Unreachable
from fleetbox.ledger import MINUTE_US, Drop, Line, Standing
from fleetbox.measurements import HOST_STREAM
from fleetbox.records import Draft
from fleetbox.scalars import ScalarStore
from fleetbox_dashboards.alerts import alerts

from .conftest import NOW_US, Rig

POLICY = '[stream.imu]\nship = "always"\nexpect = "100 Hz"\n[stream."cam"]\nship = "always"\nexpect = "2 Hz"\n'
ROBOTS = "SELECT * FROM robots GROUP BY robot, site ORDER BY time DESC LIMIT 1"


def test_a_robot_that_is_well_has_no_trouble(rig: Rig, line: Callable[..., Line]) -> None:
    """Everything arrived, every stream delivers: trouble 0, and each number is that of the ledger."""
    rig.policy = POLICY

    async def told() -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        lines = [line("imu", 2, (12, 12, 12), rows=6000), line("cam", 2, (120, 120, 120), cls="media")]
        await rig.tell("r1", *lines, line(HOST_STREAM, 2, (4, 4, 4)))
        await rig.tell("edge", *lines, line(HOST_STREAM, 2, (4, 4, 4)))
        ring = {"rings": {"sensor": {"holds_h": 200.0}, "media": {"holds_h": 48.0}, "log": {"holds_h": None}}}
        await rig.write("r1--meta", Draft("fleetbox/ring", NOW_US, json.dumps(ring).encode(), {"type": "json"}, ""))
        feeds = rig.feeds()
        books = rig.books(feeds)
        await rig.look(feeds, books)
        return await rig.ask(ROBOTS), await rig.ask("SELECT * FROM streams GROUP BY robot, site, stream")

    (row,), streams = asyncio.run(told())
    assert row.pop("time") == NOW_US
    assert row == {
        "robot": "r1", "site": "edge", "trouble": 0, "recording": True, "age_s": 61.0, "lag_s": 0.0, "held_h": 48.0,
        "waiting": 0, "refused": 0, "lost": 0, "unexplained": 0, "dropped": 0, "streams": 2, "streams_well": 2,
        "dead_letters": 0,
    }  # fmt: skip
    imu = {"robot": "r1", "site": "edge", "stream": "imu", "time": NOW_US - 2 * MINUTE_US}
    assert {one["stream"]: one for one in streams}["imu"] == {
        **imu, "hz": 100.0, "expect_hz": 100.0, "bytes_s": 2.0, "age_s": 1.0
    }  # fmt: skip
    assert sorted(one["stream"] for one in streams) == ["cam", "imu"]  # the agent's own are no streams here


def test_what_is_wrong_is_counted_and_ranks(rig: Rig, line: Callable[..., Line]) -> None:
    """Lost, refused, waiting, dropped and short streams are the ledger's numbers; the worst robot ranks highest."""
    rig.policy = POLICY

    async def told() -> list[dict[str, Any]]:
        await rig.tell("r2", line("imu", 2, (1, 1, 1), rows=6000), line("cam", 2, (120, 120, 120)), robot="r2")
        await rig.tell("edge", line("imu", 2, (1, 1, 1), rows=6000), line("cam", 2, (120, 120, 120)), robot="r2")
        there = Standing("edge", "sensor", "imu", NOW_US - 9 * MINUTE_US, 1, {"422 refused": 2}, {"evicted": 3})
        drop = Drop("sensor", "gps", "s", 0, 9, "spool full", NOW_US - 3 * MINUTE_US)
        short = replace(line("imu", 9, (10, 10, 10), rows=3000), missing=3000)
        await rig.tell("edge", line("imu", 9, (4, 4, 4)))
        await rig.tell("r1", short, at_us=NOW_US - 8 * MINUTE_US, standings=(there,), drops=(drop,))
        await rig.tell("edge", line("imu", 9, (4, 4, 4)), at_us=NOW_US - 7 * MINUTE_US)
        feeds = rig.feeds()
        await rig.look(feeds, rig.books(feeds))
        return await rig.ask(ROBOTS)

    found = {row["robot"]: row for row in asyncio.run(told())}
    one = found["r1"]
    assert (one["lost"], one["refused"], one["waiting"], one["dropped"]) == (3, 2, 1, 9)
    assert (one["streams"], one["streams_well"]) == (2, 0)  # imu delivers half, cam was never there
    assert (one["recording"], one["age_s"], one["lag_s"]) == (False, 8 * 60 + 1.0, 9 * 60.0)
    assert one["dead_letters"] == 2
    assert one["trouble"] == 1000 + 400 + 200 + 100 + 40
    assert found["r2"]["trouble"] == 0


def test_a_robot_offline_is_told_of_still_also_after_a_restart(rig: Rig, line: Callable[..., Line]) -> None:
    """Its last word ages; what it had lost within the day stands; a robot that never came is not recording."""

    async def told() -> dict[str, dict[str, Any]]:
        lost = Standing("edge", "sensor", "imu", NOW_US - 5 * MINUTE_US, 0, {}, {"evicted": 6})
        await rig.tell("edge", line("imu", 5, (4, 4, 4)))
        await rig.tell("r1", line("imu", 5, (10, 10, 10)), at_us=NOW_US - 4 * MINUTE_US, standings=(lost,))
        feeds = rig.feeds()
        await rig.look(feeds, rig.books(feeds))
        later_us = NOW_US + 180 * MINUTE_US
        again = rig.feeds()
        await rig.look(again, rig.books(again), later_us)
        return {row["robot"]: row for row in await rig.ask(ROBOTS)}

    row = asyncio.run(told())["r1"]
    assert row["lost"] == 6
    assert not row["recording"]
    assert row["age_s"] == 184 * 60 + 1.0
    assert row["streams"] == 1


def test_letters_are_told_until_they_are_gone(rig: Rig, line: Callable[..., Line]) -> None:
    """Those of the site's own hop by their list, those of the robot's by the ledger; settled ones go to 0 once."""

    async def told() -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        refused = Standing("edge", "sensor", "imu", NOW_US - 5 * MINUTE_US, 0, {"422 refused": 2})
        await rig.tell("edge", line("imu", 5, (8, 8, 8)))
        await rig.tell("r1", line("imu", 5, (10, 10, 10)), standings=(refused,))
        rig.letter("r1", 413, 3, NOW_US - 60_000_000)
        feeds = rig.feeds()
        books = rig.books(feeds)
        await rig.look(feeds, books)
        first = await rig.ask("SELECT * FROM dead_letters")
        await rig.tell("edge", line("imu", 5, (10, 10, 10)), at_us=NOW_US + 1)
        settled = Standing("edge", "sensor", "imu", NOW_US - 5 * MINUTE_US)
        await rig.tell("r1", line("imu", 5, (10, 10, 10)), at_us=NOW_US + 2, standings=(settled,))
        await rig.look(feeds, books, NOW_US + MINUTE_US)
        await rig.look(feeds, books, NOW_US + 2 * MINUTE_US)
        return first, await rig.ask("SELECT * FROM dead_letters")

    first, found = asyncio.run(told())
    told_first = {(row["reason"], row["letters"], row["oldest_s"]) for row in first}
    assert told_first == {("422 refused", 2, 300.0), ("413 at the next site", 3, 60.0)}
    ledger = [row["letters"] for row in found if row["reason"] == "422 refused"]
    assert ledger == [2, 0]
    assert [row["letters"] for row in found if row["reason"] != "422 refused"] == [3, 3, 3]


def test_the_end_of_letters_is_told_although_influxdb_was_away(rig: Rig, line: Callable[..., Line]) -> None:
    """The look that found them gone could not write: the next one does."""

    async def told() -> list[int]:
        refused = Standing("edge", "sensor", "imu", NOW_US - 5 * MINUTE_US, 0, {"422 refused": 2})
        await rig.tell("r1", line("imu", 5, (10, 10, 10)), standings=(refused,))
        feeds = rig.feeds()
        books = rig.books(feeds)
        await rig.look(feeds, books)
        settled = Standing("edge", "sensor", "imu", NOW_US - 5 * MINUTE_US)
        await rig.tell("edge", line("imu", 5, (10, 10, 10)), at_us=NOW_US + 1)
        await rig.tell("r1", line("imu", 5, (10, 10, 10)), at_us=NOW_US + 2, standings=(settled,))
        here, rig.influx = rig.influx, replace(rig.influx, url="http://127.0.0.1:9")
        async with rig.store() as store, ScalarStore(here) as there, ScalarStore(rig.influx) as away:
            await books.feed(store, there, NOW_US + MINUTE_US)
            with pytest.raises(Unreachable):
                await feeds.tell_robots(store, away, NOW_US + MINUTE_US)
        rig.influx = here
        await rig.look(feeds, books, NOW_US + 2 * MINUTE_US)
        await rig.look(feeds, books, NOW_US + 3 * MINUTE_US)
        return [row["letters"] for row in await rig.ask("SELECT letters FROM dead_letters")]

    assert asyncio.run(told()) == [2, 0]


def test_the_alert_of_a_loss_ends_once_it_is_repaired(rig: Rig, line: Callable[..., Line]) -> None:
    """It counts the records, stays on while nobody mends them, and ends when a page says that they are there."""
    minute_us, hour_us = NOW_US - 40 * MINUTE_US, 60 * MINUTE_US
    alert = next(one for one in alerts() if one.name == "lost")

    async def firing(now_us: int) -> list[tuple[str, float]]:
        found = await rig.ask(alert.influxql.replace("now()", f"{now_us + 1}u"))
        assert all(row.keys() == {"robot", "site", "time", "last_last"} for row in found)
        return [(row["robot"], row["last_last"]) for row in found if row["last_last"] > alert.limit]

    async def told() -> None:
        await rig.tell("edge", line("imu", 40, (4, 4, 4)))
        lost = Standing("edge", "sensor", "imu", minute_us, 0, {}, {"evicted": 6})
        await rig.tell("r1", line("imu", 40, (10, 10, 10)), standings=(lost,))
        feeds = rig.feeds()
        books = rig.books(feeds)
        await rig.look(feeds, books)
        assert await firing(NOW_US) == [("r1", 6)]
        await rig.look(feeds, books, NOW_US + hour_us // 2)
        assert await firing(NOW_US + hour_us // 2) == [("r1", 6)]

        found_us = NOW_US + hour_us // 2 + MINUTE_US
        await rig.tell("edge", line("imu", 40, (10, 10, 10)), at_us=found_us)
        await rig.tell("r1", at_us=found_us + 1, standings=(Standing("edge", "sensor", "imu", minute_us),))
        await rig.look(feeds, books, found_us + MINUTE_US)
        assert await firing(found_us + MINUTE_US) == []

    asyncio.run(told())


def test_what_becomes_bad_is_told_at_once(rig: Rig, line: Callable[..., Line]) -> None:
    """Whoever tells of robots rests until the books see a refusal, and again until it is gone; not for what is well."""
    minute_us = NOW_US - 5 * MINUTE_US

    async def told() -> None:
        feeds = rig.feeds()
        books = rig.books(feeds)
        await rig.tell("r1", line("imu", 5, (10, 10, 10)))
        await rig.look(feeds, books)
        await feeds.watch.rest(0.0)
        for at_us, refused in ((NOW_US + 1, {"422 refused": 2}), (NOW_US + 2, {})):
            await rig.tell("r1", at_us=at_us, standings=(Standing("edge", "sensor", "imu", minute_us, 0, refused),))
            await rig.look(feeds, books, at_us)
            async with asyncio.timeout(30):
                await feeds.watch.rest(1e9)
        await rig.tell("r1", line("imu", 4, (10, 10, 10)), at_us=NOW_US + 3)
        await rig.look(feeds, books, NOW_US + 3)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await feeds.watch.rest(1e9)

    asyncio.run(told())


def test_old_letters_outlive_a_restart_of_the_site(rig: Rig, line: Callable[..., Line]) -> None:
    """They stand for minutes that nobody reads again, and go to 0 when a page says that they are settled."""
    minute_us, hours_us = NOW_US - 5 * MINUTE_US, 26 * 60 * MINUTE_US

    async def told() -> list[int]:
        refused = Standing("edge", "sensor", "imu", minute_us, 3, {"400 quota": 2})
        await rig.tell("edge", line("imu", 5, (5, 5, 5)))
        await rig.tell("r1", line("imu", 5, (10, 10, 10)), standings=(refused,))
        before = rig.feeds()
        books = rig.books(before)
        await rig.look(before, books)
        await rig.tell("edge", line("gps", 0, (1, 1, 1)), at_us=NOW_US + hours_us // 2)
        await rig.look(before, books, NOW_US + hours_us)
        feeds = rig.feeds()
        books = rig.books(feeds)
        await rig.look(feeds, books, NOW_US + hours_us + MINUTE_US)
        settled = Standing("edge", "sensor", "imu", minute_us)
        await rig.tell("r1", at_us=NOW_US + hours_us + 2 * MINUTE_US, standings=(settled,))
        await rig.look(feeds, books, NOW_US + hours_us + 3 * MINUTE_US)
        waiting = [row["waiting"] for row in await rig.ask("SELECT waiting FROM robots")]
        assert waiting == [3, 3, 3, 0]
        return [row["letters"] for row in await rig.ask("SELECT letters FROM dead_letters")]

    assert asyncio.run(told()) == [2, 2, 2, 0]


def test_a_stream_that_stops_delivers_nothing(rig: Rig, line: Callable[..., Line]) -> None:
    """A minute that a robot tells of without one of its streams has 0 Hz of it; a late page corrects that."""

    async def told() -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        asked = "SELECT hz, age_s FROM streams WHERE stream = 'gps'"
        await rig.tell("r1", line("imu", 4, (5, 5, 5)), line("gps", 4, (60, 60, 60)))
        await rig.tell("r1", line("imu", 3, (5, 5, 5)), at_us=NOW_US + 1)
        feeds = rig.feeds()
        books = rig.books(feeds)
        await rig.look(feeds, books)
        silent = await rig.ask(asked)
        await rig.tell("r1", line("gps", 3, (30, 30, 30)), at_us=NOW_US + 2)
        await rig.look(feeds, books, NOW_US + MINUTE_US)
        return silent, await rig.ask(asked)

    silent, mended = asyncio.run(told())
    assert [(row["hz"], row["age_s"]) for row in silent] == [(1.0, 1.0), (0.0, 61.0)]
    assert [(row["hz"], row["age_s"]) for row in mended] == [(1.0, 1.0), (0.5, 1.0)]


def test_a_damaged_memory_is_forgotten(rig: Rig, line: Callable[..., Line]) -> None:
    """A state file cut in half costs what it held, and nothing else."""

    async def told() -> list[dict[str, Any]]:
        await rig.tell("r1", line("imu", 2, (5, 5, 5)))
        rig.state.mkdir(parents=True)
        (rig.state / "watch.json").write_text('{"robots": {"r1": {"newest')
        feeds = rig.feeds()
        await rig.look(feeds, rig.books(feeds))
        return await rig.ask(ROBOTS)

    (row,) = asyncio.run(told())
    assert row["recording"]

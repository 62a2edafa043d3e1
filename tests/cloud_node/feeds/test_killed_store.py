"""The site's own store is killed under the boards: they say so, and nothing is missing or double afterwards."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from fleetbox.events import Event, make_id
from fleetbox.ledger import MINUTE_US, Line
from fleetbox.records import Draft
from fleetbox.scalars import ScalarStore
from fleetbox_cloud.books_feed import BooksFeed, Rhythm
from fleetbox_cloud.feeds import Feeds
from fleetbox_cloud.parts import Parts
from fleetbox_dashboards.alerts import alerts

from .conftest import NOW_US, Rig

ROUNDS, EACH = 3, 5
NAMES = ("books", "boards", "events")


@asynccontextmanager
async def running(rig: Rig, feeds: Feeds, books: BooksFeed) -> AsyncIterator[Parts]:
    """Run the feeds as the site's process does, started again within a fifth of a second."""
    async with ScalarStore(rig.influx) as scalars:
        await scalars.ensure_bucket()
    parts = Parts(lambda wait_s: asyncio.sleep(min(wait_s, 0.2)))
    runs = dict(zip(NAMES, (books.run, feeds.run_robots, feeds.run_arrivals), strict=True))
    task = asyncio.create_task(parts.run(runs))
    try:
        yield parts
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(is_so: Callable[[], Awaitable[bool]]) -> None:
    """Look again and again; fail after two minutes: what was reading may try for one before it says so."""
    async with asyncio.timeout(120):
        while not await is_so():  # noqa: ASYNC110 - what happens in servers sets no event here
            await asyncio.sleep(0.1)


async def something_of_each(rig: Rig, line: Callable[..., Line], round_: int) -> None:
    """Let a round's pages, events and lines arrive."""
    for number in range(round_ * EACH, (round_ + 1) * EACH):
        at_us = NOW_US + number
        told = line("imu", number + 2, (10, 10, 10))
        await rig.tell("edge", told, at_us=at_us)
        await rig.tell("r1", told, at_us=at_us)
        mark = Event(make_id("look", at_us, 0), "look", "r1", at_us, at_us - 1, at_us + 1)
        await rig.mark(mark, at_us)
        await rig.write("r1--log", Draft("log/app", at_us, f"line {number}".encode(), {"type": "log"}, "text/plain"))


@pytest.mark.slow
@pytest.mark.timeout(600)  # its deadlines are for a busy machine
def test_nothing_is_missing_or_double_after_the_store_was_killed(rig: Rig, line: Callable[..., Line]) -> None:
    """Killed -9 three times right after pages, events and lines came: parts name it, then all are there."""
    feeds = rig.feeds()
    books = BooksFeed(rig.fleet, "edge", rig.store, rig.state, Rhythm(look_s=0.2, again_s=0.0), feeds)
    silent = next(one for one in alerts() if one.name == "robot-silent")

    async def told() -> None:
        async with running(rig, feeds, books) as parts:
            for round_ in range(ROUNDS):
                await something_of_each(rig, line, round_)
                await asyncio.to_thread(rig.server.kill)
                said: set[str] = set()

                async def boards_say_so(said: set[str] = said) -> bool:
                    said |= {name for name, one in parts.report().items() if rig.server.url in (one["why"] or "")}
                    return "boards" in said  # what was reading books or events may try for a minute more

                await until(boards_say_so)
                await asyncio.to_thread(rig.server.start)

            async def whole() -> bool:
                found = await rig.ask('SELECT sum("arrived") AS "arrived" FROM books')
                return bool(found) and found[0]["arrived"] == ROUNDS * EACH * 10

            await rig.rows_in_time("SELECT id FROM events", ROUNDS * EACH)
            await rig.rows_in_time("SELECT text FROM logs", ROUNDS * EACH)
            await until(whole)

            async def running_again() -> bool:
                return all(parts.report()[name]["state"] == "running" for name in NAMES)

            await until(running_again)
            await rig.rows_in_time("SELECT last(age_s) FROM robots", 1)
        events = Counter(row["id"] for row in await rig.ask("SELECT id FROM events"))
        lines = Counter(row["text"] for row in await rig.ask("SELECT text FROM logs"))
        assert (len(events), {*events.values()}) == (ROUNDS * EACH, {1})
        assert lines == Counter({f"line {number}": 1 for number in range(ROUNDS * EACH)})
        (row,) = await rig.ask('SELECT sum("recorded") AS "recorded", sum("lost") AS "lost" FROM books')
        assert (row["recorded"], row["lost"]) == (ROUNDS * EACH * 10, 0)

        # a site that tells nothing for ten minutes is an alert by itself
        newest_us = (await rig.ask("SELECT last(age_s) FROM robots"))[0]["time"]
        gone = silent.influxql.replace("now()", f"{newest_us + 11 * MINUTE_US}u")
        assert (await rig.ask(gone), silent.no_data) == ([], "NoData")

    asyncio.run(told())

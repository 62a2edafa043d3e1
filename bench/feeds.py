"""What boards need beside streams: series in InfluxDB for 50 robots, and what the feeds cost a site."""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fleetbox.blobs import Store
from fleetbox.events import Event, make_id, write_event
from fleetbox.ledger import MINUTE_US, Count, Line, Page, minute_of, write_page
from fleetbox.measurements import BOOKS, DEAD_LETTERS, EVENTS, LOGS, OWN, RELAY, ROBOTS, SITES, STREAMS
from fleetbox.quotas import bucket_spec
from fleetbox.records import Draft
from fleetbox.scalars import ScalarStore
from fleetbox.settings import FleetSettings, Influx, load_fleet
from fleetbox_cloud.books_feed import BooksFeed, Rhythm
from fleetbox_cloud.feeds import FeedRhythm, Feeds
from fleetbox_local.processes import InfluxProcess, StoreProcess

NUMBER = int(os.environ.get("BENCH_ROBOTS", "50"))
MANY = 2_000  # for whom series and CPU are calculated
STREAMS_EACH = 31  # a humanoid's
ROLLED = 8  # of them hold numbers; five roll-ups of each of a dozen fields, all in one series a stream
MINUTES = 5
LINES_EACH = 20  # of logs, a minute and robot: what is selected of them
EVENTS_EACH = 2  # a minute and robot; a busy fleet


def run() -> list[dict[str, Any]]:
    """Feed some minutes of a fleet's ledger, events and logs on fresh servers and return the rows."""
    with tempfile.TemporaryDirectory() as folder:
        influx, store = InfluxProcess(Path(folder) / "influx"), StoreProcess(Path(folder) / "store")
        try:
            for server in (influx, store):
                server.start()
                server.wait_ready()
            return asyncio.run(_measure(_fleet(Path(folder), store, influx), Path(folder) / "state"))
        finally:
            influx.kill()
            store.kill()


def _fleet(folder: Path, store: StoreProcess, influx: InfluxProcess) -> FleetSettings:
    (folder / "store.token").write_text(store.token)
    (folder / "influx.token").write_text(influx.token)
    (folder / "fleet.toml").write_text(
        '[[robots]]\nmatch = "r*"\nsite = "edge"\n'
        f'[site.edge]\nstore = "{store.url}"\ntoken = {{ file = "store.token" }}\n'
        f'[site.edge.influx]\nurl = "{influx.url}"\norg = "{influx.org}"\nbucket = "feeds"\n'
        'token = { file = "influx.token" }\n'
    )
    return load_fleet(folder / "fleet.toml")


async def _measure(fleet: FleetSettings, state: Path) -> list[dict[str, Any]]:
    place = fleet.site_place("edge")
    assert place.influx is not None
    feeds = Feeds(fleet, "edge", lambda: Store.at(place), state, rhythm=FeedRhythm(arrivals_s=5.0))
    books = BooksFeed(fleet, "edge", lambda: Store.at(place), state, Rhythm(), feeds)
    robots = [f"r{number}" for number in range(NUMBER)]
    start_us = minute_of(time.time_ns() // 1000) - MINUTES * MINUTE_US
    spent: dict[str, float] = {"books": 0.0, "robots": 0.0, "arrivals": 0.0}
    async with Store.at(place) as store, ScalarStore(place.influx) as scalars:
        await scalars.ensure_bucket()
        for robot in robots:
            for cls in ("meta", "log", "sensor"):
                await store.ensure_bucket(f"{robot}--{cls}", bucket_spec(cls, 1_000_000_000))
        for minute in range(MINUTES):
            minute_us = start_us + minute * MINUTE_US
            for robot in robots:
                await _minute(store, robot, minute_us)
            now_us = minute_us + 75_000_000
            spent["books"] += await _cpu(books.feed(store, scalars, now_us))
            for _ in range(2):  # twice a minute
                spent["robots"] += await _cpu(feeds.tell_robots(store, scalars, now_us))
            spent["arrivals"] += await _cpu(_arrive(feeds, scalars, NUMBER * EVENTS_EACH * (minute + 1)))
        return await _rows(scalars, place.influx, spent)


async def _rows(scalars: ScalarStore, influx: Influx, spent: dict[str, float]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    counts = {one.name: await _series(scalars, one.name) for one in OWN}
    for name, number in counts.items():
        rows.append(
            {"name": f"series of {name}, {NUMBER} robots of {STREAMS_EACH} streams", "value": number, "unit": ""}
        )
    many = calculated(MANY)
    for name, number in calculated(NUMBER).items():
        if name in (STREAMS.name, BOOKS.name, ROBOTS.name, LOGS.name, EVENTS.name):
            assert counts[name] == number, (name, counts[name], number)  # then the same sum holds for many
    name = f"series of all of them and of roll-ups, {MANY} robots, calculated"
    rows.append({"name": name, "value": sum(many.values()), "unit": ""})
    for name, cpu_s in spent.items():
        share = cpu_s / MINUTES / 60
        rows.append({"name": f"CPU of a core for {name}, {NUMBER} robots", "value": 100 * share, "unit": "%"})
        rows.append({"name": f"the same for {MANY}, in proportion", "value": 100 * share * MANY / NUMBER, "unit": "%"})
    return rows


def calculated(robots: int) -> dict[str, int]:
    """Return the series of each measurement for so many robots on one hop, a tenth of them with dead letters."""
    return {
        ROBOTS.name: robots,
        STREAMS.name: robots * STREAMS_EACH,
        BOOKS.name: robots * STREAMS_EACH,
        EVENTS.name: robots * EVENTS_EACH,  # kinds
        LOGS.name: robots,
        DEAD_LETTERS.name: robots // 10,
        RELAY.name: robots,
        SITES.name: 2,
        "roll-ups": robots * (ROLLED + 2),  # and the agent's two
    }


async def _minute(store: Store, robot: str, minute_us: int) -> None:
    """Write what a robot sends in a minute: both ends' pages, events, lines of logs."""
    lines = tuple(_lines(minute_us))
    await write_page(store, f"{robot}--meta", Page(robot, robot, minute_us + 70_000_000, lines))
    await write_page(store, f"{robot}--meta", Page("edge", robot, minute_us + 71_000_000, lines))
    for number in range(EVENTS_EACH):
        kind, at_us = f"kind{number}", minute_us + number
        event = Event(make_id(kind, at_us, number), kind, robot, at_us, at_us - 1, at_us + 1)
        await write_event(store, f"{robot}--meta", event, at_us)
    drafts = [
        Draft("log/app", minute_us + 1_000 * at, b"a line of a log", {"type": "log"}, "text/plain")
        for at in range(LINES_EACH)
    ]
    await store.write(f"{robot}--log", drafts)


def _lines(minute_us: int) -> Iterator[Line]:
    for number in range(STREAMS_EACH):
        count = Count(12, 100_000, number + 1)
        yield Line(
            "sensor", f"stream{number}", minute_us, count, count, count, 6_000, minute_us, minute_us + 59_000_000
        )


async def _arrive(feeds: Feeds, scalars: ScalarStore, events: int) -> None:
    """Run the feed until every event and line has arrived."""
    task, lines = asyncio.create_task(feeds.run_arrivals()), events // EVENTS_EACH * LINES_EACH
    try:
        async with asyncio.timeout(120):
            for name, field, wanted in ((EVENTS.name, "id", events), (LOGS.name, "text", lines)):
                while await _count(scalars, name, field) < wanted:  # noqa: ASYNC110 - servers set no event here
                    await asyncio.sleep(1.0)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _count(scalars: ScalarStore, measurement: str, field: str) -> int:
    found = await scalars.query(f'SELECT count("{field}") FROM "{measurement}"')
    return int(found[0].rows[0][1]) if found else 0


async def _series(scalars: ScalarStore, measurement: str) -> int:
    found = await scalars.query(f'SHOW SERIES FROM "{measurement}"')
    return sum(len(one.rows) for one in found)


async def _cpu(work: Any) -> float:
    """Return the seconds of CPU that this process spent on it, threads included."""
    started_s = time.process_time()
    await work
    return time.process_time() - started_s

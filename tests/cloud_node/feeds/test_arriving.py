"""Events and lines of logs in a real InfluxDB: every one, once, also late and after an outage."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from half_written import half_written

from fleetbox.errors import Unreachable
from fleetbox.events import Event, draft, make_id
from fleetbox.ledger import MINUTE_US
from fleetbox.records import Draft
from fleetbox.scalars import ScalarStore
from fleetbox.settings import Influx
from fleetbox_cloud.feeds import Feeds
from fleetbox_cloud.feeds import feeds as feeds_module
from fleetbox_cloud.feeds.logs import level_of
from fleetbox_cloud.feeds.sent import Sent
from fleetbox_local.links import Link

from .conftest import NOW_US, Rig

EVENTS = "SELECT * FROM events"
LOGS = "SELECT * FROM logs"


def event(at_us: int, kind: str = "hard_brake", noise: int = 0, **changes: Any) -> Event:
    """Return an event of r1 with ten seconds around it."""
    whole = Event(make_id(kind, at_us, noise), kind, "r1", at_us, at_us - 10_000_000, at_us + 5_000_000)
    return replace(whole, **changes)


def text(stream: str, at_us: int, line: str, **labels: str) -> Draft:
    """Return a line of a log."""
    return Draft(stream, at_us, line.encode(), {"type": "log", **labels}, "text/plain")


FAILED: Counter[int] = Counter()


def failures(feeds: Feeds) -> int:
    """Return how often the feed has ended because a server was away."""
    return FAILED[id(feeds)]


@asynccontextmanager
async def running(rig: Rig, feeds: Feeds | None = None) -> AsyncIterator[Feeds]:
    """Run the feed of what arrives, started again as the site's process would."""
    feeds = feeds or rig.feeds()
    FAILED.pop(id(feeds), None)  # one of before may have had the same id

    async def keep() -> None:
        while True:
            try:
                await feeds.run_arrivals()
            except Unreachable:
                FAILED[id(feeds)] += 1
            await asyncio.sleep(0.1)

    async with ScalarStore(rig.influx) as scalars:
        await scalars.ensure_bucket()
    task = asyncio.create_task(keep())
    try:
        yield feeds
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def test_an_event_is_a_point_and_a_revision_changes_it(rig: Rig) -> None:
    """Every field is the event's; the labeler's closing revision, from the robot and from a site, is told too."""
    labels = {"severity": "high", "lat": "48.1", "lon": "x"}
    first = event(NOW_US, note='slipped, "twice"', by="ann", trigger="brake", labels=labels)

    async def told() -> tuple[dict[str, Any], dict[str, Any]]:
        async with running(rig):
            await rig.mark(first, NOW_US)
            (opened,) = await rig.rows_in_time(EVENTS, 1)
            await rig.mark(replace(first, state="labelled", labelled={"imu": 40}), NOW_US + 20_000_000)
            await rig.mark(replace(first, state="labelled", labelled={"cam": 2}), NOW_US + 20_000_000, "edge")
            await rig.rows_in_time(f"{EVENTS} WHERE labelled = 42", 1)
            (closed,) = await rig.ask(EVENTS)
            return opened, closed

    opened, closed = asyncio.run(told())
    assert opened == {
        "time": NOW_US, "robot": "r1", "site": "edge", "kind": "hard_brake", "id": first.id, "note": 'slipped, "twice"',
        "severity": "high", "by": "ann", "trigger": "brake", "state": "open", "start_us": NOW_US - 10_000_000,
        "stop_us": NOW_US + 5_000_000, "duration_s": 15.0, "labelled": 0, "lat": 48.1,
    }  # fmt: skip
    assert closed == {**opened, "state": "labelled", "labelled": 42}


def test_two_events_of_a_kind_at_one_moment_are_two(rig: Rig) -> None:
    """The second stands 1 µs later, also when both are revised."""
    pair = [event(NOW_US, noise=1), event(NOW_US, noise=2)]

    async def told() -> list[dict[str, Any]]:
        async with running(rig):
            for one in pair:
                await rig.mark(one, NOW_US)
            await rig.rows_in_time(EVENTS, 2)
            for one in reversed(pair):
                await rig.mark(replace(one, state="labelled"), NOW_US + 9)
            await rig.rows_in_time(f"{EVENTS} WHERE state = 'labelled'", 2)
        return await rig.ask(EVENTS)

    found = asyncio.run(told())
    assert {row["id"] for row in found} == {one.id for one in pair}
    assert [row["time"] for row in found] == [NOW_US, NOW_US + 1]


def test_nothing_is_missing_after_an_outage(rig: Rig) -> None:
    """Events and lines come while InfluxDB is away, some of them late, behind what was told: all are there after."""

    async def told(link: Link) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        direct = rig.influx
        rig.influx = replace(direct, url=link.url)
        async with running(rig) as feeds:
            await rig.mark(event(NOW_US), NOW_US)
            await rig.write("r1--log", text("log/app", NOW_US, "before"))
            await rig.rows_in_time(EVENTS, 1)
            await rig.rows_in_time(LOGS, 1)
            await asyncio.to_thread(link.cut)
            for number in range(1, 30):
                at_us, late_us = NOW_US + number * MINUTE_US, NOW_US - number * MINUTE_US
                await rig.mark(event(at_us), at_us)
                new, old = text("log/app", NOW_US + number, "new"), text("log/app", late_us, "old")
                await rig.write("r1--log", new, old)
            async with asyncio.timeout(100):
                while not failures(feeds):  # noqa: ASYNC110 - what happens in servers sets no event here
                    await asyncio.sleep(0.05)
            await asyncio.to_thread(link.heal)
            rig.influx = direct
            return await rig.rows_in_time(EVENTS, 30), await rig.rows_in_time(LOGS, 59)

    with Link("127.0.0.1", int(rig.influx.url.rpartition(":")[2])) as link:
        events, logs = asyncio.run(told(link))
    assert len(events) == 30
    assert [row["text"] for row in logs].count("old") == 29
    assert [row["text"] for row in logs].count("new") == 29


def test_what_is_older_than_retention_is_counted_and_stops_nothing(rig: Rig) -> None:
    """An event of two days ago in a bucket that keeps one: refused by reason, told no more; the others are there."""

    async def told() -> tuple[list[dict[str, Any]], dict[str, Any]]:
        async with ScalarStore(rig.influx) as scalars:
            await scalars.ensure_bucket(86_400)
        async with running(rig) as feeds:
            await rig.mark(event(NOW_US - 2880 * MINUTE_US), NOW_US - 2880 * MINUTE_US)
            await rig.mark(event(NOW_US), NOW_US)
            found = await rig.rows_in_time(EVENTS, 1)  # it may be there before InfluxDB has answered about the other
            async with asyncio.timeout(100):
                while not feeds.report()["refused"]:  # noqa: ASYNC110 - what happens in servers sets no event here
                    await asyncio.sleep(0.05)
            return found, feeds.report()

    events, report = asyncio.run(told())
    assert [row["time"] for row in events] == [NOW_US]
    assert report == {"refused": {"retention": 1}}


def test_lines_of_one_moment_are_all_there(rig: Rig) -> None:
    """Two streams that log in the same µs: stream is no tag, so each line has a time of its own."""

    async def told() -> list[dict[str, Any]]:
        await rig.write(
            "r1--log",
            text("log/app", NOW_US, "ERROR: from app"), text("log/nav", NOW_US, "from nav", level="WARN"),
            text("log/nav", NOW_US + 1, "next"), text("log/big", NOW_US + 5, "x" * 5_000),
            Draft("log/file", NOW_US + 7, b"\x00\x01", {"type": "file"}, "application/octet-stream"),
        )  # fmt: skip
        async with running(rig):
            found = await rig.rows_in_time(LOGS, 4)
        async with running(rig):  # another start writes nothing anew
            await rig.write("r1--log", text("log/app", NOW_US + 9, "last"))
            await rig.rows_in_time(LOGS, 5)
        assert [row["text"] for row in found] == [row["text"] for row in (await rig.ask(LOGS))[:4]]
        return found

    found = asyncio.run(told())
    assert sorted((row["stream"], row["text"][:9], row["level"]) for row in found) == [
        ("log/app", "ERROR: fr", "error"), ("log/big", "xxxxxxxxx", ""), ("log/nav", "from nav", "warning"),
        ("log/nav", "next", ""),
    ]  # fmt: skip
    assert max(len(row["text"]) for row in found) == 2_000
    assert len({row["time"] for row in found}) == 4


def test_a_flood_comes_in_parts(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """No more lines of a robot are taken at a look than are stated; none is left out in the end."""
    monkeypatch.setattr(feeds_module, "MOST_LINES", 7)

    async def told() -> int:
        await rig.write("r1--log", *(text("log/app", NOW_US + at, f"line {at}") for at in range(50)))
        async with running(rig):
            return len(await rig.rows_in_time(LOGS, 50))

    assert asyncio.run(told()) == 50


@pytest.mark.parametrize("ago_us", [-MINUTE_US, 60 * MINUTE_US], ids=["the newest", "a late one"])
def test_what_is_still_coming_is_told_once_it_is_there(rig: Rig, ago_us: int) -> None:
    """A store counts records before they can be read: a look at that moment does not take them for told."""
    at_us = NOW_US - ago_us
    mark, line = draft(event(at_us, noise=2), at_us), text("log/app", at_us, "second")

    async def counts() -> tuple[int, int]:
        return len(await rig.ask(EVENTS)), len(await rig.ask(LOGS))

    async def told() -> None:
        await rig.mark(event(NOW_US, noise=1), NOW_US)
        await rig.write("r1--log", text("log/app", NOW_US, "first"))
        sent = Sent(rig.state / "fed.sqlite")
        async with rig.store() as store, ScalarStore(rig.influx) as scalars:
            await scalars.ensure_bucket()
            arriving = feeds_module._Arriving(rig.feeds(), store, scalars, sent)
            await arriving.look()
            async with (
                half_written(rig.server, "r1--meta", mark) as end_mark,
                half_written(rig.server, "r1--log", line) as end_line,
            ):
                await arriving.look()
                assert await counts() == (1, 1)
                await end_mark()
                await end_line()
            await arriving.look()
            assert await counts() == (2, 2)
        sent.close()

    asyncio.run(told())


def test_a_robot_that_an_earlier_site_writes_is_left_to_it(rig: Rig, influx: Influx) -> None:
    """The cloud and the edge with one InfluxDB: the edge tells of its robots, the cloud of none of them."""
    fleet = rig.fleet
    cloud = fleet.site["edge"].model_copy(update={"tier": "cloud"})
    edge = fleet.site["edge"].model_copy(update={"next": "cloud"})
    both = fleet.model_copy(update={"site": {"edge": edge, "cloud": cloud}})
    assert Feeds(both, "edge", rig.store, rig.state).robots_in(["r1--meta", "x1--meta"]) == ["r1"]
    assert Feeds(both, "cloud", rig.store, rig.state).robots_in(["r1--meta", "x1--meta"]) == []


def test_levels_are_told_alike() -> None:
    """A label goes before the text; a word far behind the beginning is no level."""
    assert level_of("WARN", "ERROR x") == "warning"
    assert level_of("Notice", "") == "notice"
    assert level_of("", "[2026-01-01] CRITICAL motor") == "fatal"
    assert level_of("", f"{'x' * 100} ERROR") == ""
    assert level_of("", "TERRORS") == ""

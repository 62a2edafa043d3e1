"""The books in a real InfluxDB: the same numbers as the audit, written again without harm, corrected late."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from conftest import StoreServer
from half_written import half_written

from fleetbox.blobs import BucketSpec, Store
from fleetbox.ledger import MINUTE_US, Count, Drop, Line, Page, Span, Standing, minute_of, write_page
from fleetbox.ledger.shelf import draft
from fleetbox.scalars import ScalarStore
from fleetbox.selectors import Selector
from fleetbox.settings import FleetSettings, Influx, load_fleet
from fleetbox_cloud.books_feed import BooksFeed, Rhythm
from fleetbox_replication.audit import audit

NOW_US = minute_of(1_790_000_040_000_000)
HOUR_US = 60 * MINUTE_US
PROMPT = Rhythm(look_s=0.1, again_s=0.0)


@dataclass
class Rig:
    """A cloud with an InfluxDB of its own; the edge and the robot are known by their pages alone."""

    server: StoreServer
    influx: Influx
    folder: Path

    @property
    def fleet(self) -> FleetSettings:
        """Return the settings; the cloud's InfluxDB is the edge's too when the file `shared` is there."""
        (self.folder / "cloud.token").write_text(self.server.token)
        (self.folder / "influx.token").write_text(self.influx.token)
        of = '[site.{}.influx]\nurl = "{}"\norg = "{}"\nbucket = "{}"\ntoken = {{ file = "influx.token" }}\n'
        sites = ("cloud", "edge") if (self.folder / "shared").exists() else ("cloud",)
        tables = "".join(of.format(site, self.influx.url, self.influx.org, self.influx.bucket) for site in sites)
        policy = 'policy = "policy.toml"\n' if (self.folder / "policy.toml").exists() else ""
        (self.folder / "fleet.toml").write_text(
            f'{policy}[[robots]]\nmatch = "r*"\nsite = "edge"\n'
            '[site.edge]\nstore = "http://127.0.0.1:9"\ntoken = { file = "cloud.token" }\nnext = "cloud"\n'
            f'[site.cloud]\nstore = "{self.server.url}"\ntoken = {{ file = "cloud.token" }}\n{tables}'
        )
        return load_fleet(self.folder / "fleet.toml")

    def store(self) -> Store:
        """Reach the cloud's store."""
        return Store(self.server.url, self.server.token)

    def feed(self) -> BooksFeed:
        """Return a feed as the site process makes it."""
        return BooksFeed(self.fleet, "cloud", self.store, self.folder / "state", PROMPT)

    async def make(self) -> None:
        """Make the buckets at both servers."""
        async with self.store() as store, ScalarStore(self.influx) as scalars:
            await store.ensure_bucket("r1--meta", BucketSpec("NONE", 0))
            await scalars.ensure_bucket()

    async def tell(self, place: str, *lines: Line, at_us: int = NOW_US, **more: Any) -> None:
        """Write a page as it arrives at the cloud."""
        async with self.store() as store:
            await write_page(store, "r1--meta", Page(place, "r1", at_us, tuple(lines), **more))

    async def look(self, feed: BooksFeed, now_us: int = NOW_US) -> int:
        """Let the feed look once."""
        async with self.store() as store, ScalarStore(self.influx) as scalars:
            return await feed.feed(store, scalars, now_us)

    async def sums(self, site: str) -> dict[str, int]:
        """Return what a panel would show: the sum of every field on the hop to a site."""
        async with ScalarStore(self.influx) as scalars:
            found = await scalars.query(f"SELECT sum(*) FROM books WHERE site = '{site}' AND robot = 'r1'")
        if not found:
            return {}
        values = dict(zip(found[0].columns, found[0].rows[0], strict=True))
        return {name.removeprefix("sum_"): int(value) for name, value in values.items() if name != "time"}


@pytest.fixture
def rig(new_store_server: Callable[..., StoreServer], influx: Influx, tmp_path: Path) -> Rig:
    """Start the cloud's store."""
    rig = Rig(new_store_server(), influx, tmp_path)
    asyncio.run(rig.make())
    return rig


def line(stream: str, ago: int, counts: Sequence[int], **changes: Any) -> Line:
    """Return a line of the minute so many before now; counts of held, keep, cloud."""
    minute_us = NOW_US - ago * MINUTE_US
    held, keep, cloud = (Count(number, number * 10, number * 77) for number in counts)
    whole = Line("sensor", stream, minute_us, held, keep, cloud, held.records, minute_us, minute_us + 5)
    return replace(whole, **changes)


def test_a_panel_shows_what_the_audit_says(rig: Rig) -> None:
    """Every term of both hops is the same number, drops and missing samples included."""

    async def told() -> None:
        await rig.tell("edge", line("imu", 5, (6, 6, 4)), line("cam", 4, (3, 3, 3)))
        await rig.tell("cloud", line("imu", 5, (4, 4, 4)))
        refused = Standing("edge", "sensor", "cam", NOW_US - 4 * MINUTE_US, 1, {"507 disk full": 2}, {"evicted": 1})
        drop = Drop("sensor", "gps", "s", 0, 9, "spool full", NOW_US - 3 * MINUTE_US)
        lines = (line("imu", 5, (10, 6, 4), missing=3), line("cam", 4, (8, 7, 7)))
        await rig.tell("r1", *lines, at_us=NOW_US + 1, standings=(refused,), drops=(drop,))
        assert await rig.look(rig.feed()) == 5  # two streams on two hops, and what was dropped before the first

    asyncio.run(told())
    books = asyncio.run(
        audit(rig.fleet, Selector.parse("r1"), NOW_US - HOUR_US, NOW_US, NOW_US, site="cloud", live=False)
    )
    for row in books.hops("r1"):
        shown = asyncio.run(rig.sums(row.hop))
        assert shown == {
            "recorded": row.recorded, "selected": row.selected, "kept_on_robot": row.kept_on_robot,
            "arrived": row.arrived, "waiting": row.waiting, "refused": sum(row.refused.values()),
            "lost": sum(row.lost.values()), "unexplained": row.unexplained,
            "dropped": sum(row.dropped.values()), "missing": row.missing,
        }  # fmt: skip
    assert asyncio.run(rig.sums("edge"))["lost"] == 1


def test_what_a_ring_took_untold_is_lost_here_too(rig: Rig) -> None:
    """Numbers that are missing before a minute that the ring had turned into count as in the audit."""
    (rig.folder / "policy.toml").write_text('[stream.cam]\nship = "always"\n')

    async def told() -> dict[str, int]:
        session = "20260921t140000-abcd"
        turned = line("cam", 5, (4, 4, 4), spans=(Span(session, 6, 10, 4),), partial=True)
        await rig.tell("r1", turned)
        await rig.tell("edge", line("cam", 5, (4, 4, 4), spans=(Span(session, 6, 10, 4),)))
        feed = rig.feed()
        await rig.look(feed)
        await rig.look(feed, NOW_US + 8 * MINUTE_US)
        await rig.tell("r1", turned, at_us=NOW_US + 9 * MINUTE_US)  # by now the session's beginning is forgotten
        await rig.look(feed, NOW_US + 9 * MINUTE_US)
        return await rig.sums("edge")

    shown = asyncio.run(told())
    books = asyncio.run(audit(rig.fleet, Selector.parse("r1"), NOW_US - HOUR_US, NOW_US, NOW_US, site="cloud"))
    (row,) = [row for row in books.hops("r1") if row.hop == "edge"]
    assert (shown["recorded"], shown["arrived"], shown["lost"]) == (10, 4, 6)
    assert (row.recorded, row.arrived, sum(row.lost.values())) == (10, 4, 6)


def test_what_arrives_later_corrects_its_minute(rig: Rig) -> None:
    """A minute that waited is written again when it has arrived; a look without news writes nothing."""

    async def told() -> list[dict[str, int]]:
        feed, shown = rig.feed(), []
        await rig.tell("r1", line("imu", 5, (10, 6, 4)))
        await rig.look(feed)
        shown.append(await rig.sums("edge"))
        await rig.tell("edge", line("imu", 5, (6, 6, 4)), at_us=NOW_US + 60_000_000)
        await rig.look(feed, NOW_US + 60_000_000)
        shown.append(await rig.sums("edge"))
        await rig.tell("cloud", line("imu", 5, (4, 4, 4)), at_us=NOW_US + 61_000_000)
        assert await rig.look(feed, NOW_US + 62_000_000) == 2
        assert await rig.look(feed, NOW_US + 63_000_000) == 0
        return shown

    before, after = asyncio.run(told())
    assert (before["waiting"], before["arrived"]) == (6, 0)
    assert (after["waiting"], after["arrived"], after["recorded"]) == (0, 6, 10)


def test_a_page_still_being_written_is_read_once_it_is(rig: Rig) -> None:
    """A store counts a page before it can be read: the look at that moment is not the last, first or later."""

    async def told() -> list[int]:
        feed, shown = rig.feed(), []
        for number, stream in enumerate(("imu", "gps")):
            page = Page("r1", "r1", NOW_US + number, (line(stream, 5, (10, 6, 4)),))
            async with half_written(rig.server, "r1--meta", draft(page, NOW_US + number)) as end:
                await rig.look(feed)
                shown.append((await rig.sums("edge")).get("recorded", 0))
                await end()
            await rig.look(feed)
            shown.append((await rig.sums("edge")).get("recorded", 0))
        return shown

    assert asyncio.run(told()) == [0, 10, 10, 20]


def test_a_minute_long_forgotten_is_read_again(rig: Rig) -> None:
    """What was settled hours ago and changes now, by a page stamped long before, is corrected all the same."""

    async def told() -> dict[str, int]:
        feed = rig.feed()
        minute_us = NOW_US - 300 * MINUTE_US
        await rig.tell("r1", line("imu", 300, (10, 0, 0)), at_us=minute_us + 70_000_000)
        await rig.tell("edge", line("cam", 5, (1, 1, 1)))
        await rig.look(feed)
        assert (await rig.sums("edge"))["selected"] == 1
        # Somebody asked for that moment: selected and brought now, told in pages of now and of an hour ago.
        await rig.tell("edge", line("imu", 300, (4, 4, 4)), at_us=NOW_US + 1_000_000)
        await rig.tell("r1", line("imu", 300, (10, 4, 4)), at_us=NOW_US - HOUR_US)
        await rig.look(feed, NOW_US + 2_000_000)
        return await rig.sums("edge")

    shown = asyncio.run(told())
    assert (shown["recorded"], shown["selected"], shown["arrived"], shown["waiting"]) == (11, 5, 5, 0)


def test_a_restart_goes_on_and_writes_no_point_twice(rig: Rig) -> None:
    """A new process takes up what came meanwhile; the same points written again are the same points."""

    async def told() -> dict[str, int]:
        await rig.tell("r1", line("imu", 300, (3, 2, 1)), at_us=NOW_US - 299 * MINUTE_US)
        await rig.tell("r1", line("imu", 5, (10, 6, 4)))
        await rig.look(rig.feed())
        await rig.tell("edge", line("imu", 300, (2, 2, 1)), line("imu", 5, (6, 6, 4)), at_us=NOW_US + 1)
        await rig.look(rig.feed())
        await rig.look(rig.feed())
        return await rig.sums("edge")

    shown = asyncio.run(told())
    assert (shown["recorded"], shown["selected"], shown["arrived"]) == (13, 8, 8)


def test_a_hop_that_another_site_writes_is_left_to_it(rig: Rig) -> None:
    """Two sites of one InfluxDB do not write over each other's points."""
    (rig.folder / "shared").touch()

    async def told() -> None:
        await rig.tell("r1", line("imu", 5, (10, 6, 4)))
        await rig.tell("edge", line("imu", 5, (6, 6, 4)))
        assert await rig.look(rig.feed()) == 1
        assert await rig.sums("edge") == {}
        assert (await rig.sums("cloud"))["waiting"] == 4

    asyncio.run(told())


def test_it_runs_by_itself(rig: Rig) -> None:
    """As a part of the site process: pages that come while it runs are in InfluxDB soon after."""

    async def told() -> None:
        work = asyncio.create_task(rig.feed().run())
        try:
            now_us = minute_of(time.time_ns() // 1000)
            made = replace(line("imu", 0, (10, 6, 4)), minute_us=now_us - MINUTE_US)
            await rig.tell("r1", made, at_us=now_us)
            async with asyncio.timeout(120):
                while not await rig.sums("edge"):
                    assert not work.done(), work
                    await asyncio.sleep(0.05)
        finally:
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)

    asyncio.run(told())

"""Two places, one robot: each tells what it holds, and late arrivals are found by what the other told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from fleetbox.blobs import BucketSpec, Store
from fleetbox.errors import FleetboxError
from fleetbox.ledger import MINUTE_US, Folded, Key, minute_of, read_ledger
from fleetbox.naming import CLASSES
from fleetbox.records import Draft
from fleetbox_replication.census import Census, Rhythm, census_of_robot, census_of_site, touches_in
from tests.conftest import StoreServer
from tests.replication.conftest import SECOND, Robot

NOON_US = minute_of(1_790_000_000_000_000)
RHYTHM = Rhythm(look_s=20, walk_share=1.0)


@dataclass
class Fleet:
    """A robot's store, an edge's, the cloud's, and a census each, on one clock."""

    robot: Robot
    stores: dict[str, Store]
    censuses: dict[str, Census]
    now_us: int = NOON_US

    async def looks(self, until_us: int, *places: str) -> dict[str, int]:
        """Let places look every 20 s until a time; return the lines each wrote."""
        written = dict.fromkeys(places or self.censuses, 0)
        while self.now_us < until_us:
            self.now_us += 20 * SECOND
            for place in written:
                written[place] += await self.censuses[place].look()
        return written

    async def carry(self, source: str, target: str, chosen: Callable[[Any], bool] = lambda record: True) -> None:
        """Copy what the target lacks, as a task would."""
        for cls in CLASSES:
            here, there = self.bucket(source, cls), self.bucket(target, cls)
            drafts = [
                Draft(r.entry, r.time_us, r.data, r.labels, r.content_type)
                async for r in self.stores[source].query(here, start_us=0)
                if chosen(r)
            ]
            report = await self.stores[target].write(there, drafts)
            assert report.refused == []

    def bucket(self, place: str, cls: str) -> str:
        """Name a bucket."""
        return cls if place == self.robot.name else f"{self.robot.name}--{cls}"

    async def told(self, place: str, at: str) -> dict[Key, Folded]:
        """Return what a place told, as read at some place."""
        ledger = await read_ledger(self.stores[at], self.bucket(at, "meta"), self.robot.name)
        return ledger.of(place)


@asynccontextmanager
async def fleet(servers: Callable[..., StoreServer], folder: Path) -> AsyncIterator[Fleet]:
    """Start three stores and provision them."""
    started = [servers() for _ in range(3)]
    async with (
        Store(started[0].url, started[0].token) as own,
        Store(started[1].url, started[1].token) as edge,
        Store(started[2].url, started[2].token) as cloud,
    ):
        robot = Robot(own, own=True)
        await robot.provision()
        for store in (edge, cloud):
            for cls in CLASSES:
                await store.ensure_bucket(f"{robot.name}--{cls}", BucketSpec("NONE", 0))
        here = Fleet(robot, {robot.name: own, "edge-1": edge, "cloud": cloud}, {})

        def now_us() -> int:
            return here.now_us

        here.censuses[robot.name] = Census(lambda: own, census_of_robot(robot.name), folder / "robot", RHYTHM, now_us)
        for name, store in (("edge-1", edge), ("cloud", cloud)):
            scope = census_of_site(name, lambda store=store: store, touches_in(folder / name / "touches"))
            here.censuses[name] = Census(lambda store=store: store, scope, folder / name, RHYTHM, now_us)
        yield here


def run(
    servers: Callable[..., StoreServer], folder: Path, scenario: Callable[[Fleet], Coroutine[Any, Any, None]]
) -> None:
    """Run a scenario in a fleet of its own."""

    async def whole() -> None:
        async with fleet(servers, folder) as here:
            await scenario(here)

    asyncio.run(whole())


def times(minute: int, count: int = 12) -> list[int]:
    """Return times within one minute after noon."""
    return [NOON_US + minute * MINUTE_US + at * 5 * SECOND for at in range(count)]


def is_meta(record: Any) -> bool:
    """Choose what travels first."""
    return record.bucket.endswith("meta")


def test_each_place_proves_what_it_holds(new_store_server: Callable[..., StoreServer], tmp_path: Path) -> None:
    """After the hops, the counts of robot, edge and cloud agree in each one's reach, read from the cloud's disk."""

    async def scenario(here: Fleet) -> None:
        name = here.robot.name
        for minute in range(3):
            await here.robot.write("sensor", "imu", times(minute), keep="1", session="s1")
            await here.robot.write("sensor", "edge_only", times(minute), keep="edge")
            await here.robot.write("media", "cam/front", times(minute))
            await here.robot.write("meta", "event", times(minute, 1))
            await here.looks(NOON_US + (minute + 1) * MINUTE_US, name)
            await here.carry(name, "edge-1", lambda r: is_meta(r) or "keep" in r.labels)
            await here.carry("edge-1", "cloud", lambda r: is_meta(r) or r.labels.get("keep") == "1")
        await here.looks(NOON_US + 5 * MINUTE_US)
        await here.carry(name, "edge-1", is_meta)
        await here.carry("edge-1", "cloud", is_meta)
        robot, edge = await here.told(name, "cloud"), await here.told("edge-1", "cloud")
        cloud = await here.told("cloud", "cloud")
        assert {key[:2] for key in robot} == {
            ("sensor", "imu"), ("sensor", "edge_only"), ("media", "cam/front"), ("meta", "event"),
        }  # fmt: skip
        for key, item in robot.items():
            kept = item.most("all" if key[0] == "meta" else "keep")
            assert (edge[key].held if key in edge else None) == (kept if kept.records else None)
        for key, item in edge.items():
            assert (cloud[key].held if key in cloud else None) == (
                item.most("cloud") if key[1] != "edge_only" else None
            )

    run(new_store_server, tmp_path, scenario)


def test_a_backlog_that_arrives_at_old_minutes_is_found_by_the_robots_pages(
    new_store_server: Callable[..., StoreServer], tmp_path: Path
) -> None:
    """Moments promoted out of order land between told minutes; the robot's pages say where to look."""

    async def scenario(here: Fleet) -> None:
        name = here.robot.name
        for minute in range(30):
            await here.robot.write("media", "cam/front", times(minute, 6), keep="1")
        await here.looks(NOON_US + 32 * MINUTE_US, name)
        late = {NOON_US + 7 * MINUTE_US, NOON_US + 8 * MINUTE_US, NOON_US + 20 * MINUTE_US}
        await here.carry(name, "edge-1", lambda r: is_meta(r) or minute_of(r.time_us) not in late)
        first = await here.looks(NOON_US + 36 * MINUTE_US, "edge-1")
        assert first["edge-1"] == 27
        await here.carry(name, "edge-1")
        second = await here.looks(NOON_US + 38 * MINUTE_US, "edge-1")
        assert second["edge-1"] == 3
        robot, edge = await here.told(name, "edge-1"), await here.told("edge-1", "edge-1")
        assert {key: item.keep for key, item in robot.items()} == {key: item.held for key, item in edge.items()}

    run(new_store_server, tmp_path, scenario)


def test_a_backlog_in_order_is_told_as_it_comes(new_store_server: Callable[..., StoreServer], tmp_path: Path) -> None:
    """While an outage's records come in, the newest minute is not told with each of them."""

    async def scenario(here: Fleet) -> None:
        name = here.robot.name
        for minute in range(6):
            await here.robot.write("sensor", "imu", times(minute), keep="1")
        await here.looks(NOON_US + 90 * MINUTE_US, name)
        written = 0
        for end_us in times(0)[5:] + times(1) + times(2) + times(3) + times(4) + times(5):
            await here.carry(name, "edge-1", lambda r, end_us=end_us: is_meta(r) or r.time_us <= end_us)
            written += (await here.looks(here.now_us + 1, "edge-1"))["edge-1"]
        written += (await here.looks(here.now_us + 3 * MINUTE_US, "edge-1"))["edge-1"]
        robot, edge = await here.told(name, "edge-1"), await here.told("edge-1", "edge-1")
        assert {key: item.keep for key, item in robot.items()} == {key: item.held for key, item in edge.items()}
        assert written <= 8

    run(new_store_server, tmp_path, scenario)


def test_one_robots_trouble_does_not_stop_the_others(
    new_store_server: Callable[..., StoreServer], tmp_path: Path
) -> None:
    """A robot whose pages the site's store refuses is told of; those after it have had their turn."""

    async def scenario(here: Fleet) -> None:
        edge, name = here.stores["edge-1"], "a0"
        for cls in CLASSES:
            quota = BucketSpec("HARD", 1) if cls == "meta" else BucketSpec("NONE", 0)
            await edge.ensure_bucket(f"{name}--{cls}", quota)
        full = Robot(edge, name)
        await full.write("sensor", "imu", times(0))
        await here.robot.write("sensor", "imu", times(0), keep="1")
        await here.carry(here.robot.name, "edge-1")
        here.now_us = NOON_US + 5 * MINUTE_US
        await here.censuses["edge-1"].look()
        for _ in range(3):
            with pytest.raises(FleetboxError, match="a0"):
                await here.censuses["edge-1"].look()
        assert len(await here.told("edge-1", "edge-1")) == 1
        await edge.ensure_bucket(f"{name}--meta", BucketSpec("NONE", 0))
        await here.censuses["edge-1"].flush()
        ledger = await read_ledger(edge, f"{name}--meta", name)
        assert [item.held.records for item in ledger.of("edge-1").values()] == [12]

    run(new_store_server, tmp_path, scenario)

"""Robot to edge to cloud on real stores, through real relays: what is selected late arrives, counted one by one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial

import pytest

from fleetbox.blobs import Store
from fleetbox.events import write_event
from fleetbox.settings import HopRule, Place, Tier
from fleetbox_local.ports import free_port
from fleetbox_replication.labeler import Duty, Labeler
from fleetbox_replication.relay import Relay
from fleetbox_replication.relay_secret import relay_secret
from fleetbox_replication.tasks import wanted_tasks
from tests.conftest import StoreServer
from tests.replication.conftest import SECOND, Robot, until
from tests.replication.test_labeler import QUICK, Wall, one

ARRIVES_S = 150.0  # a relay that was away is asked again by the engine after about 10 s, on either hop


@dataclass
class Chain:
    """One robot's records in three stores."""

    robot: Robot
    edge: Robot
    cloud: Robot
    relays: tuple[Relay, Relay]

    async def both_hold(self, cls: str, stream: str, times: list[int]) -> bool:
        """Tell whether edge and cloud hold exactly these records of a stream, readable."""
        held = [sorted(await there.labels(cls, stream)) for there in (self.edge, self.cloud)]
        return held == [sorted(times)] * 2


@asynccontextmanager
async def chain(new_store_server: Callable[..., StoreServer], skip: tuple[str, ...] = ()) -> AsyncIterator[Chain]:
    """Start three stores and two relays, and give each hop its tasks."""
    servers = [new_store_server() for _ in range(3)]
    stores = [Store(server.url, server.token) for server in servers]
    robots = [Robot(stores[0], "r1", own=True), Robot(stores[1], "r1"), Robot(stores[2], "r1")]
    relays = []
    hops: list[tuple[Robot, str, Tier, str, StoreServer, StoreServer]] = [
        (robots[0], "r1", "robot", "edge-1", servers[0], servers[1]),
        (robots[1], "edge-1", "edge", "cloud", servers[1], servers[2]),
    ]
    for robot, place_name, tier, following, here, there in hops:
        await robot.provision()
        relay = Relay(f"http://127.0.0.1:{free_port()}", there.url, there.token, relay_secret(here.token))
        await relay.start()
        relays.append(relay)
        place = Place(place_name, tier, here.url, here.token, relay.url, following)
        rule = HopRule(skip=skip if tier == "edge" else ())
        for task in wanted_tasks(place, ["r1"], rule, relay_secret(here.token)):
            await robot.store.put_task(task)
    await robots[2].provision()
    try:
        yield Chain(*robots, (relays[0], relays[1]))
    finally:
        for relay in relays:
            await relay.stop()
        for store in stores:
            await store.close()


@asynccontextmanager
async def labelling(robot: Robot, wall: Wall, site: str = "", stays: str = "") -> AsyncIterator[None]:
    """Run a store's labeler beside the block."""
    scope = robot.scope(site, lambda stream: not site or stream == stays)
    work = asyncio.create_task(Labeler(robot.store, Duty(one(scope), site=site, now_us=wall.now_us), QUICK).run())
    try:
        yield
    finally:
        work.cancel()
        with suppress(asyncio.CancelledError):
            await work


def test_each_hop_has_its_own_filter(new_store_server: Callable[..., StoreServer], now_us: int) -> None:
    """keep=1 goes to the cloud, keep=edge to the edge, the rest nowhere; meta and kept travel whole; skips hold."""

    async def scenario() -> None:
        async with chain(new_store_server, skip=("cam/big",)) as c:
            times = [now_us + n for n in range(5)]
            await c.robot.write("media", "cam/all", times, keep="1")
            await c.robot.write("media", "cam/big", times, keep="1")
            await c.robot.write("media", "cam/far", times, keep="edge")
            await c.robot.write("media", "cam/ring", times)
            await c.robot.write("meta", "episodes", times)
            await c.robot.write("kept", "bag", times)
            await c.robot.store.write_attachment("media", "cam/all", "schema", {"type": "images"})
            for cls, stream in (("media", "cam/all"), ("meta", "episodes"), ("kept", "bag")):
                await until(partial(c.both_hold, cls, stream, times), ARRIVES_S)
            for stream in ("cam/far", "cam/big"):
                await until(partial(_holds, c.edge, stream, times), ARRIVES_S)
            assert [info.name for info in await c.edge.store.entries("r1--media")] == ["cam/all", "cam/big", "cam/far"]
            assert [info.name for info in await c.cloud.store.entries("r1--media")] == ["cam/all"]

            async def schema_is_there() -> bool:
                return "schema" in await c.cloud.store.attachments("r1--media", "cam/all")

            await until(schema_is_there, ARRIVES_S)

    asyncio.run(scenario())


async def _holds(robot: Robot, stream: str, times: list[int]) -> bool:
    return sorted(await robot.labels("media", stream)) == sorted(times)


def test_what_stayed_at_the_edge_goes_on_after_an_event(new_store_server: Callable[..., StoreServer]) -> None:
    """The edge's labeler reads the event that came from the robot and sends its window of keep=edge records on."""

    async def scenario() -> None:
        wall = Wall()
        async with chain(new_store_server) as c, labelling(c.robot, wall), labelling(c.edge, wall, "edge-1", "lidar"):
            moment = wall.now_us()
            times = [moment - n * SECOND for n in range(20, 0, -1)]
            await c.robot.write("media", "lidar", times, keep="edge")
            await until(partial(_holds, c.edge, "lidar", times), ARRIVES_S)
            assert await c.cloud.labels("media", "lidar") == {}
            await write_event(c.robot.store, "meta", c.robot.event(moment), moment)
            await until(partial(_holds, c.cloud, "lidar", times[10:]), ARRIVES_S)

    asyncio.run(scenario())


def test_subset_to_the_edge_subset_of_that_to_the_cloud(new_store_server: Callable[..., StoreServer]) -> None:
    """An event lets its window stay at the edge; a second one over a part of it takes just that part to the cloud."""

    async def scenario() -> None:
        wall = Wall()
        async with chain(new_store_server) as c, labelling(c.robot, wall), labelling(c.edge, wall, "edge-1"):
            moment = wall.now_us()
            times = [moment - n * SECOND for n in range(20, 0, -1)]
            await c.robot.write("media", "cam/a", times)
            near = replace(c.robot.event(moment, pre_s=12), to="edge")
            await write_event(c.robot.store, "meta", near, moment)
            await until(partial(_holds, c.edge, "cam/a", times[8:]), ARRIVES_S)
            assert await c.cloud.labels("media", "cam/a") == {}
            wall.ahead_us = 30 * SECOND
            await write_event(c.robot.store, "meta", c.robot.event(moment, pre_s=5), moment + 1)
            await until(partial(_holds, c.cloud, "cam/a", times[15:]), ARRIVES_S)
            assert await _holds(c.edge, "cam/a", times[8:])

    asyncio.run(scenario())


@pytest.mark.slow
@pytest.mark.parametrize("link_up", [True, False])
def test_two_marks_50_ms_apart_lose_nothing(new_store_server: Callable[..., StoreServer], link_up: bool) -> None:
    """Two marks over the same 600 records, link up or down: each record is labelled once and all arrive, readable."""
    streams = [("media", "cam/front"), ("sensor", "imu"), ("log", "notes")]

    async def scenario() -> None:
        wall = Wall()
        async with chain(new_store_server) as c, labelling(c.robot, wall):
            if not link_up:
                await c.relays[0].stop()
            moment = wall.now_us()
            times = [moment - n * 50_000 for n in range(200, 0, -1)]
            for cls, stream in streams:
                await c.robot.write(cls, stream, times, size=2_000)
            for late_us in (0, 50_000):
                event = replace(c.robot.event(moment + late_us, pre_s=10 + late_us / SECOND), policy=f"p{late_us}")
                await write_event(c.robot.store, "meta", event, moment + late_us)
            for cls, stream in streams:
                await until(partial(_all_kept, c.robot, cls, stream, times))
            if not link_up:
                await until(partial(_engine_waits, c.robot.store))
                assert await c.edge.labels("media", "cam/front") == {}
                await c.relays[0].start()
            deadline_s = time.monotonic() + ARRIVES_S
            for cls, stream in streams:
                await until(partial(c.both_hold, cls, stream, times), deadline_s - time.monotonic())
                for there in (c.edge, c.cloud):
                    read = [record async for record in there.store.query(there.bucket(cls), (stream,), start_us=0)]
                    assert [len(record.data) for record in read] == [2_000] * len(times)
                    assert {record.labels["policy"] for record in read} == {"p0"}
            pushed = c.relays[0].counters()
            assert pushed["conflicts"] == 0

    asyncio.run(scenario())


async def _engine_waits(store: Store) -> bool:
    return all(not task.active for task in await store.tasks() if task.pending)


async def _all_kept(robot: Robot, cls: str, stream: str, times: list[int]) -> bool:
    return await robot.kept(cls, stream) == times

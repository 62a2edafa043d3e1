"""One pass over an event's window in a real store."""

from __future__ import annotations

import asyncio
import time

from fleetbox.blobs import Store
from fleetbox_replication.window import ChunkBounds, count_selected, label_window
from tests.conftest import StoreServer
from tests.replication.conftest import SECOND, Robot


async def _robot(server: StoreServer) -> Robot:
    robot = Robot(Store(server.url, server.token))
    await robot.provision()
    return robot


def test_the_window_and_nothing_else_is_labelled(store_server: StoreServer, now_us: int) -> None:
    """Records of the window, both ends included, of the chosen streams are labelled; neighbours are not."""

    async def scenario() -> None:
        robot = await _robot(store_server)
        async with robot.store:
            times = [now_us + n * SECOND for n in range(-15, 10)]
            for stream in ("cam/front", "cam/rear", "lidar"):
                await robot.write("media", stream, times)
            event = robot.event(now_us, streams=("cam/*",))
            done = await label_window(robot.store, event, robot.scope())
            inside = [time_us for time_us in times if event.start_us <= time_us <= event.stop_us]
            assert done.labelled == {"cam/front": 16, "cam/rear": 16}
            assert await robot.kept("media", "cam/front") == inside
            assert await robot.kept("media", "lidar") == []
            assert (await robot.labels("media", "cam/rear"))[now_us]["policy"] == "abcd1234"
            assert await count_selected(robot.store, event, robot.scope(), ChunkBounds(robot.store)) == {
                "cam/front": 16, "cam/rear": 16,
            }  # fmt: skip

    asyncio.run(scenario())


def test_a_chunk_that_reaches_into_the_window_is_labelled(store_server: StoreServer, now_us: int) -> None:
    """A chunk that began before the window counts by its last row, as far back as its schema's bound."""

    async def scenario() -> None:
        robot = await _robot(store_server)
        async with robot.store:
            event = robot.event(now_us)
            reaching, ended, long = (
                event.start_us - 4 * SECOND,
                event.start_us - 3 * SECOND,
                event.start_us - 7 * SECOND,
            )
            await robot.write("sensor", "imu", [reaching], t_end=str(event.start_us))
            await robot.write("sensor", "pose", [ended], t_end=str(event.start_us - 1))
            await robot.write("sensor", "slow", [long], t_end=str(event.start_us + 1))
            await robot.store.write_attachment(robot.bucket("sensor"), "slow", "schema", {"chunk_bound_us": 8 * SECOND})
            done = await label_window(robot.store, event, robot.scope())
            assert done.labelled == {"imu": 1, "slow": 1}
            assert done.bound_us == 8 * SECOND

    asyncio.run(scenario())


def test_a_record_is_labelled_once_in_its_life(store_server: StoreServer, now_us: int) -> None:
    """What is selected already, by the policy or by another event, is never touched again."""

    async def scenario() -> None:
        robot = await _robot(store_server)
        async with robot.store:
            await robot.write("log", "notes", [now_us, now_us + 1], keep="1", policy="first")
            await robot.write("log", "far", [now_us], keep="edge", policy="first")
            await robot.write("log", "text", [now_us + 2])
            first = await label_window(robot.store, robot.event(now_us), robot.scope())
            second = await label_window(robot.store, robot.event(now_us + 50_000), robot.scope())
            assert (first.labelled, second.labelled) == ({"text": 1}, {})
            policies = [labels["policy"] for labels in (await robot.labels("log", "notes")).values()]
            assert policies == ["first", "first"]
            assert (await robot.labels("log", "far"))[now_us]["keep"] == "edge"

    asyncio.run(scenario())


def test_a_site_takes_what_stays_at_the_edge_further(store_server: StoreServer, now_us: int) -> None:
    """At an edge site only keep=edge becomes keep=1."""

    async def scenario() -> None:
        robot = await _robot(store_server)
        async with robot.store:
            await robot.write("media", "cam/far", [now_us], keep="edge", policy="p")
            await robot.write("media", "cam/near", [now_us], keep="1", policy="p")
            await robot.write("media", "odd", [now_us])
            done = await label_window(robot.store, robot.event(now_us), robot.scope("edge-1"))
            assert done.labelled == {"cam/far": 1}
            assert await robot.kept("media", "cam/far") == [now_us]

    asyncio.run(scenario())


def test_a_stream_that_may_not_leave_is_left_alone(store_server: StoreServer, now_us: int) -> None:
    """An event asking for everything does not get what the policy never ships."""

    async def scenario() -> None:
        robot = await _robot(store_server)
        async with robot.store:
            await robot.write("media", "cam/faces", [now_us])
            scope = robot.scope(allowed=lambda stream: stream != "cam/faces")
            assert (await label_window(robot.store, robot.event(now_us), scope)).labelled == {}

    asyncio.run(scenario())


def test_a_thousand_records_over_twelve_streams_take_under_a_second(store_server: StoreServer, now_us: int) -> None:
    """Labelling the pre-window of an ordinary robot is quick enough to be waited for."""

    async def scenario() -> float:
        robot = await _robot(store_server)
        async with robot.store:
            for number in range(12):
                times = [now_us - n * 100_000 - number for n in range(84)]
                await robot.write("media" if number < 4 else "sensor", f"s{number}/x", sorted(times))
            started_s = time.perf_counter()
            done = await label_window(robot.store, robot.event(now_us), robot.scope())
            assert done.labelled.total() == 12 * 84
            return time.perf_counter() - started_s

    assert asyncio.run(scenario()) < 1.0

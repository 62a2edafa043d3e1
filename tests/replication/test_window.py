"""One pass over an event's window in a real store."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from fleetbox.blobs import Store
from fleetbox.events import Event
from fleetbox_replication.slicing import SLICE_US, slices
from fleetbox_replication.window import ChunkBounds, count_selected, count_some, label_window
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
            started_s = time.process_time()  # of ours alone: the clock on the wall shows what others do meanwhile
            done = await label_window(robot.store, robot.event(now_us), robot.scope())
            assert done.labelled.total() == 12 * 84
            return time.process_time() - started_s

    assert asyncio.run(scenario()) < 1.0


def test_a_thin_event_takes_small_frames_and_all_numbers(store_server: StoreServer, now_us: int) -> None:
    """At "preview" the pictures stay, their small frames and the streams without any go; bytes are told."""

    async def scenario() -> None:
        robot = await _robot(store_server)
        async with robot.store:
            for stream, size in (("cam/a", 9_000), ("cam/a/preview", 800), ("cam/a/thumbnail", 50)):
                await robot.write("media", stream, [now_us - SECOND, now_us], size=size)
            await robot.write("sensor", "imu", [now_us], size=300)
            event = replace(robot.event(now_us), resolution="preview")
            done = await label_window(robot.store, event, robot.scope())
            assert done.labelled == {"cam/a/preview": 2, "cam/a/thumbnail": 2, "imu": 1}
            assert done.labelled_bytes == 2 * 850 + 300
            later = await label_window(robot.store, robot.event(now_us), robot.scope())
            assert (later.labelled, later.labelled_bytes) == ({"cam/a": 2}, 18_000)

    asyncio.run(scenario())


def test_how_far_an_event_reaches(store_server: StoreServer, now_us: int) -> None:
    """To the edge means keep=edge, to the robot means no label at all."""

    async def scenario() -> None:
        robot = await _robot(store_server)
        async with robot.store:
            await robot.write("media", "cam/a", [now_us])
            here = await label_window(robot.store, replace(robot.event(now_us), to="robot"), robot.scope())
            assert (here.labelled, here.oldest_us) == ({}, {"cam/a": now_us})
            near = await label_window(robot.store, replace(robot.event(now_us), to="edge"), robot.scope())
            assert near.labelled == {"cam/a": 1}
            assert (await robot.labels("media", "cam/a"))[now_us]["keep"] == "edge"

    asyncio.run(scenario())


def test_a_window_of_hours_is_labelled_in_slices(store_server: StoreServer, now_us: int) -> None:
    """No record of a long window is missed or found twice at a slice's edge, chunks across them included."""

    async def scenario() -> None:
        robot = await _robot(store_server)
        async with robot.store:
            start_us = now_us - 8 * 3_600 * SECOND
            edges = [start_us + n * SLICE_US for n in (1, 2, 95)]
            times = sorted({start_us - 1, start_us, now_us, *[edge + off for edge in edges for off in (-1, 0, 1)]})
            await robot.write("media", "cam/a", times)
            await robot.write("sensor", "imu", [start_us - 3 * SECOND], t_end=str(start_us + SECOND))
            await robot.write("sensor", "imu", [edges[0] - 3 * SECOND], t_end=str(edges[0] + SECOND))
            event = robot.event(now_us, pre_s=8 * 3_600, post_s=0)
            done = await label_window(robot.store, event, robot.scope())
            assert done.labelled == {"cam/a": len(times) - 1, "imu": 2}
            assert await robot.kept("media", "cam/a") == times[1:]
            assert (await label_window(robot.store, event, robot.scope())).labelled == {}
            counts = await count_selected(robot.store, event, robot.scope(), ChunkBounds(robot.store))
            assert counts == {"cam/a": len(times) - 1, "imu": 2}

    asyncio.run(scenario())


@given(st.integers(0, 10**13), st.integers(0, 10**10), st.integers(0, 10**8), st.integers(0, 10**13))
def test_slices_cover_a_window_once(start_us: int, length_us: int, bound_us: int, since_us: int) -> None:
    """Slices follow each other from a chunk's length before the window to its last µs; later ones can be had alone."""
    event = Event("x-1", "x", "r1", start_us, start_us, start_us + length_us)
    parts = list(slices(event, bound_us))
    first_us = max(0, start_us - bound_us)
    assert [part.first_us for part in parts] == [first_us, *[part.stop_us for part in parts[:-1]]]
    assert parts[-1].stop_us == event.stop_us + 1
    assert all(part.stop_us - part.first_us <= SLICE_US + bound_us for part in parts)
    assert list(slices(event, bound_us, since_us)) == [part for part in parts if part.stop_us > since_us]


def test_a_long_window_is_passed_in_steps(store_server: StoreServer, now_us: int) -> None:
    """A pass that is to stop early says where to go on; the steps together label and count everything once."""

    async def scenario() -> None:
        robot = await _robot(store_server)
        async with robot.store:
            times = [now_us - n * SLICE_US // 10 for n in range(200, 0, -1)]
            await robot.write("media", "cam/a", times)
            event = robot.event(now_us, pre_s=20 * SLICE_US // SECOND, post_s=0)
            steps, upto_us = [], 0
            while True:
                done = await label_window(robot.store, event, robot.scope(), None, upto_us, 50)
                steps.append(done.labelled.total())
                if done.upto_us is None:
                    break
                upto_us = done.upto_us
            assert sum(steps) == 200
            assert len(steps) >= 8
            counted = await count_some(robot.store, event, robot.scope(), ChunkBounds(robot.store), 0, 50)
            assert 0 < counted.counts.total() < 200
            later = await count_some(
                robot.store, event, robot.scope(), ChunkBounds(robot.store), counted.upto_us or 0, None
            )
            assert (counted.counts + later.counts).total() == 200

    asyncio.run(scenario())

"""The labeler of a store, with real marks in a real store."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace

from fleetbox.blobs import Store
from fleetbox.errors import NotFound
from fleetbox.events import Event, read_events, write_event
from fleetbox_replication.labeler import Duty, Labeler, Pace
from fleetbox_replication.window import Scope
from tests.conftest import StoreServer
from tests.replication.conftest import SECOND, Robot, until

QUICK = Pace(look_s=0.0, pass_s=0.02, calm_s=0.1, find_s=0.1)


class Wall:
    """A clock that only a test moves on: none waits for a window to pass, and none passes while a machine is busy."""

    def __init__(self) -> None:
        self.ahead_us = 0
        self._reading_us = time.time_ns() // 1000

    def now_us(self) -> int:
        """Return µs since the epoch, never twice the same."""
        self._reading_us += 1
        return self._reading_us + self.ahead_us


def one(scope: Scope) -> Callable[[], Awaitable[list[Scope]]]:
    """Return a finder that knows one robot."""

    async def find() -> list[Scope]:
        return [scope]

    return find


@asynccontextmanager
async def running(labeler: Labeler) -> AsyncIterator[Labeler]:
    """Run a labeler beside the block and stop it as a dying process would."""
    work = asyncio.create_task(labeler.run())
    try:
        yield labeler
    finally:
        work.cancel()
        with suppress(asyncio.CancelledError):
            await work


@asynccontextmanager
async def robot_at(server: StoreServer) -> AsyncIterator[Robot]:
    """Provision a robot's buckets."""
    async with Store(server.url, server.token) as store:
        robot = Robot(store)
        await robot.provision()
        yield robot


async def closed(robot: Robot) -> list[Event]:
    """Return the events that are labelled."""
    return [e for e in await read_events(robot.store, [robot.bucket("meta")]) if e.state == "labelled"]


def test_before_and_after_the_mark_are_labelled_and_the_event_is_closed(store_server: StoreServer) -> None:
    """The pre-window is labelled at once, the post-window as it comes; then the books of the event are written."""

    async def scenario() -> None:
        wall = Wall()
        async with robot_at(store_server) as robot:
            moment = wall.now_us()
            before = [moment - n * SECOND for n in range(8, 0, -1)]
            await robot.write("media", "cam/front", before)
            duty = Duty(one(robot.scope()), now_us=wall.now_us)
            async with running(Labeler(robot.store, duty, QUICK)) as labeler:
                await write_event(robot.store, robot.bucket("meta"), robot.event(moment), moment)
                labeler.notify()

                async def pre_is_labelled() -> bool:
                    return await robot.kept("media", "cam/front") == before

                await until(pre_is_labelled)
                after = [moment + n * SECOND for n in range(1, 8)]
                await robot.write("media", "cam/front", after)
                wall.ahead_us = 30 * SECOND

                async def is_closed() -> bool:  # the store has the revision before the labeler has the store's answer
                    return bool(await closed(robot)) and not labeler.open_events

                await until(is_closed)
                assert await robot.kept("media", "cam/front") == before + after[:5]
                (event,) = await closed(robot)
                assert event.labelled == {"cam/front": 13}

    asyncio.run(scenario())


def test_the_window_stays_open_while_the_agent_still_holds_its_records(store_server: StoreServer) -> None:
    """Time alone closes nothing: the agent's oldest unsent record must have passed the window."""

    async def scenario() -> None:
        wall = Wall()
        async with robot_at(store_server) as robot:
            moment = wall.now_us()
            unsent: list[int | None] = [moment + SECOND]
            duty = Duty(one(robot.scope()), backlog=lambda: unsent[0], now_us=wall.now_us)
            labeler = Labeler(robot.store, duty, QUICK)
            await write_event(robot.store, robot.bucket("meta"), robot.event(moment), moment)
            wall.ahead_us = 60 * SECOND
            for _ in range(5):
                await labeler.step()
                await asyncio.sleep(0.03)
            assert await closed(robot) == []
            await robot.write("media", "cam/front", [moment + SECOND])
            unsent[0] = None
            await labeler.step()
            (event,) = await closed(robot)
            assert event.labelled == {"cam/front": 1}

    asyncio.run(scenario())


def test_an_event_of_the_past_stays_open_until_every_process_has_heard_of_it(store_server: StoreServer) -> None:
    """What another process brings out of its memory a moment after the mark is labelled too."""

    async def scenario() -> None:
        wall = Wall()
        async with robot_at(store_server) as robot:
            moment = wall.now_us() - 60 * SECOND
            linger = [1e9]
            duty = Duty(one(robot.scope()), now_us=wall.now_us, linger_s=lambda: linger[0])
            labeler = Labeler(robot.store, duty, QUICK)
            await write_event(robot.store, robot.bucket("meta"), robot.event(moment), moment)
            await labeler.step()
            assert await closed(robot) == []
            await robot.write("media", "cam/front", [moment + SECOND])
            linger[0] = 0.0
            await labeler.step()
            (event,) = await closed(robot)
            assert event.labelled == {"cam/front": 1}

    asyncio.run(scenario())


def test_a_robot_that_logs_late_is_waited_for_as_long(store_server: StoreServer) -> None:
    """A trigger that spoke 9 s after its row tells how late rows come: the window is held open for twice as long."""

    async def scenario() -> None:
        wall = Wall()
        async with robot_at(store_server) as robot:
            moment = wall.now_us() - 9 * SECOND
            labeler = Labeler(robot.store, Duty(one(robot.scope()), now_us=wall.now_us), QUICK)
            spoken = replace(robot.event(moment), trigger="hard_brake")
            await write_event(robot.store, robot.bucket("meta"), spoken, moment)
            await labeler.step()
            wall.ahead_us = spoken.stop_us - moment + 12 * SECOND  # 21 s after the window: others are closed by then
            await labeler.step()
            assert await closed(robot) == []
            await robot.write("media", "cam/front", [moment + SECOND])
            wall.ahead_us += 20 * SECOND
            await labeler.step()
            (event,) = await closed(robot)
            assert event.labelled == {"cam/front": 1}

    asyncio.run(scenario())


def test_two_marks_over_the_same_records_label_each_once(store_server: StoreServer) -> None:
    """Two marks 50 ms apart share their records; the first takes them, both count them."""

    async def scenario() -> None:
        wall = Wall()
        async with robot_at(store_server) as robot:
            moment = wall.now_us()
            times = [moment - n * 20_000 for n in range(100, 0, -1)]
            await robot.write("sensor", "imu", times)
            duty = Duty(one(robot.scope()), now_us=wall.now_us)
            async with running(Labeler(robot.store, duty, QUICK)):
                for late_us, policy in ((0, "first"), (50_000, "second")):
                    event = replace(robot.event(moment + late_us, pre_s=1), policy=policy)
                    await write_event(robot.store, robot.bucket("meta"), event, moment + late_us)
                wall.ahead_us = 60 * SECOND

                async def both_closed() -> bool:
                    return len(await closed(robot)) == 2

                await until(both_closed)
            assert [event.labelled for event in await closed(robot)] == [{"imu": 50}, {"imu": 47}]
            labels = await robot.labels("sensor", "imu")
            assert [labels[t].get("policy") for t in times] == [None] * 50 + ["first"] * 50

    asyncio.run(scenario())


def test_a_killed_labeler_goes_on_where_it_was(store_server: StoreServer) -> None:
    """kill -9 in the middle of the post-window: the next labeler finds the event open and finishes it."""
    program = """
import asyncio, sys
from fleetbox.blobs import Store
from fleetbox_replication.labeler import Duty, Labeler, Pace
from fleetbox_replication.window import Scope
async def main():
    url, token, robot, *buckets = sys.argv[1:]
    scope = Scope(robot, dict(b.rsplit("=", 1)[::-1] for b in buckets))
    async def find():
        return [scope]
    async with Store(url, token) as store:
        await Labeler(store, Duty(find), Pace(look_s=0.02, pass_s=0.02)).run()
asyncio.run(main())
"""

    async def scenario() -> None:
        wall = Wall()
        async with robot_at(store_server) as robot:
            moment = wall.now_us()
            await robot.write("media", "cam/front", [moment - SECOND])
            long = robot.event(moment, post_s=120)  # by the real clock: the child is not to see its end, however slow
            await write_event(robot.store, robot.bucket("meta"), long, moment)
            buckets = [f"{bucket}={cls}" for cls, bucket in robot.scope().buckets.items()]
            killed = await asyncio.create_subprocess_exec(
                sys.executable, "-c", program, store_server.url, store_server.token, robot.name, *buckets
            )

            async def pre_is_labelled() -> bool:
                return await robot.kept("media", "cam/front") == [moment - SECOND]

            await until(pre_is_labelled, 100)  # before the window ends by the child's clock
            killed.kill()
            await killed.wait()
            await robot.write("media", "cam/front", [moment + SECOND])
            assert await closed(robot) == []
            wall.ahead_us = 180 * SECOND
            labeler = Labeler(robot.store, Duty(one(robot.scope()), now_us=wall.now_us), QUICK)
            await labeler.step()
            await asyncio.sleep(QUICK.pass_s)
            await labeler.step()
            (event,) = await closed(robot)
            assert event.labelled == {"cam/front": 2}
            again = Labeler(robot.store, Duty(one(robot.scope()), now_us=wall.now_us), QUICK)
            await again.step()
            assert again.open_events == []

    asyncio.run(scenario())


def test_a_window_older_than_the_ring_says_what_was_left(store_server: StoreServer) -> None:
    """When the ring no longer reaches back to the window's start, the event says from where on it holds."""

    async def scenario() -> None:
        wall = Wall()
        async with robot_at(store_server) as robot:
            moment = wall.now_us() - 600 * SECOND
            await robot.write("media", "cam/front", [moment - 3 * SECOND, moment])
            await robot.write("media", "cam/rear", [moment - 60 * SECOND, moment - SECOND])
            await write_event(robot.store, robot.bucket("meta"), robot.event(moment), wall.now_us())
            labeler = Labeler(robot.store, Duty(one(robot.scope()), now_us=wall.now_us), QUICK)
            await labeler.step()
            await asyncio.sleep(QUICK.pass_s)
            await labeler.step()
            (event,) = await closed(robot)
            assert event.labelled == {"cam/front": 2, "cam/rear": 1}
            assert event.cut_streams() == {"cam/front": moment - 3 * SECOND}

    asyncio.run(scenario())


def test_a_site_waits_for_all_that_the_robot_counted(store_server: StoreServer) -> None:
    """At an edge the window is closed once the robot has closed its own and the same records are here."""

    async def scenario() -> None:
        wall = Wall()
        async with robot_at(store_server) as robot:
            moment, meta = wall.now_us(), robot.bucket("meta")
            await robot.write("media", "cam/far", [moment - SECOND], keep="edge")
            marked = robot.event(moment)
            await write_event(robot.store, meta, marked, moment)
            wall.ahead_us = 20 * SECOND
            scope = robot.scope("edge-1", lambda stream: stream == "cam/far")
            labeler = Labeler(robot.store, Duty(one(scope), site="edge-1", now_us=wall.now_us), QUICK)
            await labeler.step()
            counted = replace(marked, state="labelled", labelled={"cam/far": 2, "imu": 7})
            await write_event(robot.store, meta, counted, moment + 1)
            for _ in range(3):
                await labeler.step()
                await asyncio.sleep(QUICK.calm_s)
            assert [event.id for event in labeler.open_events] == [marked.id]
            await robot.write("media", "cam/far", [moment + SECOND], keep="edge")

            async def is_closed() -> bool:
                await labeler.step()
                return not labeler.open_events

            await until(is_closed)
            assert await robot.kept("media", "cam/far") == [moment - SECOND, moment + SECOND]
            (event,) = await closed(robot)
            assert (event.id, event.labelled) == (marked.id, {"cam/far": 2, "imu": 7})

    asyncio.run(scenario())


def test_a_foreign_record_among_the_events_is_passed_over(store_server: StoreServer) -> None:
    """A record that is no event stops nobody's labelling."""

    async def scenario() -> None:
        wall = Wall()
        async with robot_at(store_server) as robot:
            moment = wall.now_us()
            await robot.write("meta", "events", [moment - 1], event="odd", state="open")
            await robot.write("media", "cam/front", [moment])
            await write_event(robot.store, robot.bucket("meta"), robot.event(moment), moment)
            labeler = Labeler(robot.store, Duty(one(robot.scope()), now_us=wall.now_us), QUICK)
            await labeler.step()
            assert await robot.kept("media", "cam/front") == [moment]

    asyncio.run(scenario())


def test_marks_are_seen_after_a_clock_was_set_back(store_server: StoreServer) -> None:
    """A mark made hours ahead by a wrong clock stays open and hides none that is made after the correction."""

    async def scenario() -> None:
        wall = Wall()
        async with robot_at(store_server) as robot:
            wall.ahead_us = 3 * 3600 * SECOND
            wrong = robot.event(wall.now_us())
            await write_event(robot.store, robot.bucket("meta"), wrong, wall.now_us())
            labeler = Labeler(robot.store, Duty(one(robot.scope()), now_us=wall.now_us), QUICK)
            await labeler.step()
            wall.ahead_us = 0
            moment = wall.now_us()
            await robot.write("media", "cam/front", [moment])
            right = robot.event(moment)
            await write_event(robot.store, robot.bucket("meta"), right, moment)
            labeler.notify()
            await labeler.step()
            assert await robot.kept("media", "cam/front") == [moment]
            assert {event.id for event in labeler.open_events} == {wrong.id, right.id}

    asyncio.run(scenario())


def test_a_store_that_is_away_is_waited_for(new_store_server: Callable[..., StoreServer]) -> None:
    """A killed store stops nothing: the labeler labels the window once it is back."""
    server = new_store_server()

    async def scenario() -> None:
        wall = Wall()
        async with robot_at(server) as robot:
            moment = wall.now_us()
            await robot.write("media", "cam/front", [moment])
            await write_event(robot.store, robot.bucket("meta"), robot.event(moment), moment)
            server.kill()
            async with running(Labeler(robot.store, Duty(one(robot.scope()), now_us=wall.now_us), QUICK)):
                await asyncio.sleep(0.1)
                await asyncio.to_thread(server.start)

                async def is_labelled() -> bool:
                    return await robot.kept("media", "cam/front") == [moment]

                await until(is_labelled)

    asyncio.run(scenario())


def test_what_stays_at_the_edge_goes_on_when_a_second_event_asks(store_server: StoreServer) -> None:
    """A site leaves what an event let stay, and sends on what a later event of the same moment takes further."""

    async def scenario() -> None:
        wall = Wall()
        async with robot_at(store_server) as robot:
            moment, meta = wall.now_us(), robot.bucket("meta")
            await robot.write("media", "cam/a", [moment - 2, moment - 1], keep="edge")
            await robot.write("media", "cam/b", [moment], keep="edge")
            near = replace(robot.event(moment, streams=("cam/a",)), to="edge")
            await write_event(robot.store, meta, replace(near, state="labelled", labelled={"cam/a": 2}), moment)
            scope = replace(robot.scope("edge-1", lambda stream: False), stays=False)
            labeler = Labeler(robot.store, Duty(one(scope), site="edge-1", now_us=wall.now_us), QUICK)
            wall.ahead_us = 20 * SECOND
            await labeler.step()
            assert (await robot.kept("media", "cam/a"), labeler.open_events) == ([], [])
            far = robot.event(moment)
            await write_event(robot.store, meta, replace(far, state="labelled", labelled={"cam/a": 2}), moment + 1)
            labeler.notify()

            async def is_closed() -> bool:
                await labeler.step()
                return len(await closed(robot)) == 2 and not labeler.open_events

            await until(is_closed)
            assert await robot.kept("media", "cam/a") == [moment - 2, moment - 1]
            assert await robot.kept("media", "cam/b") == []

    asyncio.run(scenario())


def test_chores_are_done_between_passes_and_what_was_selected_is_told(store_server: StoreServer) -> None:
    """A chore runs in the labeler's own loop; one that fails stops neither the next one nor the labelling."""

    async def scenario() -> None:
        wall, done, spent = Wall(), [], []

        async def failing() -> None:
            done.append("failing")
            raise NotFound("nothing there")

        async def working() -> None:
            done.append("working")

        async with robot_at(store_server) as robot:
            moment = wall.now_us()
            await robot.write("media", "cam/a", [moment - 1, moment], size=500)
            await write_event(robot.store, robot.bucket("meta"), robot.event(moment), moment)
            duty = Duty(one(robot.scope()), now_us=wall.now_us, chores=(failing, working), spent=spent.append)
            labeler = Labeler(robot.store, duty, replace(QUICK, chores_s=0.0))
            await labeler.step()
            await labeler.step()
            assert (done, spent) == (["failing", "working"] * 2, [1_000])
            patient = Labeler(robot.store, duty, replace(QUICK, chores_s=600.0))
            await patient.step()
            await patient.step()
            assert len(done) == 6

    asyncio.run(scenario())


def test_a_clock_that_steps_within_a_window_keeps_what_was_recorded_in_it(store_server: StoreServer) -> None:
    """After a step back the window is passed again by the clock, and what is recorded then belongs to it, too."""

    async def scenario() -> None:
        wall = Wall()
        async with robot_at(store_server) as robot:
            wall.ahead_us = 3600 * SECOND
            moment = wall.now_us()
            await robot.write("media", "cam/a", [moment - SECOND])
            await write_event(robot.store, robot.bucket("meta"), robot.event(moment), moment)
            labeler = Labeler(robot.store, Duty(one(robot.scope()), now_us=wall.now_us), QUICK)
            await labeler.step()
            wall.ahead_us -= 7 * SECOND  # the robot's clock was seven seconds ahead
            await robot.write("media", "cam/a", [moment - 7 * SECOND + 5, moment + 2 * SECOND])
            await asyncio.sleep(QUICK.pass_s)
            await labeler.step()
            assert len(await robot.kept("media", "cam/a")) == 3
            assert labeler.open_events, "by the clock as it stands the window is still open"
            wall.ahead_us += 60 * SECOND
            await labeler.step()
            (event,) = await closed(robot)
            assert event.labelled == {"cam/a": 3}

    asyncio.run(scenario())


def test_ten_overlapping_events_take_each_record_once(store_server: StoreServer) -> None:
    """Twelve events over shared records: each is labelled once, each event counts its own, nothing beyond the union."""

    async def scenario() -> None:
        wall = Wall()
        async with robot_at(store_server) as robot:
            moment = wall.now_us()
            times = [moment - n * 100_000 for n in range(300, 0, -1)]
            await robot.write("media", "cam/a", times)
            marks = [
                replace(robot.event(moment - n * SECOND, pre_s=10, post_s=2), policy=f"p{n:02d}") for n in range(12)
            ]
            for number, event in enumerate(marks):
                await write_event(robot.store, robot.bucket("meta"), event, moment + number)
            spent: list[int] = []
            wall.ahead_us = 60 * SECOND
            duty = Duty(one(robot.scope()), now_us=wall.now_us, spent=spent.append)
            labeler = Labeler(robot.store, duty, QUICK)

            async def all_closed() -> bool:
                await labeler.step()
                return len(await closed(robot)) == len(marks)

            await until(all_closed)
            union = [t for t in times if any(event.start_us <= t <= event.stop_us for event in marks)]
            assert await robot.kept("media", "cam/a") == union
            assert sum(spent) == 100 * len(union)
            for event in await closed(robot):
                inside = [t for t in times if event.start_us <= t <= event.stop_us]
                assert event.labelled == {"cam/a": len(inside)}

    asyncio.run(scenario())


def test_a_mark_does_not_wait_for_a_long_window(store_server: StoreServer) -> None:
    """A long window is worked through in steps: a mark made meanwhile is labelled between two of them."""

    async def scenario() -> None:
        wall = Wall()
        async with robot_at(store_server) as robot:
            moment, days_s = wall.now_us(), 3 * 86_400
            await robot.write("media", "cam/a", [moment - days_s * SECOND, moment - SECOND])
            await write_event(robot.store, robot.bucket("meta"), robot.event(moment, pre_s=days_s, post_s=0), moment)
            wall.ahead_us = 20 * SECOND
            labeler = Labeler(robot.store, Duty(one(robot.scope()), now_us=wall.now_us), QUICK)
            await labeler.step()
            assert await robot.kept("media", "cam/a") == [moment - days_s * SECOND]
            await write_event(robot.store, robot.bucket("meta"), robot.event(moment, pre_s=5), moment + 1)
            labeler.notify()
            await labeler.step()
            assert len(await robot.kept("media", "cam/a")) == 2
            assert len(labeler.open_events) == 1, "the short one is closed, the long one goes on"

            async def both_closed() -> bool:
                await labeler.step()
                return len(await closed(robot)) == 2

            await until(both_closed)
            assert sorted(event.labelled["cam/a"] for event in await closed(robot)) == [1, 2]

    asyncio.run(scenario())

"""New events are told once each, however long after its store has counted a revision it can be read."""

from __future__ import annotations

import asyncio

import pytest
from half_written import half_written

from fleetbox.blobs import Store
from fleetbox.events import draft, write_event
from fleetbox_replication import event_watch
from fleetbox_replication.event_watch import EventWatch
from tests.conftest import StoreServer
from tests.replication.conftest import Robot


def test_an_event_still_being_written_is_told_once_it_is(store_server: StoreServer, now_us: int) -> None:
    """The look at a moment when a store counts what cannot be read is not the last one, first or later."""

    async def scenario() -> None:
        async with Store(store_server.url, store_server.token) as store:
            robot = Robot(store)
            await robot.provision()
            meta = robot.bucket("meta")
            watch = EventWatch(store, meta, "")
            for number in range(3):
                event = robot.event(now_us + number)
                async with half_written(store_server, meta, draft(event, now_us + number)) as end:
                    for _ in range(5):
                        assert await watch.news() == []
                    await end()
                told = [found.id for _ in range(5) for found in await watch.news()]
                assert told == [event.id]

    asyncio.run(scenario())


def test_what_is_never_whole_is_given_up_and_hides_nothing(
    store_server: StoreServer, now_us: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half a revision is looked for a few times; then nothing is listed until there is news, which is told at once."""
    monkeypatch.setattr(event_watch, "MOST_LOOKS", 8)

    async def scenario() -> None:
        async with Store(store_server.url, store_server.token) as store:
            robot = Robot(store)
            await robot.provision()
            meta = robot.bucket("meta")
            watch = EventWatch(store, meta, "")
            async with half_written(store_server, meta, draft(robot.event(now_us), now_us)):
                for _ in range(8):
                    assert await watch.news() == []
                assert watch._last == {}
                assert await watch.news() == []
                assert watch._last != {}
                later = robot.event(now_us + 5)
                await write_event(store, meta, later, now_us + 5)
                assert [found.id for found in await watch.news()] == [later.id]
                assert watch._last["events"][0] == 2

    asyncio.run(scenario())

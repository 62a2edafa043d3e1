"""A robot whose own store gets another token goes on shipping, without a restart and without a person."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import pytest
from conftest import StoreServer

from fleetbox.blobs import Store, TokenSpec
from fleetbox.naming import CLASSES
from fleetbox.quotas import bucket_spec
from fleetbox_edge.recorder import Recorder
from fleetbox_local.processes import free_port

from .conftest import Robot
from .test_duties import until_settled

ARRIVES_S = 90.0  # the engine asks again some ten seconds after it was turned away


@pytest.mark.timeout(400)  # three waits for the engine
def test_a_new_own_token_renews_tasks_and_relay(robot: Robot, new_store_server: Callable[..., StoreServer]) -> None:
    """With the old token revoked, tasks show the new secret and what is recorded afterwards arrives."""
    site = new_store_server()
    (robot.folder / "site").write_text(site.token)
    admin, robot.token = robot.token, asyncio.run(_token(robot.url, robot.token, "agent-1"))
    relay = f"http://127.0.0.1:{free_port()}"
    extra = f'site = "{site.url}"\nsite_token = {{ file = "site" }}\nrelay = "{relay}"'
    robot.write(extra, '[stream."log/**"]\nship = "always"\n')

    async def arrived(lines: int) -> None:
        async with Store(site.url, site.token) as there:
            for cls in CLASSES:
                await there.ensure_bucket(f"{robot.id}--{cls}", bucket_spec(cls, 10**9))
            until_s = time.monotonic() + ARRIVES_S
            while True:
                heads = [head async for head in there.query(f"{robot.id}--log", start_us=0, head=True)]
                if len(heads) == lines:
                    return
                assert time.monotonic() < until_s, f"{len(heads)} of {lines} arrived"
                await asyncio.sleep(0.1)

    async def rotate() -> None:
        value = await _token(robot.url, admin, "agent-2")
        (robot.folder / "token").write_text(value)
        async with Store(robot.url, admin) as store:
            await store.remove_token("agent-1")

    with Recorder(robot.file) as recorder:
        until_settled(recorder)  # what is written before its task stands travels only when it is repaired
        recorder.log("log/app", "before")
        recorder.flush(60)
        asyncio.run(arrived(1))
        mark = robot.folder / "state" / "tasks.mark"
        before = mark.read_text()
        asyncio.run(rotate())
        recorder.log("log/app", "while it is noticed")
        until_s = time.monotonic() + ARRIVES_S
        while mark.read_text() == before:
            assert time.monotonic() < until_s, "the tasks were not written anew"
            time.sleep(0.05)
        recorder.log("log/app", "after")
        recorder.flush(60)
        asyncio.run(arrived(3))


async def _token(url: str, admin: str, name: str) -> str:
    async with Store(url, admin) as store:
        value = await store.ensure_token(TokenSpec(name, full=True))
    assert value is not None
    return value

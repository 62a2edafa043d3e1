"""Mark a moment at a store that is away, denies access or has no room: each says so, and what to do."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from conftest import StoreServer

from fleetbox.blobs import BucketSpec, Store

from .conftest import Robot
from .test_marking import fleetbox


def test_a_store_that_is_away(new_store_server: Callable[..., StoreServer], robot: Robot) -> None:
    """With its store killed, a mark exits 4, names the store and the next step, and prints no result."""
    server = new_store_server()
    server.kill()
    robot.url = server.url
    robot.write()
    done = fleetbox(robot, "mark", "near_miss", "--json")
    assert (done.returncode, done.stdout) == (4, ""), done.stderr
    assert server.url in done.stderr
    assert "next:" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_wrong_token(robot: Robot) -> None:
    """With a token the store refuses, or none in the file, a mark exits 5, says where to look, and prints no result."""
    for token, text in (("wrong", "Invalid token"), ("", "is empty")):
        robot.token = token
        robot.write()
        done = fleetbox(robot, "mark", "near_miss", "--json")
        assert (done.returncode, done.stdout) == (5, ""), done.stderr
        assert text in done.stderr
        assert "next:" in done.stderr


def test_no_room_for_the_event(robot: Robot) -> None:
    """A full `meta` bucket refuses the mark with exit 1 and the store's own reason; no id is printed as if it stood."""

    async def fill() -> None:
        async with Store(robot.url, robot.token) as store:
            await store.ensure_bucket("meta", BucketSpec("HARD", 100))

    asyncio.run(fill())
    done = fleetbox(robot, "mark", "near_miss")
    assert (done.returncode, done.stdout) == (1, ""), done.stderr
    assert "exceeded" in done.stderr
    assert "next: raise or lift the quota of bucket meta" in done.stderr

"""Mark a moment at a store that is away, denies access or has no room: each says so, and what to do."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from conftest import StoreServer

from fleetbox.blobs import BucketSpec, Store
from fleetbox.naming import desk_bucket
from fleetbox.orders import Order, read_orders
from fleetbox.policies import Followed, write_policy
from fleetbox.settings import find_fleet, parse_policy
from fleetbox_edge.marking import MarkOrder, mark

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


def test_a_mark_waits_at_the_site(new_store_server: Callable[..., StoreServer], tmp_path: Path) -> None:
    """Nobody at the robot answers: the event waits as an order in its desk, and whoever marked it is told so."""
    site = new_store_server()
    said: list[str] = []
    (tmp_path / "token").write_text(site.token)
    (tmp_path / "fleet.toml").write_text(
        '[[robots]]\nmatch = "r1"\nsite = "edge-1"\nstore = "http://127.0.0.1:9"\ntoken = { file = "token" }\n'
        f'[site.edge-1]\nstore = "{site.url}"\ntoken = {{ file = "token" }}\n'
    )

    async def ordered() -> list[Order]:
        async with Store(site.url, site.token) as store:
            return [order async for order in read_orders(store, "r1")]

    policy = 'version = 7\n[event.near_miss]\npre = "7s"\n'

    async def make_desk() -> None:
        async with Store(site.url, site.token) as store:
            await store.ensure_bucket(desk_bucket("r1"), BucketSpec("NONE", 0))
            await store.ensure_bucket("r1--meta", BucketSpec("NONE", 0))
            await write_policy(store, "r1--meta", Followed("r1", parse_policy(policy).hash, policy, 1_000_000))

    asyncio.run(make_desk())
    fleet = find_fleet(tmp_path / "fleet.toml")
    done = mark(fleet, MarkOrder("near_miss", at="-1h", resolution="preview"), said.append)
    (order,) = asyncio.run(ordered())
    assert (done.at, order.kind, order.body["id"]) == ("edge-1", "event", done.event.id)
    assert order.body["resolution"] == "preview"
    assert "waits as an order at edge-1" in said[0]
    assert order.body["policy"] == parse_policy(policy).hash, "the robot's own, as its site knows it"
    assert done.event.time_us - done.event.start_us == 7_000_000

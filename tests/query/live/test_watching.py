"""Live as a client of Foxglove's protocol sees it: what comes in comes out, and only what is watched is read."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("foxglove", reason="needs fleetbox[view]")

from fleetbox.errors import FleetboxError, NotFound
from fleetbox_query.fleet import Fleet, connect
from fleetbox_query.items import Item
from fleetbox_query.live import server as serving
from fleetbox_query.live import tailing
from fleetbox_query.live import watching as module
from fleetbox_query.live.samples import Sample
from fleetbox_query.live.watching import watched

from ..conftest import Tiers, blob, chunk
from .conftest import Watcher

JPEG = b"\xff\xd8\xff\xe0 a picture"
SECOND = 1_000_000


def _now_us() -> int:
    return time.time_ns() // 1000


def _rows(tiers: Tiers, stream: str, first_us: int, x: float) -> None:
    times = [first_us + at * 1_000 for at in range(10)]
    tiers.put("edge", "sensor", [chunk(f"{stream}/imu", times, {"x": [x] * 10}, robot=tiers.robot)])


@contextmanager
def _followed(fleet: Fleet, selector: str) -> Iterator[str]:
    with watched(fleet.session, fleet.select(selector).question, "127.0.0.1", 0) as (following, server):
        task = fleet.session.loop.start(following.following())
        try:
            yield server.url
            assert not task.done() or task.result()
        finally:
            task.cancel()


def test_what_comes_in(fleet: Fleet, tiers: Tiers, stream: str, watch: Callable[[str], Watcher]) -> None:
    """A subscriber gets the last record at once, then each new one; a stream nobody watches is not sent."""
    start = _now_us() - 60 * SECOND
    _rows(tiers, stream, start, 1.0)
    tiers.put("edge", "media", [blob(f"{stream}/cam", start, JPEG, robot=tiers.robot, kind="images")])
    with _followed(fleet, f"{tiers.robot}/{stream}/**") as url:
        client = watch(url)
        client.topics(2)
        client.subscribe(f"/{stream}/imu")
        client.until(lambda: len(client.got) == 10)
        _rows(tiers, stream, start + 5 * SECOND, 2.0)
        tiers.put("edge", "media", [blob(f"{stream}/cam", start + 1, JPEG, robot=tiers.robot, kind="images")])
        client.until(lambda: len(client.got) == 20)
        assert [one.json["x"] for one in client.got] == [1.0] * 10 + [2.0] * 10
        assert client.got[10].time_ns == (start + 5 * SECOND) * 1000
        client.subscribe(f"/{stream}/cam")
        client.until(lambda: client.of(f"/{stream}/cam"))
        assert [one.time_ns for one in client.of(f"/{stream}/cam")] == [(start + 1) * 1000]
        client.unsubscribe(f"/{stream}/cam")
        _rows(tiers, stream, start + 6 * SECOND, 3.0)
        client.until(lambda: len(client.of(f"/{stream}/imu")) == 30)


def test_a_stream_that_begins_meanwhile(
    fleet: Fleet, tiers: Tiers, stream: str, watch: Callable[[str], Watcher], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new stream gets a channel of its own while others are watched."""
    monkeypatch.setattr(module, "NEW_S", 0.2)
    start = _now_us() - 60 * SECOND
    _rows(tiers, stream, start, 1.0)
    with _followed(fleet, f"{tiers.robot}/{stream}/**") as url:
        client = watch(url)
        client.topics(1)
        tiers.put("edge", "log", [blob(f"{stream}/log", start, b"too hot", robot=tiers.robot, kind="log")])
        assert client.topics(2)[f"/{stream}/log"]["schemaName"] == "foxglove.Log"
        client.subscribe(f"/{stream}/log")
        client.until(lambda: client.got)
        assert b"too hot" in client.got[0].data


def test_a_viewer_quicker_than_the_server(
    fleet: Fleet, tiers: Tiers, stream: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who subscribes the moment a channel is offered, before its number is noted, counts as watching it."""
    _rows(tiers, stream, _now_us() - 60 * SECOND, 1.0)
    offer = serving.foxglove.Channel
    with watched(fleet.session, fleet.select(f"{tiers.robot}/{stream}/imu").question, "127.0.0.1", 0) as (_, server):
        heard: list[frozenset[str]] = []
        server.watched = heard.append
        samples = {f"{tiers.robot}/{stream}/new": Sample(Item("r", "new", 1, "log", {}, "text/plain", data=b"x"), {})}

        def offered(*args: Any, **options: Any) -> Any:
            channel = offer(*args, **options)
            server.on_subscribe(SimpleNamespace(id=1), SimpleNamespace(id=channel.id()))  # type: ignore[arg-type]
            return channel

        monkeypatch.setattr(serving.foxglove, "Channel", offered)
        server.open(samples, True)
    assert heard == [frozenset(samples)]


@pytest.mark.usefixtures("own_robot")
def test_from_the_robot_first(fleet: Fleet, tiers: Tiers, stream: str, watch: Callable[[str], Watcher]) -> None:
    """Where the robot's own store answers, records come from there, before any of them travels."""
    start = _now_us() - 60 * SECOND
    _rows(tiers, stream, start, 1.0)
    own = [chunk(f"{stream}/imu", [start + at * SECOND], {"x": [5.0 + at]}, robot=tiers.robot) for at in (0, 1)]
    tiers.put("robot", "sensor", own[:1])
    with _followed(fleet, f"{tiers.robot}/{stream}/imu") as url:
        client = watch(url)
        client.topics(1)
        client.subscribe(f"/{stream}/imu")
        client.until(lambda: client.got)
        tiers.put("robot", "sensor", own[1:])
        client.until(lambda: len(client.got) == 2)
        assert [one.json["x"] for one in client.got] == [5.0, 6.0]


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether the place answered, look after look; nobody waits between them."""
    seen, look = [True], tailing.Tail._look

    async def noted(tail: tailing.Tail, group: Any) -> None:
        try:
            await look(tail, group)
        except NotFound:
            seen.append(True)
            raise
        except FleetboxError:
            seen.append(False)
            raise
        seen.append(True)

    monkeypatch.setattr(tailing.Tail, "_look", noted)
    monkeypatch.setattr(tailing, "AGAIN_S", 0.1)
    return seen


def test_an_outage(
    tiers: Tiers,
    stream: str,
    tmp_path: Path,
    watch: Callable[[str], Watcher],
    new_store_server: Callable[..., Any],
    answers: list[bool],
) -> None:
    """A place that goes away is told as a status, once an outage; when it is back, the stream goes on."""
    server = new_store_server()
    path = tiers.write_fleet(tmp_path, urls={"edge": server.url})
    (tmp_path / "edge.token").write_text(server.token)
    tiers.stores = {**tiers.stores, "edge": server.process}
    start = _now_us() - 60 * SECOND
    _rows(tiers, stream, start, 1.0)
    with connect(path) as fleet, _followed(fleet, f"{tiers.robot}/{stream}/imu") as url:
        client = watch(url)
        client.topics(1)
        client.subscribe(f"/{stream}/imu")
        client.until(lambda: len(client.got) == 10)
        server.kill()
        client.until(lambda: client.status and answers.count(False) >= 5)
        server.start()
        _rows(tiers, stream, start + SECOND, 2.0)
        client.until(lambda: len(client.got) == 20)
        outages = sum(before and not now for before, now in pairwise(answers))  # on a busy machine one may follow
        client.until(lambda: len(client.status) >= outages)
        assert len(client.status) <= sum(before and not now for before, now in pairwise(answers))

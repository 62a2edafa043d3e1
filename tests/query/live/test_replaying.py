"""Replay as a client of Foxglove's protocol sees it: what is offered, played, sought, and what is not read."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import accumulate, chain, count, repeat
from typing import Any

import pytest

pytest.importorskip("foxglove", reason="needs fleetbox[view]")

from fleetbox_query.fleet import Fleet
from fleetbox_query.items import Item
from fleetbox_query.live import server as serving
from fleetbox_query.live.playing import served
from fleetbox_query.live.replaying import LATE_S, Manner, Replay
from fleetbox_query.live.sinks import Quiet
from fleetbox_query.viewing.subject import prepared_to_see

from ..conftest import Tiers, blob, chunk
from .conftest import ENDED, PAUSE, PAUSED, PLAY, PLAYING, Watcher

T0 = 1_760_000_000_000_000
STEP_US = 20_000
JPEG = b"\xff\xd8\xff\xe0 a picture"


def _put(tiers: Tiers, stream: str, count: int = 100) -> list[int]:
    """Record 2 s of rows, pictures and a line of log."""
    times = [T0 + at * STEP_US for at in range(count)]
    rows = [
        chunk(
            f"{stream}/imu", times[at : at + 25], {"acc.x": [float(n) for n in range(at, at + 25)]}, robot=tiers.robot
        )
        for at in range(0, count, 25)
    ]
    tiers.put("edge", "sensor", rows)
    tiers.put("edge", "media", [blob(f"{stream}/cam", at, JPEG, robot=tiers.robot, kind="images") for at in times[::5]])
    tiers.put("edge", "log", [blob(f"{stream}/log", times[3] + 1, b"too hot", robot=tiers.robot, kind="log")])
    tiers.put("edge", "log", [blob(f"{stream}/file", times[3] + 1, b"\0", robot=tiers.robot)])
    return times


@contextmanager
def _played(fleet: Fleet, tiers: Tiers, stream: str, manner: Manner | None = None) -> Iterator[tuple[Replay, str]]:
    question = fleet.select(f"{tiers.robot}/{stream}/**").question
    ended = threading.Event()
    with served(fleet.session, question, manner or Manner(), "127.0.0.1", 0) as (replay, server):

        def run() -> None:
            try:
                replay.run(once=False)
            finally:
                ended.set()

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield replay, server.url
            assert not ended.is_set()
        finally:
            replay.stop()
            thread.join(60)


def test_what_is_offered(fleet: Fleet, tiers: Tiers, stream: str, watch: Callable[[str], Watcher]) -> None:
    """A channel per stream under its well-known schema, the range that can be sought in; a file has no channel."""
    times = _put(tiers, stream)
    with _played(fleet, tiers, stream) as (_, url):
        client = watch(url)
        topics = client.topics(3)
    assert {topic: one["schemaName"] for topic, one in topics.items()} == {
        f"/{stream}/imu": "fleetbox.time_series",
        f"/{stream}/cam": "foxglove.CompressedImage",
        f"/{stream}/log": "foxglove.Log",
    }
    start, stop = (
        client.info[name]["sec"] * 1_000_000_000 + client.info[name]["nsec"]
        for name in ("dataStartTime", "dataEndTime")
    )
    assert start == T0 * 1000
    assert stop >= times[-1] * 1000
    assert "playbackControl" in client.info["capabilities"]


def test_played_at_its_pace(fleet: Fleet, tiers: Tiers, stream: str, watch: Callable[[str], Watcher]) -> None:
    """It begins when somebody watches; each message once, in order, at its time; only what is watched is read."""
    times = _put(tiers, stream)
    with _played(fleet, tiers, stream) as (replay, url):
        client = watch(url)
        client.topics(3)
        client.subscribe(f"/{stream}/imu")
        client.until(lambda: len(client.got) >= 100)
        client.until(lambda: client.times and replay.sent == 100)
    assert [one.time_ns for one in client.got] == [at * 1000 for at in times]
    assert [one.json["acc"]["x"] for one in client.got] == [float(at) for at in range(100)]
    assert client.times == sorted(client.times)


def test_nothing_is_sent_before_it_would_arrive(
    fleet: Fleet, tiers: Tiers, stream: str, watch: Callable[[str], Watcher], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server tells of a viewer before its subscription counts: until then playback waits, and none is lost."""
    times = _put(tiers, stream)
    looks: list[int] = []
    reached = serving.Server.reached

    def late(server: serving.Server, names: frozenset[str]) -> frozenset[str]:
        if names:
            looks.append(playing[0].sent)
        return reached(server, names) if len(looks) > 50 else frozenset()

    monkeypatch.setattr(serving.Server, "reached", late)
    with _played(fleet, tiers, stream) as (replay, url):
        playing = [replay]
        client = watch(url)
        client.topics(3)
        client.subscribe(f"/{stream}/imu")
        client.until(lambda: len(client.got) >= 100)
    assert looks[:51] == [0] * 51
    assert [one.time_ns for one in client.got] == [at * 1000 for at in times]


@dataclass
class _Noted(Quiet):
    """Take whatever is played, and note it and the times told in one row."""

    noted: list[int] = field(default_factory=list)

    def expand(self, item: Item) -> Iterable[tuple[int, Item]]:
        """Return the item at its time."""
        return [(item.time_us * 1000, item)]

    def send(self, time_ns: int, message: Item) -> None:
        """Note when."""
        self.noted.append(time_ns)

    def at(self, time_ns: int) -> None:
        """Note when."""
        self.noted.append(time_ns)

    def trouble(self, text: str) -> None:
        """Fail: nothing is wrong here."""
        raise AssertionError(text)


def test_the_time_never_runs_back(fleet: Fleet, tiers: Tiers, stream: str) -> None:
    """On a machine that is held up now and then, no time is told past a message that is still to come."""
    times = _put(tiers, stream, 50)
    reads = count()
    held_up = chain.from_iterable(repeat(seconds, 7) for seconds in accumulate(repeat(2 * LATE_S)))  # each 7th reading
    sink = _Noted()
    prepared = prepared_to_see(fleet.session, fleet.select(f"{tiers.robot}/{stream}/imu").question)
    replay = Replay(fleet.session, prepared, sink, Manner(), lambda: next(reads) / 1000 + next(held_up))
    replay.watch(None)
    replay.run(once=True)
    assert {at * 1000 for at in times} <= set(sink.noted)
    assert len(sink.noted) > len(times), "the time was told too"
    assert sink.noted == sorted(sink.noted)


def test_pause_seek_and_speed(fleet: Fleet, tiers: Tiers, stream: str, watch: Callable[[str], Watcher]) -> None:
    """Paused nothing comes; a jump says so and shows how things stood; the rest comes faster; then it has ended."""
    times = _put(tiers, stream)
    with _played(fleet, tiers, stream, Manner(paused=True)) as (_, url):
        client = watch(url)
        client.topics(3)
        client.subscribe(f"/{stream}/imu", f"/{stream}/cam")
        answer = client.control(PAUSE, 1.0, times[50] * 1000, "jump")
        assert (answer.status, answer.did_seek, answer.at_ns) == (PAUSED, True, times[50] * 1000)
        client.until(lambda: len(client.got) == 2)  # the last of each before it, and nothing more
        assert sorted(one.time_ns for one in client.got) == [times[45] * 1000, times[49] * 1000]
        assert client.control(PLAY, 50.0, None, "go").status == PLAYING
        client.until(lambda: len(client.of(f"/{stream}/imu")) == 51)
        client.until(lambda: any(one.status == ENDED for one in client.states))
        assert [one.time_ns for one in client.of(f"/{stream}/imu")[1:]] == [at * 1000 for at in times[50:]]
        assert client.of(f"/{stream}/cam")[1].time_ns == times[50] * 1000
        assert JPEG in client.of(f"/{stream}/cam")[1].data
        before = len(client.got)
        client.control(PLAY, 100.0, None, "again")  # at the end: from the beginning
        client.until(lambda: len(client.got) >= before + 100)


def test_who_comes_later(fleet: Fleet, tiers: Tiers, stream: str, watch: Callable[[str], Watcher]) -> None:
    """What is subscribed while it plays joins from there; unsubscribed it is read no longer; a second client joins."""
    _put(tiers, stream)
    with _played(fleet, tiers, stream, Manner(speed=4.0, loop=True)) as (_, url):
        client, other = watch(url), watch(url)
        client.topics(3)
        client.subscribe(f"/{stream}/imu")
        client.until(lambda: client.of(f"/{stream}/imu"))
        client.subscribe(f"/{stream}/cam")
        client.until(lambda: client.of(f"/{stream}/cam"))
        client.unsubscribe(f"/{stream}/imu")
        alone = [f"/{stream}/cam"] * 5  # with the other there are five of it between two
        client.until(lambda: [one.topic for one in client.got[-5:]] == alone)
        seen = len(client.got)
        client.until(lambda: len(client.got) >= seen + 25)  # it went round
        assert {one.topic for one in client.got[seen:]} == {f"/{stream}/cam"}
        other.topics(3)
        other.subscribe(f"/{stream}/log")
        other.until(lambda: other.of(f"/{stream}/log"))
        assert b"too hot" in other.got[0].data


def test_a_port_that_is_taken(fleet: Fleet, tiers: Tiers, stream: str) -> None:
    """Serving where another serves is a clear error."""
    from fleetbox.errors import FleetboxError

    _put(tiers, stream)
    question: Any = fleet.select(f"{tiers.robot}/{stream}/imu").question
    with _played(fleet, tiers, stream) as (_, url):
        port = int(url.rpartition(":")[2])
        with pytest.raises(FleetboxError, match="--port"), served(fleet.session, question, Manner(), "127.0.0.1", port):
            pass

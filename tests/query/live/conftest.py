"""A client of Foxglove's protocol, written from its description and sharing no code with the server's library."""

from __future__ import annotations

import json
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pytest
from websockets.sync.client import ClientConnection, connect

PROTOCOL = "foxglove.sdk.v1"
TOO_SOON = "Unknown channel ID: "  # foxglove-sdk 0.30 sends an offer, then notes it: who is quicker is refused
PLAY, PAUSE = 0, 1
PLAYING, PAUSED, BUFFERING, ENDED = range(4)


@dataclass(frozen=True)
class Got:
    """One message: the topic, its time in ns, its bytes."""

    topic: str
    time_ns: int
    data: bytes

    @property
    def json(self) -> Any:
        """Return what its bytes say."""
        return json.loads(self.data)


@dataclass(frozen=True)
class Told:
    """What the server says of playback."""

    status: int
    at_ns: int
    speed: float
    did_seek: bool
    request: str


class Watcher:
    """Connect, read what is offered, subscribe, control playback; everything received is kept."""

    def __init__(self, url: str) -> None:
        self._open = ExitStack()
        self._socket: ClientConnection = self._open.enter_context(
            connect(url, subprotocols=[PROTOCOL], open_timeout=60, ping_interval=None, close_timeout=0.5)
        )  # type: ignore[list-item]
        self.info: dict[str, Any] = {}
        self.channels: dict[int, dict[str, Any]] = {}
        self.got: list[Got] = []
        self.times: list[int] = []
        self.states: list[Told] = []
        self.status: list[str] = []
        self._topics: dict[int, str] = {}

    def close(self) -> None:
        """Disconnect."""
        self._open.close()

    def until(self, done: Callable[[], Any], timeout_s: float = 100.0) -> Any:
        """Receive until something is so."""
        deadline = time.monotonic() + timeout_s
        while not (found := done()):
            left = deadline - time.monotonic()
            assert left > 0, f"not within {timeout_s} s; got {len(self.got)} messages, states {self.states[-3:]}"
            self.take(min(left, 0.2))
        return found

    def take(self, timeout_s: float) -> None:
        """Receive one frame, or none within the time."""
        try:
            frame = self._socket.recv(timeout=timeout_s)
        except TimeoutError:
            return
        if isinstance(frame, str):
            self._text(json.loads(frame))
        else:
            self._binary(frame)

    def topics(self, count: int) -> dict[str, dict[str, Any]]:
        """Return the channels by topic once there are so many."""
        self.until(lambda: len(self.channels) >= count)
        return {one["topic"]: one for one in self.channels.values()}

    def subscribe(self, *topics: str) -> None:
        """Watch topics."""
        ids = {one["topic"]: number for number, one in self.channels.items()}
        wanted = []
        for topic in topics:
            number = len(self._topics) + 1
            self._topics[number] = topic
            wanted.append({"id": number, "channelId": ids[topic]})
        self._socket.send(json.dumps({"op": "subscribe", "subscriptions": wanted}))

    def unsubscribe(self, topic: str) -> None:
        """Watch a topic no longer."""
        ids = [number for number, one in self._topics.items() if one == topic]
        self._socket.send(json.dumps({"op": "unsubscribe", "subscriptionIds": ids}))

    def control(self, command: int, speed: float = 1.0, seek_ns: int | None = None, request: str = "q") -> Told:
        """Ask for playback and return the answer."""
        name = request.encode()
        head = struct.pack("<BBfBQI", 3, command, speed, seek_ns is not None, seek_ns or 0, len(name))
        self._socket.send(head + name)
        seen = len(self.states)

        def answers() -> list[Told]:
            return [one for one in self.states[seen:] if one.request == request]

        found: list[Told] = self.until(answers)
        return found[0]

    def of(self, topic: str) -> list[Got]:
        """Return a topic's messages."""
        return [one for one in self.got if one.topic == topic]

    def _text(self, said: dict[str, Any]) -> None:
        if said["op"] == "serverInfo":
            self.info = said
        elif said["op"] == "advertise":
            self.channels |= {one["id"]: one for one in said["channels"]}
        elif said["op"] == "status" and said["message"].startswith(TOO_SOON):
            self._again(int(said["message"].removeprefix(TOO_SOON)))
        elif said["op"] == "status":
            self.status.append(said["message"])

    def _again(self, channel: int) -> None:
        """Subscribe once more to a channel that the server offered before it would have known it."""
        topic = self.channels[channel]["topic"]
        wanted = [{"id": number, "channelId": channel} for number, one in self._topics.items() if one == topic]
        self._socket.send(json.dumps({"op": "subscribe", "subscriptions": wanted}))

    def _binary(self, frame: bytes) -> None:
        if frame[0] == 1:
            number, time_ns = struct.unpack_from("<IQ", frame, 1)
            self.got.append(Got(self._topics[number], time_ns, frame[13:]))
        elif frame[0] == 2:
            self.times.append(struct.unpack_from("<Q", frame, 1)[0])
        elif frame[0] == 5:
            status, at_ns, speed, did_seek, length = struct.unpack_from("<BQfBI", frame, 1)
            self.states.append(Told(status, at_ns, speed, bool(did_seek), frame[19 : 19 + length].decode()))


@pytest.fixture
def watch() -> Iterator[Callable[[str], Watcher]]:
    """Connect a client to a server; closed at the end."""
    opened: list[Watcher] = []

    def connected(url: str) -> Watcher:
        opened.append(Watcher(url))
        return opened[-1]

    yield connected
    for one in opened:
        one.close()

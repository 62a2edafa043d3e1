"""Serve channels to Foxglove over its WebSocket, and hear who watches which of them and how they want it played."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import foxglove
from foxglove.websocket import (
    Capability,
    ChannelView,
    Client,
    PlaybackCommand,
    PlaybackControlRequest,
    PlaybackState,
    PlaybackStatus,
    ServerListener,
    StatusLevel,
)

from fleetbox.errors import FleetboxError, InputError
from fleetbox_query.exports.mcap.topics import Encode, encoder_of, is_attachment, topic_of
from fleetbox_query.items import Item
from fleetbox_query.live.samples import Sample
from fleetbox_query.live.sinks import State, Wish

PORT = 8765  # Foxglove's own
Played = tuple[str, bytes]  # stream, a message's bytes
_STATUS = {
    "playing": PlaybackStatus.Playing,
    "paused": PlaybackStatus.Paused,
    "buffering": PlaybackStatus.Buffering,
    "ended": PlaybackStatus.Ended,
}


@dataclass(frozen=True, slots=True)
class Serving:
    """Say where to serve, under which name, and the range that can be sought in (ns), or None for what is live."""

    name: str = "fleetbox"
    host: str = "127.0.0.1"
    port: int = PORT
    range_ns: tuple[int, int] | None = None


@dataclass
class Server(ServerListener):
    """Be the sink whose messages go to whoever watches.

    watched: called with the streams that somebody watches, whenever that changes. control: called with what a viewer
    asks of playback; returns where playback is then. Both are called on threads of the server's own.
    """

    serving: Serving
    watched: Callable[[frozenset[str]], None] = lambda names: None
    control: Callable[[Wish], State] | None = None
    _channels: dict[str, foxglove.Channel] = field(default_factory=dict)
    _names: dict[int, str] = field(default_factory=dict)  # a channel's id -> its stream
    _encoders: dict[str, Encode] = field(default_factory=dict)
    _watchers: dict[int, set[int]] = field(default_factory=dict)  # a channel's id -> who watches it

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._context = foxglove.Context()
        self._server: foxglove.websocket.WebSocketServer | None = None

    def open(self, samples: Mapping[str, Sample], alone: bool) -> None:
        """Offer a channel for each stream of which there is a sample; alone: topics need not name the robot."""
        for name, one in samples.items():
            if name in self._channels or is_attachment(one.item, one.said):
                continue
            topic = topic_of(name, one.item, one.said, alone)
            self._encoders[name] = encoder_of(one.item, topic)
            channel = foxglove.Channel(
                topic.topic,
                schema=foxglove.Schema(name=topic.schema_name, encoding=topic.schema_encoding, data=topic.schema),
                message_encoding=topic.encoding,
                metadata={**topic.metadata, "stream": name},
                context=self._context,
            )
            self._channels[name] = channel
            with self._lock:
                self._names[channel.id()] = name
                early = channel.id() in self._watchers  # who watches it heard of it before we knew its number
            if early:
                self.watched(self._watched())

    def start(self) -> None:
        """Begin to serve; raises FleetboxError where the port is taken."""
        serving = self.serving
        try:
            self._server = foxglove.start_server(
                name=serving.name,
                host=serving.host,
                port=serving.port,
                capabilities=[Capability.Time],
                server_listener=self,
                context=self._context,
                playback_time_range=serving.range_ns,
            )
        except (RuntimeError, OSError, ValueError) as error:
            text = f"cannot serve at {serving.host}:{serving.port}: {error}"
            raise FleetboxError(text, "another program may use it: give another --port, or 0 for any") from error

    def stop(self) -> None:
        """Stop serving."""
        if self._server is not None:
            self._server.stop()
            self._server = None

    @property
    def url(self) -> str:
        """Return where a viewer connects to."""
        return f"ws://{self.serving.host}:{self._server.port if self._server else self.serving.port}"

    @property
    def streams(self) -> tuple[str, ...]:
        """Return the streams that have a channel."""
        return tuple(self._channels)

    def reached(self, names: frozenset[str]) -> frozenset[str]:
        """Return those whose messages go out by now: a viewer is heard of a moment before its subscription counts."""
        return frozenset(name for name in names if name in self._channels and self._channels[name].has_sinks())

    # -- as a sink -------------------------------------------------------------------------------------------------

    def expand(self, item: Item) -> Iterable[tuple[int, Played]]:
        """Yield the messages of an item with their times, by the record's µs: the clock that is played."""
        name = f"{item.robot}/{item.stream}"
        if name not in self._encoders:
            raise InputError(f"Foxglove shows no {item.content_type or item.type}")
        for offset_ns, data in self._encoders[name](item):
            yield item.time_us * 1000 + offset_ns, (name, data)

    def send(self, time_ns: int, message: Played) -> None:
        """Pass a message to those who watch its stream; one who is too slow loses the oldest."""
        name, data = message
        self._channels[name].log(data, log_time=time_ns)

    def at(self, time_ns: int) -> None:
        """Tell the time."""
        if self._server is not None:
            self._server.broadcast_time(time_ns)

    def told(self, state: State) -> None:
        """Tell where playback is."""
        if self._server is not None and self.serving.range_ns is not None:
            self._server.broadcast_playback_state(_as_theirs(state, None))

    def trouble(self, text: str) -> None:
        """Tell what could not be read."""
        if self._server is not None:
            self._server.publish_status(text, StatusLevel.Warning)

    # -- from viewers, on the server's threads -------------------------------------------------------------------

    def on_subscribe(self, client: Client, channel: ChannelView) -> None:
        """Hear that somebody watches a channel."""
        self._watch(channel, client, True)

    def on_unsubscribe(self, client: Client, channel: ChannelView) -> None:
        """Hear that somebody watches a channel no longer."""
        self._watch(channel, client, False)

    def on_playback_control_request(self, request: PlaybackControlRequest) -> PlaybackState | None:
        """Hear how it is to be played."""
        if self.control is None:
            return None
        play = request.playback_command == PlaybackCommand.Play
        state = self.control(Wish(play, request.playback_speed, request.seek_time))
        return _as_theirs(state, request.request_id)

    def _watch(self, channel: ChannelView, client: Client, begins: bool) -> None:
        with self._lock:
            watchers = self._watchers.setdefault(channel.id, set())
            (watchers.add if begins else watchers.discard)(client.id)
            known = channel.id in self._names
        if known:
            self.watched(self._watched())

    def _watched(self) -> frozenset[str]:
        with self._lock:
            return frozenset(self._names[one] for one, ids in self._watchers.items() if ids and one in self._names)


def _as_theirs(state: State, request_id: str | None) -> PlaybackState:
    return PlaybackState(_STATUS[state.status], state.at_ns, state.speed, state.did_seek, request_id)

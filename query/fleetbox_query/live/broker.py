"""Publish what is played to an MQTT broker: rows as JSON, everything else as the bytes it is."""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from os import environ
from typing import Any, cast
from urllib.parse import unquote, urlsplit

import aiomqtt
from aiomqtt.types import PayloadType
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from fleetbox.background import BackgroundLoop
from fleetbox.errors import AccessDenied, InputError, Unreachable
from fleetbox_query.items import Item
from fleetbox_query.live.sinks import Quiet
from fleetbox_query.plain import plain_value

PORTS = {"mqtt": 1883, "mqtts": 8883}
PASSWORD = "FLEETBOX_MQTT_PASSWORD"  # environment; a command line is no place for one
SEND_S = 10.0  # a broker that has not taken a message by then has gone
REFUSED = (134, 135)  # MQTT 5's answers to a wrong user or password, and to one without the right


@dataclass(frozen=True, slots=True)
class Target:
    """Say where messages go: broker, user, and what stands before robot and stream in a topic."""

    host: str
    port: int
    tls: bool = False
    user: str | None = None
    password: str | None = None
    prefix: str = ""


def target_of(url: str, variables: Mapping[str, str] = environ) -> Target:
    """Read mqtt[s]://[user@]host[:port][/prefix]; the password stands in the environment. Raises InputError."""
    parts = urlsplit(url)
    try:
        port = parts.port or PORTS[parts.scheme]
    except (KeyError, ValueError) as error:
        raise InputError(f"{url} names no broker: {error}", "write mqtt://host:1883/prefix") from error
    if not parts.hostname:
        raise InputError(f"{url} names no host", "write mqtt://host:1883/prefix")
    if parts.password:
        raise InputError("a password stands in the broker's address", f"put it into {PASSWORD}")
    prefix = unquote(parts.path).strip("/")
    if url.endswith("#") or parts.fragment or parts.query or any(mark in prefix for mark in "+#"):
        raise InputError(f"{url} ends in no prefix of topics", "leave out +, # and ?")
    user = unquote(parts.username) if parts.username else None
    return Target(parts.hostname, port, parts.scheme == "mqtts", user, variables.get(PASSWORD), prefix)


class Broker(Quiet):
    """Be the sink that publishes; use it as a context manager."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._loop = BackgroundLoop("fleetbox-mqtt")
        self._client: aiomqtt.Client | None = None

    def __enter__(self) -> Broker:
        try:
            self._run(self._connect(), "connect to")
        except BaseException:
            self._loop.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._loop.run(self._leave(), SEND_S)
        finally:
            self._loop.stop()

    def expand(self, item: Item) -> Iterable[tuple[int, Item]]:
        """Yield the item itself."""
        return ((item.time_us * 1000, item),)

    def send(self, time_ns: int, message: Item) -> None:
        """Publish to PREFIX/ROBOT/STREAM, at least once; raises Unreachable when the broker has gone."""
        topic = "/".join(part for part in (self._target.prefix, message.robot, message.stream) if part)
        self._run(self._publish(topic, *_published(message)), f"publish {topic} to")

    def trouble(self, text: str) -> None:
        """Take no notice: what could not be read is raised."""

    async def _connect(self) -> None:
        target = self._target
        client = aiomqtt.Client(
            target.host,
            target.port,
            username=target.user,
            password=target.password,
            protocol=aiomqtt.ProtocolVersion.V5,
            tls_context=ssl.create_default_context() if target.tls else None,
            timeout=SEND_S,
        )
        await client.__aenter__()
        self._client = client

    async def _leave(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            try:
                await client.__aexit__(None, None, None)
            except aiomqtt.MqttError:
                return  # it has gone before us

    async def _publish(self, topic: str, payload: PayloadType, properties: Properties) -> None:
        assert self._client is not None
        await self._client.publish(topic, payload, qos=1, properties=properties)

    def _run(self, work: Any, doing: str) -> None:
        target = self._target
        try:
            self._loop.run(work, SEND_S)
        except TimeoutError as error:
            raise Unreachable(f"could not {doing} {target.host}:{target.port} within {SEND_S:g} s") from error
        except (aiomqtt.MqttError, OSError) as error:
            code = getattr(getattr(error, "rc", None), "value", None)
            text = f"could not {doing} {target.host}:{target.port}: {error}"
            if code in REFUSED:
                raise AccessDenied(text, f"give mqtt://user@host, and the password in {PASSWORD}") from error
            raise Unreachable(text, "is the broker running there?") from error


def _published(item: Item) -> tuple[bytes, Properties]:
    """Return the payload, and what MQTT 5 carries beside it: type, time and the user's labels."""
    properties: Any = cast(Any, Properties)(PacketTypes.PUBLISH)  # untyped in paho
    properties.UserProperty = [("time_us", str(item.time_us)), ("type", item.type), *sorted(item.labels.items())]
    if item.data is not None:
        properties.ContentType = item.content_type
        return item.data, properties
    properties.ContentType = "application/json"
    fields = {name: plain_value(value) for name, value in (item.fields or {}).items()}
    return json.dumps({"time_us": item.time_us, "fields": fields}, allow_nan=False).encode(), properties

"""Choose how a channel's messages become rows or records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from mcap.records import Channel, Schema

from fleetbox.labels import Labels


@dataclass(frozen=True, slots=True)
class Row:
    """Hold one message as values of its columns; header_ns is its own stamp, if it has one."""

    values: Any
    header_ns: int | None
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Blob:
    """Hold one message that is a record of its own; undecoded when its schema promised fields."""

    type: str
    data: bytes
    header_ns: int | None = None
    labels: Labels = field(default_factory=dict)
    undecoded: bool = False


class Decoder(Protocol):
    """Turn messages of one channel into rows or records."""

    type: str

    def decode(self, data: bytes) -> Row | Blob:
        """Return a message as a row, or as a record of its own."""

    def columns(self, rows: Sequence[Row]) -> Mapping[str, Any]:
        """Return rows as columns for a chunk."""


class Raw:
    """Keep messages as they are: nothing here knows their encoding."""

    type = "file"

    def decode(self, data: bytes) -> Blob:
        """Return the message's bytes."""
        return Blob("file", data)

    def columns(self, rows: Sequence[Row]) -> Mapping[str, Any]:
        """Never called: there are no rows."""
        raise AssertionError("raw messages make no rows")


def decoder_for(channel: Channel, schema: Schema | None) -> Decoder:
    """Return the decoder for a channel; messages of unknown encodings stay raw."""
    if channel.message_encoding == "cdr" and schema is not None and schema.encoding == "ros2msg":
        from fleetbox_edge.ingest.ros2 import ros2_decoder

        return ros2_decoder(schema)
    if channel.message_encoding == "json":
        from fleetbox_edge.ingest.json_rows import JsonRows

        return JsonRows(schema)
    return Raw()

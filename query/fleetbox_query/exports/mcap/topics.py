"""Choose each stream's channel: its topic, its schema, and how one of its items becomes messages."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fleetbox import chunks
from fleetbox.errors import InputError
from fleetbox_query.exports.mcap import clouds
from fleetbox_query.exports.mcap.happenings import TOPIC
from fleetbox_query.exports.mcap.movies import AnnexB
from fleetbox_query.exports.mcap.row_texts import HIDDEN, nested
from fleetbox_query.exports.mcap.stamps import stamp
from fleetbox_query.items import Item
from fleetbox_query.plain import plain_value

if TYPE_CHECKING:
    import pyarrow as pa

Encode = Callable[[Item], Iterable[tuple[int, bytes]]]  # (ns after the item's own time, a message's bytes)
LEVELS = {"debug": "Debug", "info": "Info", "warn": "Warning", "warning": "Warning", "error": "Error",
          "critical": "Fatal", "fatal": "Fatal"}  # fmt: skip
PACKED = ("images", "video")  # compressed already: to try again costs time and gains nothing
_JSON_TYPES = {"bool": "boolean", "string": "string", "binary": "string"}


@dataclass(frozen=True, slots=True)
class Topic:
    """Hold what a channel is, as the file states it; plain values, so that a later attempt states the same."""

    topic: str
    encoding: str
    schema_name: str
    schema_encoding: str
    schema_data: str  # base64
    metadata: dict[str, str] = field(default_factory=dict)

    @property
    def schema(self) -> bytes:
        """Return the schema's bytes."""
        return base64.b64decode(self.schema_data)


def has_own_messages(said: Mapping[str, Any]) -> bool:
    """Tell whether a stream came in as messages whose bytes and schema are kept."""
    return bool(said.get("schema_name")) and bool(said.get("encoding"))


def topic_of(name: str, item: Item, said: Mapping[str, Any], alone: bool) -> Topic:
    """Return the channel of a stream by its first item; alone: only one robot is exported, so topics omit it."""
    if has_own_messages(said) and own_message(item) is not None:
        given = str(said.get("topic") or f"/{item.stream}")
        data = said.get("schema_data", "")
        raw = base64.b64decode(data) if said.get("schema_data_as") == "base64" else str(data).encode()
        schema = (str(said["schema_name"]), str(said.get("schema_encoding", "")), base64.b64encode(raw).decode())
        metadata = {str(key): str(value) for key, value in dict(said.get("channel_metadata") or {}).items()}
        return Topic(given if alone else f"/{item.robot}{given}", str(said["encoding"]), *schema, metadata)
    topic = f"/{item.stream}" if alone else f"/{name}"
    if (known := _well_known(item)) is not None:
        schema = known.get_schema()
        return Topic(topic, "protobuf", schema.name, schema.encoding, base64.b64encode(schema.data).decode())
    fields = said.get("fields") or {}
    text = json.dumps(_json_schema(item, fields)).encode()
    return Topic(topic, "json", f"fleetbox.{item.type}", "jsonschema", base64.b64encode(text).decode())


def topic_of_rows(name: str, table: pa.Table, said: Mapping[str, Any], alone: bool) -> Topic:
    """Return the channel of a stream of rows."""
    robot, _, stream = name.partition("/")
    first = {column: table[column][0].as_py() for column in table.column_names if column != chunks.TIME}
    kind = str(said.get("type") or "time_series")
    item = Item(robot, stream, 0, kind, {}, chunks.CONTENT_TYPE, fields=first)
    return topic_of(name, item, said, alone)


def topic_of_events() -> Topic:
    """Return the channel that shows events."""
    from foxglove import messages

    schema = messages.Event.get_schema()
    return Topic(TOPIC, "protobuf", schema.name, schema.encoding, base64.b64encode(schema.data).decode())


def encoder_of(item: Item, topic: Topic) -> Encode:
    """Return what turns a stream's items into its channel's messages."""
    if topic.schema_name == "foxglove.CompressedImage" and topic.encoding == "protobuf":
        return _picture
    if topic.schema_name == "foxglove.CompressedVideo" and topic.encoding == "protobuf":
        return AnnexB(f"{item.robot}/{item.stream}")
    if topic.schema_name == "foxglove.PointCloud" and topic.encoding == "protobuf":
        return _cloud
    if topic.schema_name == "foxglove.Log" and topic.encoding == "protobuf":
        return _log
    return _json if topic.schema_name.startswith("fleetbox.") else _own


def is_attachment(item: Item, said: Mapping[str, Any]) -> bool:
    """Tell whether an item is a file and no message."""
    if item.data is None or (has_own_messages(said) and own_message(item) is not None):
        return False
    if clouds.cloud_of(item.data) is not None:
        return False
    return item.type == "file" or (_well_known(item) is None and item.content_type != "application/json")


def own_message(item: Item) -> bytes | None:
    """Return the bytes of the message an item came from, or None where it came from none."""
    if item.data is None:
        found = (item.fields or {}).get(chunks.CDR)
        return found if isinstance(found, bytes) else None
    if item.type == "images":
        head = item.labels.get("cdr_head")
        return None if head is None else base64.b64decode(head) + item.data
    return item.data if item.type == "file" else None


def _well_known(item: Item) -> Any:
    """Return the Foxglove message an item is shown as, or None."""
    from foxglove import messages

    if item.data is None:
        return None
    if item.type == "file" and clouds.cloud_of(item.data) is not None:
        return messages.PointCloud
    by_type = {"images": messages.CompressedImage, "video": messages.CompressedVideo, "log": messages.Log}
    return by_type.get(item.type)


def _own(item: Item) -> Iterable[tuple[int, bytes]]:
    data = own_message(item)
    if data is None:
        raise InputError("it holds no message's bytes, as the stream's first record did")
    return ((0, data),)


def _picture(item: Item) -> Iterable[tuple[int, bytes]]:
    from foxglove import messages

    message = messages.CompressedImage(
        timestamp=stamp(item.time_us * 1000),
        frame_id=item.labels.get("frame_id", item.stream),
        data=item.data or b"",
        format=item.content_type.rpartition("/")[2],
    )
    return ((0, message.encode()),)


def _cloud(item: Item) -> Iterable[tuple[int, bytes]]:
    return ((0, clouds.message_of(item)),)


def _log(item: Item) -> Iterable[tuple[int, bytes]]:
    from foxglove import messages

    level = LEVELS.get(item.labels.get("level", "").lower(), "Unknown")
    message = messages.Log(
        timestamp=stamp(item.time_us * 1000),
        level=getattr(messages.LogLevel, level),
        message=(item.data or b"").decode(errors="replace"),
        name=item.labels.get("name", item.stream),
        file=item.labels.get("file", ""),
        line=int(line) if (line := item.labels.get("line", "")).isdecimal() else 0,
    )
    return ((0, message.encode()),)


def _json(item: Item) -> Iterable[tuple[int, bytes]]:
    if item.data is not None:
        value = json.loads(item.data)
        return ((0, item.data if isinstance(value, dict) else json.dumps({"value": value}).encode()),)
    fields = {name: plain_value(value) for name, value in (item.fields or {}).items() if name not in HIDDEN}
    return ((0, json.dumps(nested(fields), allow_nan=False).encode()),)


def _json_schema(item: Item, fields: Mapping[str, Any]) -> dict[str, Any]:
    if item.data is not None:
        return {"type": "object"}
    shown = {name: value for name, value in (item.fields or {}).items() if name not in HIDDEN}
    kinds = {name: _json_kind(fields.get(name, {}), value) for name, value in shown.items()}
    return {"type": "object", "properties": _schema_of(nested(kinds))}


def _schema_of(nested: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: one.schema if isinstance(one, _Leaf) else {"type": "object", "properties": _schema_of(one)}
        for name, one in nested.items()
    }


@dataclass(frozen=True, slots=True)
class _Leaf:
    schema: dict[str, Any]


def _json_kind(said: Mapping[str, Any], value: Any) -> _Leaf:
    dtype = str(said.get("dtype", ""))
    kind = _JSON_TYPES.get(dtype) or ("integer" if "int" in dtype else "number" if "float" in dtype else "")
    if not kind:
        kind = {bool: "boolean", int: "integer", str: "string", bytes: "string"}.get(type(value), "number")
    made: dict[str, Any] = {"type": kind}
    if kind == "string" and (dtype == "binary" or isinstance(value, bytes)):
        made["contentEncoding"] = "base64"
    if said.get("shape") or isinstance(value, list):
        for _ in said.get("shape") or [None]:
            made = {"type": "array", "items": made}
    if unit := said.get("unit"):
        made["unit"] = str(unit)
    return _Leaf(made)

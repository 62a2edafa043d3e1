"""Turn JSON messages into rows: one column for every leaf the messages have."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from mcap.records import Schema

from fleetbox.chunks import RESERVED_COLUMNS
from fleetbox_edge.ingest.decoding import Blob, Row

_NUMBERS = frozenset({int, float})


class JsonRows:
    """Make a row of every message that is an object; columns take the types the schema or the values have."""

    type = "time_series"

    def __init__(self, schema: Schema | None) -> None:
        self._floats = _declared_floats(schema)

    def decode(self, data: bytes) -> Row | Blob:
        """Return a row; JSON that is no object is a json record, and what is no JSON a record of raw bytes."""
        try:
            message = json.loads(data)
        except ValueError:
            return Blob("file", data, undecoded=True)
        if not isinstance(message, dict):
            return Blob("json", data)
        leaves: dict[str, Any] = {}
        _walk(message, "", leaves)
        # Text form bounds the values' size: a number takes at least as many characters as half its 8 bytes.
        return Row(leaves, _header_ns(message), 3 * len(data))

    def columns(self, rows: Sequence[Row]) -> Mapping[str, Any]:
        """Return one list for every leaf; None where a message lacks it."""
        names = dict.fromkeys(name for row in rows for name in row.values)
        return {name: self._column(name, [row.values.get(name) for row in rows]) for name in names}

    def _column(self, name: str, values: list[Any]) -> list[Any]:
        """Keep one kind as it is, numbers declared as such as floats; a mix becomes JSON text."""
        kinds = {type(value) for value in values} - {type(None)}
        if kinds == {list}:
            return values
        if kinds <= _NUMBERS:
            if name in self._floats or float in kinds:
                return [None if value is None else float(value) for value in values]
            fits = all(value is None or -(2**63) <= value < 2**63 for value in values)
            if fits or all(value is None or 0 <= value < 2**64 for value in values):
                return values
        elif len(kinds) == 1:
            return values
        return [None if value is None else _text(value) for value in values]


def _walk(value: Mapping[str, Any], prefix: str, leaves: dict[str, Any]) -> None:
    for key, item in value.items():
        name = f"{prefix}{key}".replace("\0", "") or "_"
        if isinstance(item, dict) and item:
            _walk(item, f"{name}.", leaves)
            continue
        name = f"{name}_" if name in RESERVED_COLUMNS else name
        # Lists of numbers are leaves; anything deeper stands as its JSON text beside the message's own bytes.
        plain = not isinstance(item, dict | list) or (isinstance(item, list) and _is_numeric(item))
        leaves[name] = item if plain else _text(item)


def _is_numeric(items: list[Any]) -> bool:
    if all(type(item) is float for item in items):
        return True
    return all(type(item) in _NUMBERS and abs(item) < 2**53 for item in items)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=True, separators=(",", ":"))


def _header_ns(message: Mapping[str, Any]) -> int | None:
    header = message.get("header")
    stamp = header.get("stamp") if isinstance(header, dict) else None
    if not isinstance(stamp, dict):
        return None
    seconds, rest = stamp.get("sec"), stamp.get("nanosec", stamp.get("nsec"))
    if type(seconds) is not int or type(rest) is not int:
        return None
    return seconds * 1_000_000_000 + rest


def _declared_floats(schema: Schema | None) -> frozenset[str]:
    """Return the dotted names a JSON schema declares as numbers: 1 and 1.5 then share a column type."""
    if schema is None or schema.encoding != "jsonschema":
        return frozenset()
    try:
        return frozenset(_numbers(json.loads(schema.data), ""))
    except (ValueError, AttributeError, RecursionError):
        return frozenset()


def _numbers(schema: Mapping[str, Any], prefix: str) -> list[str]:
    found: list[str] = []
    for key, item in schema.get("properties", {}).items():
        if item.get("type") == "number":
            found.append(f"{prefix}{key}")
        found += _numbers(item, f"{prefix}{key}.")
    return found

"""Take events: intervals with a kind, kept as JSON in the `meta` class."""

from __future__ import annotations

from typing import Any

from fleetbox.errors import InputError
from fleetbox.types import json
from fleetbox.types.shape import Type, one_line

REQUIRED = ("id", "kind", "robot", "time_us", "start_us", "stop_us", "state")
_TEXTS = ("id", "kind", "robot", "state")
_TIMES = ("time_us", "start_us", "stop_us")


def encode(value: Any) -> bytes:
    """Return the event as JSON; raises InputError naming what is missing or out of order."""
    if not isinstance(value, dict):
        raise InputError(f"an event is a dict, not {type(value).__name__}")
    if missing := [name for name in REQUIRED if name not in value]:
        raise InputError(f"an event lacks {', '.join(missing)}")
    for name in _TEXTS:
        if not isinstance(value[name], str) or not value[name]:
            raise InputError(f"an event's {name} is {value[name]!r}", "give text")
    for name in _TIMES:
        if type(value[name]) is not int:
            raise InputError(f"an event's {name} is {value[name]!r}", "give whole µs since the epoch")
    if value["start_us"] > value["stop_us"]:
        raise InputError("an event starts after it stops", "exchange start_us and stop_us")
    return json.encode(value)


def _preview(data: bytes) -> str:
    value = json.decode(data)
    seconds = (value["stop_us"] - value["start_us"]) / 1e6
    return one_line(f"{value['kind']} {value['id']} {seconds:g} s {value['state']}")


TYPE = Type(
    name="event",
    cls="meta",
    content_type="application/json",
    accepts=lambda value: isinstance(value, dict) and all(name in value for name in REQUIRED),
    encode=encode,
    decode=json.decode,
    preview=_preview,
)

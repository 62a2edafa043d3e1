"""Write items as plain values that JSON can hold.

A row becomes {robot, stream, time_us, type, labels, fields}; whole numbers stay exact at any size; NaN and the
infinities, which JSON lacks, become the texts "NaN", "Infinity" and "-Infinity"; a missing value is null; bytes are
base64. JSON is written in ASCII, since some readers take U+0085 or U+2028 for the end of a line. A blob becomes
{..., content_type, bytes} with `bytes` in base64, and beside it `value` where the content is text (as text) or JSON
(as what it says).
"""

from __future__ import annotations

import base64
import json
import math
from typing import Any

from fleetbox_query.items import Item


def plain_item(item: Item) -> dict[str, Any]:
    """Return an item as plain values."""
    out: dict[str, Any] = {
        "robot": item.robot,
        "stream": item.stream,
        "time_us": item.time_us,
        "type": item.type,
        "labels": dict(sorted(item.labels.items())),  # the engine gives them in any order
    }
    if item.data is None:
        out["fields"] = {name: plain_value(value) for name, value in (item.fields or {}).items()}
        return out
    out |= {"content_type": item.content_type, "bytes": base64.b64encode(item.data).decode()}
    return out | _readable(item.content_type, item.data)


def plain_value(value: Any) -> Any:
    """Return a field's value as JSON can hold it."""
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, list | tuple):
        return [plain_value(one) for one in value]
    return value


def cell(item: Item) -> str:
    """Return what an item says on one line."""
    if item.data is None:
        return ", ".join(f"{name}={short(value)}" for name, value in (item.fields or {}).items())
    readable = _readable(item.content_type, item.data)
    if not readable:
        return f"{item.content_type}, {len(item.data):,} bytes"
    value = readable["value"]
    return printable(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))


def printable(text: str) -> str:
    """Return text on one line without control characters: a log line must not steer the terminal it is shown on."""
    return "".join(mark if mark.isprintable() else "�" for mark in " ".join(text.split()))


def short(value: Any) -> str:
    """Return a field's value for a table."""
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list | tuple):
        return "[" + " ".join(short(one) for one in value) + "]"
    if isinstance(value, bytes):
        return f"{len(value)} bytes"
    return "" if value is None else printable(str(value))


def _readable(content_type: str, data: bytes) -> dict[str, Any]:
    if content_type.startswith("text/"):
        return {"value": data.decode(errors="replace")}
    if content_type == "application/json":
        try:
            return {"value": json.loads(data)}
        except ValueError:
            return {}
    return {}

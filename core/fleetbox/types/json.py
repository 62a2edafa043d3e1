"""Take dicts and lists as JSON text."""

from __future__ import annotations

import json
from typing import Any

from fleetbox.errors import InputError
from fleetbox.types.shape import Type, one_line, within_limit


def encode(value: Any) -> bytes:
    """Return the value as compact UTF-8 JSON; NaN, infinities and foreign objects raise InputError."""
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_plain)
        return within_limit(text.encode(), "a JSON value")
    except (TypeError, ValueError, RecursionError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"the value cannot be written as JSON: {error}", "use what JSON knows") from error


def decode(data: bytes) -> Any:
    """Return the value, or raise InputError for bytes that are no JSON."""
    try:
        return json.loads(data)
    except ValueError as error:
        raise InputError(f"{len(data)} bytes are no JSON: {error}") from error


def _plain(value: Any) -> Any:
    """Turn numpy's arrays and scalars into lists and numbers."""
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"a {type(value).__name__} is not JSON")


TYPE = Type(
    name="json",
    cls="log",
    content_type="application/json",
    accepts=lambda value: isinstance(value, dict | list | tuple),
    encode=encode,
    decode=decode,
    preview=lambda data: one_line(data.decode(errors="replace")),
)

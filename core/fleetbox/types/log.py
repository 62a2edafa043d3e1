"""Take text lines, as a program's log has them."""

from __future__ import annotations

from typing import Any

from fleetbox.errors import InputError
from fleetbox.types.shape import Type, one_line, within_limit


def encode(value: Any) -> bytes:
    """Return the text as UTF-8."""
    if not isinstance(value, str):
        raise InputError(f"a log line is text, not {type(value).__name__}", "give a str")
    try:
        return within_limit(value.encode(), "a log line")
    except UnicodeEncodeError as error:
        raise InputError(f"a log line cannot be written as UTF-8: {error.reason}", "remove lone surrogates") from None


def decode(data: bytes) -> str:
    """Return the text; bytes that are no UTF-8 show as U+FFFD."""
    return data.decode(errors="replace")


TYPE = Type(
    name="log",
    cls="log",
    content_type="text/plain",
    accepts=lambda value: isinstance(value, str),
    encode=encode,
    decode=decode,
    preview=lambda data: one_line(decode(data)),
)

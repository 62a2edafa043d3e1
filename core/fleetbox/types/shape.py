"""Define what a type of record is: how its values are accepted, encoded, decoded and previewed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fleetbox.errors import InputError
from fleetbox.naming import Class
from fleetbox.records import MAX_RECORD_BYTES


@dataclass(frozen=True, slots=True)
class Type:
    """Hold one type's behaviour.

    accepts tells whether a value looks like this type; encode raises InputError for one that
    doesn't; preview is one line for a table; sniff tells content types apart from the bytes
    where a type has several.
    """

    name: str
    cls: Class
    content_type: str
    accepts: Callable[[Any], bool]
    encode: Callable[[Any], bytes]
    decode: Callable[[bytes], Any]
    preview: Callable[[bytes], str]
    sniff: Callable[[bytes], str | None] = lambda _data: None

    def content_type_of(self, data: bytes) -> str:
        """Return the content type of these bytes."""
        return self.sniff(data) or self.content_type


def within_limit(data: bytes, what: str) -> bytes:
    """Return the bytes, or raise InputError when they are more than one record may hold."""
    if len(data) > MAX_RECORD_BYTES:
        raise InputError(
            f"{what} of {len(data):,} bytes is too large for one record",
            f"send at most {MAX_RECORD_BYTES:,} bytes at a time",
        )
    return data


def one_line(text: str, most_chars: int = 80) -> str:  # 80: a terminal's row
    """Return the text on one line, shortened."""
    line = " ".join(text.split())
    return line if len(line) <= most_chars else line[: most_chars - 1] + "…"

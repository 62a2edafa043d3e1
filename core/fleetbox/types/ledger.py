"""Show pages of the ledger, kept packed in the `meta` class."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from fleetbox.errors import InputError
from fleetbox.ledger.pages import CONTENT_TYPE, Page, encode
from fleetbox.ledger.pages import TYPE as NAME
from fleetbox.ledger.pages import decode as decode_page
from fleetbox.types.shape import Type, one_line


def _encode(value: Any) -> bytes:
    if not isinstance(value, Page):
        raise InputError(f"a ledger page is a Page, not {type(value).__name__}", "the ledger is written by its census")
    return encode(value)


def decode(data: bytes) -> dict[str, Any]:
    """Return the page as a dict; raises InputError for bytes that are none."""
    return asdict(decode_page(data))


def _preview(data: bytes) -> str:
    page = decode_page(data)
    names = ("lines", "drops", "standings", "tombstones", "removals")
    facts = {name: getattr(page, name) for name in names}
    return one_line(f"{page.place}: " + ", ".join(f"{len(found)} {name}" for name, found in facts.items() if found))


TYPE = Type(
    name=NAME,
    cls="meta",
    content_type=CONTENT_TYPE,
    accepts=lambda value: isinstance(value, Page),
    encode=_encode,
    decode=decode,
    preview=_preview,
)

"""Say what changes from one policy to another, in the words of its file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from fleetbox.settings import Policy


def changes(before: Policy, after: Policy) -> list[str]:
    """Return a line per value that differs: "stream.cam/*.ship: always -> event"; what is gone is marked "-"."""
    old, new = dict(_flat(before.model_dump(mode="json"))), dict(_flat(after.model_dump(mode="json")))
    lines = []
    for key in sorted(old.keys() | new.keys()):
        if old.get(key) != new.get(key):
            lines.append(f"{key}: {_text(old.get(key))} -> {_text(new.get(key))}")
    return lines


def _flat(value: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, one in value.items():
        if isinstance(one, Mapping) and one:
            yield from _flat(one, f"{prefix}{key}.")
        elif one not in (None, {}, []):
            yield prefix + key, one


def _text(value: Any) -> str:
    return "-" if value is None else str(value)

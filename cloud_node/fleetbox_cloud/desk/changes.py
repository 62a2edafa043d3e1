"""Say what changes from one policy to another, in the words of its file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from fleetbox.settings import Policy
from fleetbox.time import show_duration

# keys of a policy whose values are µs, wherever they stand
DURATIONS = ("after", "cooldown", "every", "gap", "hold", "post", "pre", "retention", "ring", "trial")


def changes(before: Policy, after: Policy) -> list[str]:
    """Return a line per value that differs: "stream.cam/*.ship: always -> event"; what is gone is marked "-"."""
    old, new = dict(_flat(before.model_dump(mode="json"))), dict(_flat(after.model_dump(mode="json")))
    lines = []
    for key in sorted(old.keys() | new.keys()):
        if old.get(key) != new.get(key):
            lines.append(f"{key}: {_text(key, old.get(key))} -> {_text(key, new.get(key))}")
    return lines


def _flat(value: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, one in value.items():
        if isinstance(one, Mapping) and one:
            yield from _flat(one, f"{prefix}{key}.")
        elif one not in (None, {}, [], ""):
            yield prefix + key, one


def _text(key: str, value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, list):
        return ", ".join(str(one) for one in value)
    if isinstance(value, int) and key.rpartition(".")[2] in DURATIONS:
        return show_duration(value)
    return str(value)

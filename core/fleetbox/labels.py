"""Labels of records: which names are ours, and what any label may look like."""

from __future__ import annotations

import re
from collections.abc import Mapping

from fleetbox.errors import InputError

Labels = dict[str, str]

PIN = "pin"  # of what a pin copied into a place's `kept`: it stays there, and no book counts it a second time
RESERVED = frozenset(
    {
        "robot", "type", "session", "seq", "xxh", "rows", "t_end", "part", "parts", "keep", "policy", PIN,
        "log_ns", "publish_ns", "header_ns",
    }
)  # fmt: skip
MAX_USER_LABELS = 16  # the engine keeps every label of a block in one descriptor: few and short
MAX_NAME_CHARS = 40
MAX_VALUE_CHARS = 200
MAX_TOTAL_CHARS = 2_000  # one record's labels stand in one HTTP header, of which clients read 8 kB

_NAME = re.compile(r"[a-z][a-z0-9_]*")
_VALUE = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?")


def check_user_labels(labels: Mapping[str, object]) -> Labels:
    """Return the labels as text, or raise InputError naming the label and the rule it breaks.

    Values may be str, bool, int or float; they are stored as text.
    """
    checked = {name: _check(name, value) for name, value in labels.items()}
    if len(checked) > MAX_USER_LABELS:
        raise InputError(f"{len(checked)} labels on one record", f"use at most {MAX_USER_LABELS}")
    total = sum(len(name) + len(value) for name, value in checked.items())
    if total > MAX_TOTAL_CHARS:
        raise InputError(f"labels of {total} characters on one record", f"use at most {MAX_TOTAL_CHARS} in all")
    return checked


def _check(name: str, value: object) -> str:
    if not isinstance(name, str) or len(name) > MAX_NAME_CHARS or not _NAME.fullmatch(name):
        raise InputError(
            f"label name {name!r} is not usable", f"use lower_snake_case, up to {MAX_NAME_CHARS} characters"
        )
    if name in RESERVED:
        raise InputError(f"label {name!r} is reserved for fleetbox", "choose another name")
    text = _text(name, value)
    if len(text) > MAX_VALUE_CHARS or not _VALUE.fullmatch(text) or "," in text or '"' in text:
        raise InputError(
            f"label {name!r} has the value {text!r}, which is not usable",
            f"use 1 to {MAX_VALUE_CHARS} visible ASCII characters without commas, quotes and outer spaces",
        )
    return text


def _text(name: str, value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return str(value)
    raise InputError(f"label {name!r} has a {type(value).__name__}", "use text, a number or a truth value")

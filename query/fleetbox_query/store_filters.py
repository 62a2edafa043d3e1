"""Write tests on labels as the store's own filter, never narrower than they mean.

The engine reads a label's text as a truth value or a number where it can ("007" is 7, "true" is true), and a text
in a filter as a duration ("5s" is 5,000,000). So equality with a text that reads as a number is asked for as that
number, which lets "7.0" through with "7"; what nobody can ask the engine for is only asked to be there.
"""

from __future__ import annotations

import math
import re
from typing import Any

from fleetbox_query.cel_text import Comparison, Has, Literal

NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")
_WHOLE = re.compile(r"[+-]?\d+")
_PLAIN = re.compile(r"[A-Za-z0-9_/.+-][\x20-\x7e]*")  # a first `&`, `@` or `$` means something else in a filter
_WORDS = re.compile(r"[+-]?(?:nan|inf|infinity)", re.IGNORECASE)
_IN_DURATIONS = str.maketrans("", "", "0123456789.-")
_UNITS = frozenset({"us", "ms", "s", "m", "h", "d"})
_OPS = {"==": "$eq", "!=": "$ne", "<": "$lt", "<=": "$lte", ">": "$gt", ">=": "$gte"}
_I64 = 2**63  # a larger integer in a filter stops the whole server (1.21.4: an unwrap on a u64)


def has_label(name: str) -> dict[str, Any]:
    """Return the store's filter for records that have a label."""
    return {"$has": [name]}


def filter_parts(test: Comparison | Has) -> list[dict[str, Any]]:
    """Return conditions that every record passes which passes the test."""
    has = has_label(test.name)  # first: a reference to a label the record lacks is an error to the engine
    if isinstance(test, Has):
        return [has]
    asked = _asked(test.op, test.literal)
    return [has] if asked is None else [has, {f"&{test.name}": {_OPS[test.op]: asked}}]


def is_decided(test: Comparison | Has) -> bool:
    """Tell whether the store thins out by a test's value, and not only by the label's being there."""
    return isinstance(test, Has) or _asked(test.op, test.literal) is not None


def _asked(op: str, literal: Literal) -> Literal | None:
    """Return the value to ask the engine for, or None where it would leave out what is meant."""
    if isinstance(literal, bool):
        return literal if op == "==" else None
    if not isinstance(literal, str):
        return literal if op != "!=" and abs(literal) < _I64 else None
    if op not in ("==", "!=") or not _PLAIN.fullmatch(literal) or _WORDS.fullmatch(literal):
        return None
    if literal in ("true", "false"):
        return literal == "true" if op == "==" else None
    if NUMBER.fullmatch(literal):
        return _number(literal) if op == "==" else None
    return None if _is_duration(literal) else literal


def _number(text: str) -> int | float | None:
    value = int(text) if _WHOLE.fullmatch(text) else float(text)
    return value if math.isfinite(value) and abs(value) < _I64 else None


def _is_duration(text: str) -> bool:
    return all(part.translate(_IN_DURATIONS) in _UNITS for part in text.split())

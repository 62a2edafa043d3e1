"""Take numbers by name and time: rows gather into chunks, so `encode` takes many and `flatten` one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from fleetbox import chunks
from fleetbox.errors import InputError
from fleetbox.types.shape import Type, one_line

VALUE = "value"  # the field's name when a bare number is logged
MAX_FIELDS = 4_096  # a row is held in memory by name; wider data is a picture or a file
_PLAIN = frozenset({float, int, bool, str})
_FLAT_KINDS = frozenset({float, int, bool})


def flatten(value: Any) -> dict[str, Any]:
    """Return a row as dotted field name -> float, int, bool, str, None or list of numbers.

    value: a number, a truth value, or a dict, nested or not, of those, text and one list level
    of numbers (numpy scalars and arrays too). Whole numbers must fit int64.
    Raises InputError naming the field; a plain flat dict is returned as it is.
    """
    if type(value) is dict and _PLAIN.issuperset(kinds := set(map(type, value.values()))):
        _check_names(tuple(value))
        if int in kinds:
            _check_whole(value)
        return value
    row: dict[str, Any] = {}
    _walk(value if isinstance(value, Mapping) else {VALUE: value}, "", row)
    _check_names(tuple(row))
    _check_whole(row)
    return row


def encode(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """Pack flat rows, each with its `time_us`, into one chunk; a field missing in a row is missing there."""
    names = dict.fromkeys(name for row in rows for name in row if name != chunks.TIME)
    times_us = [row[chunks.TIME] for row in rows]
    return chunks.encode(times_us, {name: [row.get(name) for row in rows] for name in names})


def _accepts(value: Any) -> bool:
    kind = type(value)
    if kind in _FLAT_KINDS:
        return True
    if kind is dict and value and _PLAIN.issuperset(map(type, value.values())):
        return True
    if isinstance(value, Mapping):
        return bool(value) and all(isinstance(name, str) and _is_leaf(item) for name, item in value.items())
    return not isinstance(value, str) and _is_scalar(value)


def _is_leaf(value: Any) -> bool:
    if isinstance(value, Mapping):
        return _accepts(value)
    if value is None or _is_scalar(value):
        return True
    if isinstance(value, list | tuple):
        return bool(value) and all(_is_scalar(item) and not isinstance(item, str) for item in value)
    return _is_numeric_array(value)


def _is_scalar(value: Any) -> bool:
    """Tell numbers, truth values and text, numpy's too, without importing numpy."""
    dtype = getattr(value, "dtype", None)
    if dtype is not None and getattr(value, "ndim", 1) == 0:
        return dtype.kind in "fiubU"
    return isinstance(value, float | int | str)


def _is_numeric_array(value: Any) -> bool:
    dtype = getattr(value, "dtype", None)
    return dtype is not None and dtype.kind in "fiub" and value.ndim == 1


def _walk(value: Mapping[str, Any], prefix: str, row: dict[str, Any]) -> None:
    for name, item in value.items():
        if not isinstance(name, str):
            raise InputError(f"field name {name!r} is a {type(name).__name__}", "use text")
        full = f"{prefix}{name}"
        if isinstance(item, Mapping):
            _walk(item, f"{full}.", row)
        elif not _is_leaf(item):
            raise InputError(
                f"field {full!r} holds a {type(item).__name__}", "use numbers, truth values, text or lists of numbers"
            )
        elif full in row:
            raise InputError(f"field {full!r} is given twice, nested and dotted", "keep one of them")
        else:
            # A caller may go on changing its array: what is logged is what it was.
            row[full] = item.tolist() if hasattr(item, "tolist") else list(item) if isinstance(item, list) else item


@lru_cache(maxsize=4_096)  # a stream's names never change, so that the check costs one look-up per row
def _check_names(names: tuple[str, ...]) -> None:
    if not names:
        raise InputError("a row without fields", "give at least one field")
    if len(names) > MAX_FIELDS:
        raise InputError(f"a row of {len(names)} fields", f"use at most {MAX_FIELDS}")
    for name in names:
        if not isinstance(name, str) or not name or not name.isprintable():
            raise InputError(f"field name {name!r} is not usable", "use visible text")
        if name in chunks.RESERVED_COLUMNS:
            raise InputError(f"field name {name!r} is reserved for fleetbox", "choose another name")


def _check_whole(row: Mapping[str, Any]) -> None:
    for name, value in row.items():
        items = value if isinstance(value, list | tuple) else (value,)
        for item in items:
            if type(item) is int and not -(2**63) <= item < 2**63:
                raise InputError(f"field {name!r} is {item}, outside int64", "send it as text or as a float")


def _preview(data: bytes) -> str:
    columns = chunks.columns(data)
    last = ", ".join(f"{name}={values[-1]}" for name, values in columns.items() if name not in chunks.RESERVED_COLUMNS)
    return one_line(f"{len(columns[chunks.TIME])} rows; {last}")


TYPE = Type(
    name="time_series",
    cls="sensor",
    content_type=chunks.CONTENT_TYPE,
    accepts=_accepts,
    encode=encode,
    decode=chunks.rows,
    preview=_preview,
)

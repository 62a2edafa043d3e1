"""Know the types a record can have, find one by name, and tell which one a value is.

A type stands in its own module under its own name; `Type` says what it offers.
"""

from __future__ import annotations

from typing import Any

from fleetbox.errors import InputError
from fleetbox.types import event, file, images, json, ledger, log, time_series, video
from fleetbox.types.shape import Type

__all__ = ["ALL", "Type", "get", "of"]

ALL: dict[str, Type] = {
    module.TYPE.name: module.TYPE for module in (time_series, images, video, log, json, file, event, ledger)
}
_GUESSED = (
    time_series.TYPE,
    log.TYPE,
    images.TYPE,
    video.TYPE,
    file.TYPE,
    json.TYPE,
)  # the first that accepts; events are said


def get(name: str) -> Type:
    """Return the type of this name, or raise InputError listing the names there are."""
    try:
        return ALL[name]
    except KeyError:
        raise InputError(f"type {name!r} is not known", f"use one of {', '.join(ALL)}") from None


def of(value: Any) -> Type:
    """Return the type a value is logged as, or raise InputError.

    Numbers, truth values and dicts of them are time_series; text is log; JPEG or PNG bytes and
    uint8 pictures are images; MP4 bytes are video; other bytes are file; other dicts and lists are json.
    """
    for kind in _GUESSED:
        if kind.accepts(value):
            return kind
    raise InputError(
        f"a value of type {type(value).__name__} cannot be logged",
        "give a number, a dict of numbers, text, bytes, a uint8 picture, or a dict or list that JSON can hold",
    )

"""The uplink of a place: how much may leave it, and what goes first."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator

from fleetbox.naming import CLASSES
from fleetbox.settings.values import Rate, Table

ORDER = ("meta", "log", "sensor", "small", "kept", "media")  # events and the ledger first, pictures behind all else


def _order(value: Any) -> tuple[str, ...]:
    """Return all classes, those named first; the others follow as they usually do."""
    if not isinstance(value, list | tuple) or not all(isinstance(item, str) for item in value):
        raise ValueError(f"write a list of classes, the first to go first, such as {list(ORDER)}")
    unknown = [item for item in value if item not in CLASSES]
    if unknown:
        raise ValueError(f"{', '.join(unknown)}: no such class; known: {', '.join(CLASSES)}")
    if len(set(value)) < len(value):
        raise ValueError("names a class twice")
    return tuple(dict.fromkeys([*value, *ORDER]))


class Uplink(Table):
    """Say how many bytes a second may leave a place for the next one (None: no cap), and in which order of classes."""

    max: Rate | None = None  # a cap is for links that others use as well; without one the link is used as it is
    order: Annotated[tuple[str, ...], BeforeValidator(_order)] = ORDER

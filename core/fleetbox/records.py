"""Records on their way into a store and out of it."""

from __future__ import annotations

from dataclasses import dataclass

from fleetbox.labels import Labels

MAX_RECORD_BYTES = 8_000_000  # larger files become parts, so that one batch stays within the engine's 8 MB


@dataclass(frozen=True, slots=True)
class Draft:
    """Hold a record that is to be written: entry, key in µs since the epoch, payload, labels."""

    entry: str
    time_us: int
    data: bytes
    labels: Labels
    content_type: str


@dataclass(frozen=True, slots=True)
class Head:
    """Hold what a store says of a record without its payload; size in bytes."""

    bucket: str
    entry: str
    time_us: int
    size: int
    labels: Labels
    content_type: str


@dataclass(frozen=True, slots=True)
class Record(Head):
    """Hold a record read from a store, payload included."""

    data: bytes

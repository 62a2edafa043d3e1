"""Count what an export wrote of each stream and what it left out, over all its attempts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from fleetbox_query.provenance import Provenance

MOST_NAMED = 1000  # left-out records named one by one in a manifest; the rest are counted


@dataclass(slots=True)
class Tally:
    """Hold counts by stream ("robot/stream"), places read, and what is missing or was left out."""

    items: dict[str, int] = field(default_factory=dict)  # rows and blobs
    size_bytes: int = 0  # of what they hold, not of the files
    places: set[str] = field(default_factory=set)
    missing: list[str] = field(default_factory=list)  # what places could not give
    skipped: list[str] = field(default_factory=list)  # what this format cannot hold, or does not decode
    skipped_items: int = 0

    def count(self, stream: str, items: int, size_bytes: int) -> None:
        """Add what was written of a stream."""
        self.items[stream] = self.items.get(stream, 0) + items
        self.size_bytes += size_bytes

    def skip(self, what: str, items: int = 1) -> None:
        """Name what was left out and why; the same words once."""
        self.skipped_items += items
        if what not in self.skipped and len(self.skipped) < MOST_NAMED:
            self.skipped.append(what)

    def read(self, provenance: Provenance) -> None:
        """Take over where it came from and what was missing there."""
        self.places |= set(provenance.places_read)
        self.note_missing(provenance.lines())

    def note_missing(self, lines: Iterable[str]) -> None:
        """Name what could not be read, each once."""
        known = set(self.missing)
        self.missing += [line for line in lines if line not in known][: max(0, MOST_NAMED - len(self.missing))]

    @property
    def total(self) -> int:
        """Return how many rows and blobs were written."""
        return sum(self.items.values())

    @property
    def complete(self) -> bool:
        """Tell whether nothing is missing and nothing was left out."""
        return not (self.missing or self.skipped)

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain values, for a checkpoint or a manifest."""
        return {
            "counts": {"items": self.total, "size_bytes": self.size_bytes, "streams": dict(sorted(self.items.items()))},
            "places_read": sorted(self.places),
            "missing": self.missing,
            "skipped": self.skipped,
            "skipped_items": self.skipped_items,
        }

    @classmethod
    def of(cls, said: Mapping[str, Any]) -> Tally:
        """Return what `as_dict` gave."""
        counts = said["counts"]
        return cls(
            dict(counts["streams"]),
            counts["size_bytes"],
            set(said["places_read"]),
            list(said["missing"]),
            list(said["skipped"]),
            said["skipped_items"],
        )

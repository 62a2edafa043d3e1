"""Say where an answer came from and what it may lack."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field

from fleetbox.blobs import Gap
from fleetbox.time import iso_time
from fleetbox_query.inventory import Unreached


class PartialAnswer(UserWarning):
    """Warn that an answer lacks what some place holds."""


@dataclass(frozen=True, slots=True)
class LostWhileReading:
    """Name a stretch that left a store while it was being read."""

    place: str
    gap: Gap

    def __str__(self) -> str:
        gap = self.gap
        return f"{self.place}: {gap.entry} from {iso_time(gap.from_us)} to {iso_time(gap.to_us)}: {gap.reason}"


@dataclass(frozen=True, slots=True)
class Provenance:
    """Hold what was read from where (place -> records), what was not asked, went missing or did not open."""

    places_read: Mapping[str, int] = field(default_factory=dict)
    unreachable: tuple[Unreached, ...] = ()
    gaps: tuple[LostWhileReading, ...] = ()
    unreadable: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """Tell whether every place answered and everything could be read."""
        return not (self.unreachable or self.gaps or self.unreadable)

    def __repr__(self) -> str:
        return "\n".join([f"records read: {self.text}", *self.lines()])

    @property
    def text(self) -> str:
        """Return how many records were read from which places: "edge-1 120, r7 3"."""
        return ", ".join(f"{place} {count:,}" for place, count in sorted(self.places_read.items()) if count) or "none"

    def lines(self) -> list[str]:
        """Return what the answer may lack, a line each."""
        return [
            *(f"not asked: {one}" for one in self.unreachable),
            *(f"gone while reading: {one}" for one in self.gaps),
            *(f"unreadable: {one}" for one in self.unreadable),
        ]

    def warn(self, stacklevel: int = 3) -> None:
        """Issue a PartialAnswer warning unless the answer is complete."""
        if not self.complete:
            warnings.warn(PartialAnswer("; ".join(self.lines())), stacklevel=stacklevel)

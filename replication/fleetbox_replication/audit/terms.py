"""The terms of the two equations, for one stream's minute or any sum of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

EVICTED = "evicted before it arrived"


@dataclass(slots=True)
class Terms:
    """Count records by what became of them on one hop.

    recorded = selected + kept; selected = arrived + waiting + refused + lost + unexplained. `kept` records stay at
    the hop's source: its policy never selected them.
    """

    recorded: int = 0
    selected: int = 0
    arrived: int = 0
    waiting: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    lost: Counter[str] = field(default_factory=Counter)
    unexplained: int = 0

    @property
    def kept(self) -> int:
        """Count what was never selected."""
        return self.recorded - self.selected

    @property
    def open(self) -> int:
        """Count what was selected and has not arrived."""
        return self.waiting + self.refused.total() + self.lost.total() + self.unexplained

    @property
    def balanced(self) -> bool:
        """Tell whether both equations hold and no term is negative."""
        terms = (self.arrived, self.waiting, *self.refused.values(), *self.lost.values(), self.unexplained, self.kept)
        return min(terms) >= 0 and self.selected == self.arrived + self.open

    def add(self, other: Terms) -> None:
        """Add another sum."""
        self.recorded += other.recorded
        self.selected += other.selected
        self.arrived += other.arrived
        self.waiting += other.waiting
        self.unexplained += other.unexplained
        if other.refused:
            self.refused.update(other.refused)
        if other.lost:
            self.lost.update(other.lost)

    def add_settled(self, recorded: int, selected: int) -> None:
        """Add records of which all that were selected have arrived."""
        self.recorded += recorded
        self.selected += selected
        self.arrived += selected


def fitted(reasons: Mapping[str, int], room: int) -> Counter[str]:
    """Return as many of the counts by reason as there is room for, the largest first."""
    taken: Counter[str] = Counter()
    for reason, count in sorted(reasons.items(), key=lambda item: (-item[1], item[0])):
        share = min(count, room)
        if share > 0:
            taken[reason] = share
            room -= share
    return taken

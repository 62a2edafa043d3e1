"""Tally what became of a stream's rows, minute by minute of the rows' own time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

NAN, NAME = "nan", "name"
OF_VALUES = frozenset({NAN, NAME})  # these reasons count values left out; all others count points


@dataclass(frozen=True, slots=True)
class Tally:
    """Count rows given, points that InfluxDB took, the values in those, and what it did not take by reason.

    A row without any value makes no point: `empty`. `refused` counts points, but for the reasons in OF_VALUES, which
    count values left out of a point.
    """

    rows: int = 0
    points: int = 0
    values: int = 0
    refused: Mapping[str, int] = field(default_factory=dict)

    def __add__(self, other: Tally) -> Tally:
        if not other.refused:  # nearly always
            return Tally(self.rows + other.rows, self.points + other.points, self.values + other.values, self.refused)
        refused = Counter(self.refused) + Counter(other.refused)
        return Tally(self.rows + other.rows, self.points + other.points, self.values + other.values, dict(refused))

    @property
    def refused_points(self) -> int:
        """Return how many points were refused, whatever the reason."""
        return sum(n for reason, n in self.refused.items() if reason not in OF_VALUES)

    @property
    def empty(self) -> int:
        """Return how many rows had nothing that InfluxDB can hold."""
        return self.rows - self.points - self.refused_points

    def without(self, reason: str, points: int, values: int) -> Tally:
        """Return the tally after so many of its points, with their values, turned out to be refused."""
        refused = dict(Counter(self.refused) + Counter({reason: points}))
        return Tally(self.rows, self.points - points, self.values - values, refused)


Minutes = dict[int, Tally]  # by the minute's start in µs


def total(tallies: Iterable[Tally]) -> Tally:
    """Add tallies up."""
    return sum(tallies, Tally())


def merge(into: Minutes, more: Mapping[int, Tally]) -> None:
    """Add the minutes of `more` to those of `into`."""
    for minute_us, tally in more.items():
        into[minute_us] = into[minute_us] + tally if minute_us in into else tally

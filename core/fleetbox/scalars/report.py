"""Say what became of points given to InfluxDB: how many it took, which it turned down and why."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from fleetbox.ledger import minute_of
from fleetbox.tallies import Minutes, Tally

_EQUALS = re.compile(r"(?<!\\)=")  # one behind every tag and field name; those inside of names are escaped
TAGS = 2  # robot and site


@dataclass(frozen=True, slots=True)
class Refusal:
    """Hold one point that InfluxDB turned down for good, as line protocol, and its words about it."""

    reason: str
    line: str
    message: str

    @property
    def time_us(self) -> int | None:
        """Return the point's time; None for a line without one."""
        text = self.line.rpartition(" ")[2]
        return int(text) if text.lstrip("-").isdigit() else None

    @property
    def values(self) -> int:
        """Return how many values the point has, if it was made by `points.lines`."""
        return len(_EQUALS.findall(self.line)) - TAGS


@dataclass(slots=True)
class ScalarReport:
    """Count points written, finite values sent (those of refused points too), and what was refused by reason.

    `refused["nan"]` counts values (NaN and infinities), and so does `refused["name"]` (a field that InfluxDB keeps for
    itself); the other reasons (`retention`, `type`, `malformed`, `too_large`, `other`) count points.
    `refusals` holds those points. `minutes` tells the same per minute of the points' times, if columns were written.
    """

    written: int = 0
    values: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    refusals: list[Refusal] = field(default_factory=list, compare=False)
    minutes: Minutes = field(default_factory=dict, compare=False)

    def __add__(self, other: ScalarReport) -> ScalarReport:
        """Add two reports about lines."""
        return ScalarReport(
            self.written + other.written,
            self.values + other.values,
            self.refused + other.refused,
            self.refusals + other.refusals,
        )


def turned_down(reason: str, lines: Iterable[str], message: str) -> ScalarReport:
    """Report lines that InfluxDB refused for one reason."""
    refusals = [Refusal(reason, line, message) for line in lines]
    return ScalarReport(refused=Counter({reason: len(refusals)}), refusals=refusals)


def settled(sent: Mapping[int, Tally], refusals: Iterable[Refusal]) -> Minutes:
    """Return the minutes of what was sent, less what was refused of it."""
    minutes = dict(sent)
    for refusal in refusals:
        if refusal.time_us is not None and (minute_us := minute_of(refusal.time_us)) in minutes:
            minutes[minute_us] = minutes[minute_us].without(refusal.reason, 1, refusal.values)
    return minutes

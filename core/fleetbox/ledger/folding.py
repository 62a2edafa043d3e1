"""Fold pages into what is known of a robot: the last word of each place, and the most it ever held."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from fleetbox.ledger.counts import Count
from fleetbox.ledger.lines import Drop, Key, Line, Reach, Standing, Tombstone
from fleetbox.ledger.pages import Page


@dataclass(frozen=True, slots=True)
class Folded:
    """Hold the last line about a stream's minute at a place, and the most that any line told of each count.

    What was there once was there: a ring that turned over it later takes nothing back.
    """

    line: Line
    held: Count
    keep: Count
    cloud: Count
    rows: int

    def most(self, reach: Reach) -> Count:
        """Return the largest count ever told of the records that a hop of this reach selects."""
        return {"all": self.held, "keep": self.keep, "cloud": self.cloud}[reach]


@dataclass(slots=True)
class Ledger:
    """Hold everything the pages of one robot tell.

    `lines` by place and then by (class, stream, minute); `standings` by site and then by the same, the last one each;
    `until_us` is per place the time in µs of its newest page.
    """

    robot: str
    lines: dict[str, dict[Key, Folded]] = field(default_factory=dict)
    drops: list[Drop] = field(default_factory=list)
    standings: dict[str, dict[Key, Standing]] = field(default_factory=dict)
    tombstones: list[Tombstone] = field(default_factory=list)
    until_us: dict[str, int] = field(default_factory=dict)

    def of(self, place: str) -> dict[Key, Folded]:
        """Return what a place told, empty for one that never wrote."""
        return self.lines.get(place, {})

    def add(self, page: Page) -> None:
        """Fold one more page in; pages of one place must come in the order they were written."""
        known = self.lines.setdefault(page.place, {})
        for line in page.lines:
            known[line.key] = _joined(known.get(line.key), line)
        for standing in page.standings:
            key = (standing.cls, standing.stream, standing.minute_us)
            self.standings.setdefault(standing.site, {})[key] = standing
        self.drops += [drop for drop in page.drops if drop not in self.drops]
        self.tombstones += [stone for stone in page.tombstones if stone not in self.tombstones]
        self.until_us[page.place] = max(page.written_us, self.until_us.get(page.place, 0))


def fold(robot: str, pages: Iterable[Page]) -> Ledger:
    """Fold one robot's pages, in any order, into its ledger."""
    ledger = Ledger(robot)
    for page in sorted(pages, key=lambda page: page.written_us):
        ledger.add(page)
    return ledger


def _joined(old: Folded | None, line: Line) -> Folded:
    if old is None:
        return Folded(line, line.held, line.keep, line.cloud, line.rows)
    return Folded(
        replace(line, missing=line.missing if not line.partial else old.line.missing),
        _more(old.held, line.held),
        _more(old.keep, line.keep),
        _more(old.cloud, line.cloud),
        max(old.rows, line.rows),
    )


def _more(old: Count, new: Count) -> Count:
    return new if new.records >= old.records else old

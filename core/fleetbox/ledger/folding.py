"""Fold pages into what is known of a robot: the last word of each place, and the most it ever held."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from fleetbox.ledger.counts import Count
from fleetbox.ledger.lines import Drop, Key, Line, Reach, Removal, Span, Standing, Tombstone
from fleetbox.ledger.pages import Page


@dataclass(frozen=True, slots=True)
class Folded:
    """Hold the last line about a stream's minute at a place, and the most that any line told of each count.

    What was there once was there: a ring that turned over it later takes nothing back. `spans` are those of the line
    with the most rows; `told_us` is when a line last raised or changed a count, in µs.
    """

    line: Line
    held: Count
    keep: Count
    cloud: Count
    rows: int
    spans: tuple[Span, ...] = ()
    told_us: int = 0

    @property
    def proven(self) -> Count:
        """Return the count that this place vouches for: its last word, or all it ever held if its ring has turned.

        A record that is missing from a full listing, although no ring took it, was removed and proves nothing.
        """
        return self.held if self.line.partial else self.line.held

    def most(self, reach: Reach) -> Count:
        """Return the largest count ever told of the records that a hop of this reach selects."""
        return {"all": self.held, "keep": self.keep, "cloud": self.cloud}[reach]


@dataclass(frozen=True, slots=True)
class Removed:
    """Add up what a robot took out of one stream's minute; `undelivered` of them were selected and not proven ahead.

    `last_us` is when it did so last, in µs.
    """

    records: int = 0
    undelivered: int = 0
    last_us: int = 0


@dataclass(slots=True)
class Ledger:
    """Hold everything the pages of one robot tell.

    `lines` by place and then by (class, stream, minute); `standings` by site and then by the same, the last one each,
    `stood_us` when it was written; `removed` adds up the removals of each stream's minute; `until_us` is per place the
    time in µs of its newest page.
    """

    robot: str
    lines: dict[str, dict[Key, Folded]] = field(default_factory=dict)
    drops: list[Drop] = field(default_factory=list)
    standings: dict[str, dict[Key, Standing]] = field(default_factory=dict)
    stood_us: dict[str, dict[Key, int]] = field(default_factory=dict)
    tombstones: list[Tombstone] = field(default_factory=list)
    removals: list[Removal] = field(default_factory=list)
    removed: dict[Key, Removed] = field(default_factory=dict)
    until_us: dict[str, int] = field(default_factory=dict)
    _noted: set[Drop | Tombstone | Removal] = field(default_factory=set, repr=False)

    def of(self, place: str) -> dict[Key, Folded]:
        """Return what a place told, empty for one that never wrote."""
        return self.lines.get(place, {})

    def add(self, page: Page) -> None:
        """Fold one more page in; pages of one place must come in the order they were written."""
        self._take(page.removals)
        known = self.lines.setdefault(page.place, {})
        thinned = self.removed if page.place == self.robot else {}
        for line in page.lines:
            key = line.key
            known[key] = _joined(known.get(key), line, page.written_us, key in thinned)
        for standing in page.standings:
            key = (standing.cls, standing.stream, standing.minute_us)
            self.standings.setdefault(standing.site, {})[key] = standing
            self.stood_us.setdefault(standing.site, {})[key] = page.written_us
        self.drops += [drop for drop in page.drops if self._is_new(drop)]
        self.tombstones += [stone for stone in page.tombstones if self._is_new(stone)]
        self.until_us[page.place] = max(page.written_us, self.until_us.get(page.place, 0))

    def _take(self, removals: Iterable[Removal]) -> None:
        for gone in removals:
            if not self._is_new(gone):
                continue
            self.removals.append(gone)
            key = (gone.cls, gone.stream, gone.minute_us)
            sum_ = self.removed.get(key, Removed())
            self.removed[key] = Removed(
                sum_.records + gone.records, sum_.undelivered + gone.undelivered, max(sum_.last_us, gone.at_us)
            )

    def _is_new(self, item: Drop | Tombstone | Removal) -> bool:
        known = item in self._noted
        self._noted.add(item)
        return not known


def fold(robot: str, pages: Iterable[Page]) -> Ledger:
    """Fold one robot's pages, in any order, into its ledger."""
    ledger = Ledger(robot)
    for page in sorted(pages, key=lambda page: page.written_us):
        ledger.add(page)
    return ledger


def _joined(old: Folded | None, line: Line, told_us: int, thinned: bool) -> Folded:
    """Join a line to what was told before; `thinned`: records were removed from the minute, as a ring does."""
    if old is None:
        return Folded(line, line.held, line.keep, line.cloud, line.rows, line.spans, told_us)
    last = old.line
    partial = (last.partial or thinned, line.partial or thinned)
    held, keep, cloud = (
        ever(old.held, last.held, line.held, partial),
        ever(old.keep, last.keep, line.keep, partial),
        ever(old.cloud, last.cloud, line.cloud, partial),
    )
    same = (held, keep, cloud) == (old.held, old.keep, old.cloud) and (line.partial or line.held == last.held)
    fuller = line.rows >= old.rows
    return Folded(
        replace(line, missing=last.missing) if line.partial else line,
        held,
        keep,
        cloud,
        max(old.rows, line.rows),
        _spans(old.spans, line.spans, fuller, thinned),
        old.told_us if same else told_us,
    )


def _spans(old: tuple[Span, ...], new: tuple[Span, ...], fuller: bool, thinned: bool) -> tuple[Span, ...]:
    """Return the spans of the line with the most rows; of a thinned minute also those that the other one alone has."""
    chosen, other = (new, old) if fuller else (old, new)
    if not thinned:
        return chosen
    return chosen + tuple(
        span
        for span in other
        if not any(one.session == span.session and one.first <= span.first and span.next <= one.next for one in chosen)
    )


def ever(most: Count, last: Count, new: Count, partial: tuple[bool, bool]) -> Count:
    """Return everything ever told of, after one more count; `partial` of the last and the new line.

    A ring that has turned into the minute takes records away for good: what comes to the rest adds to what was told.
    Elsewhere a count that shrinks and grows again is one record taken away and written anew.
    """
    if all(partial) and new.records > last.records:
        return new + (most - last)
    if new.records == most.records:
        return most if partial[1] else new
    return new if new.records > most.records else most

"""Choose which lines to write: those that say something new about their minute."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice

from fleetbox.ledger import Line
from fleetbox_replication.census.tally import Counted, empty_line

LINES_A_PAGE = 5_000  # about 200 kB: far below the 8 MB of a record, and a slow link is not blocked by one
REMEMBERED = 10  # minutes of a stream whose lines stay in memory: what comes late mostly comes within these

Stream = tuple[str, str]


@dataclass(slots=True)
class Recent:
    """Remember the lines told last of each stream, a few minutes each."""

    lines: dict[Stream, dict[int, Counted]] = field(default_factory=dict)

    def get(self, stream: Stream, minute_us: int) -> Counted | None:
        """Return what was told of a minute, or None if it was not or is forgotten."""
        return self.lines.get(stream, {}).get(minute_us)

    def keep(self, counted: Counted) -> None:
        """Remember what was told just now, and forget what was told longest ago."""
        line = counted.line
        of = self.lines.setdefault((line.cls, line.stream), {})
        of.pop(line.minute_us, None)
        of[line.minute_us] = counted
        while len(of) > REMEMBERED:
            del of[next(iter(of))]

    def gone(self, stream: Stream) -> None:
        """Forget a stream that is not here any more."""
        self.lines.pop(stream, None)


def revised(told: Line | None, found: Line) -> Line | None:
    """Return the line to write about a minute listed again, or None when it says what was told."""
    if told is None:
        return found if found.held.records else None
    gained = max(0, found.rows - told.rows)
    found = replace(found, missing=max(0, told.missing - gained))
    if (found.partial and not found.held.records) or found == replace(told, partial=found.partial):
        return None  # what a ring has taken was there once; being about to take it is no news either
    return found


def vanished(told: Line) -> Line | None:
    """Return the line to write about a minute that has nothing any more though no ring has turned over it."""
    return empty_line(told.cls, told.stream, told.minute_us, told.missing) if told.held.records else None


def paged(lines: Sequence[Line]) -> Iterator[tuple[Line, ...]]:
    """Yield the lines in the portions of a page, in order of minute."""
    left: Iterable[Line] = iter(sorted(lines, key=lambda line: (line.minute_us, line.cls, line.stream)))
    while some := tuple(islice(left, LINES_A_PAGE)):
        yield some

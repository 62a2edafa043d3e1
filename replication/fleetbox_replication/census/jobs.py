"""Decide what one look lists of a stream, and what follows from what it found."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from fleetbox.ledger import MINUTE_US, Key, Line
from fleetbox_replication.census.listing import Listed, Range, Stream, ranges
from fleetbox_replication.census.rhythm import Rhythm
from fleetbox_replication.census.tally import Counted
from fleetbox_replication.census.telling import revised, vanished
from fleetbox_replication.census.watching import Told, Watched, due_again, over_us


@dataclass(frozen=True, slots=True)
class Job:
    """Say what one look lists of one stream: the minutes of [watched.told_us, until_us), and told ones `again`.

    Those before `over_us` are over and told for good; what comes later is told once more.
    """

    key: Stream
    watched: Watched
    over_us: int
    until_us: int
    again: frozenset[int]

    def minutes(self) -> Iterator[int]:
        """Yield every minute to be listed."""
        yield from sorted(self.again)
        yield from range(self.watched.told_us, self.until_us, MINUTE_US)

    def ranges(self) -> Iterator[Range]:
        """Yield them as ranges, none of which overlap."""
        yield from ranges(*self.key, self.again)
        if self.until_us > self.watched.told_us:
            yield Range(*self.key, self.watched.told_us, self.until_us)


@dataclass(frozen=True, slots=True)
class Found:
    """Hold what a job found: every minute that has records, the lines that say something new, and the account."""

    counted: tuple[Counted, ...]
    lines: tuple[Line, ...]
    told: Told


def job_of(key: Stream, watched: Watched, hinted: Iterable[int], now_us: int, rhythm: Rhythm) -> Job:
    """Return what to list of a stream: what is over, and the told minutes that are said to have changed since."""
    again = due_again(watched, frozenset(hinted), now_us, rhythm)
    end_us = max(watched.told_us, over_us(watched, now_us, rhythm))
    return Job(key, watched, end_us, max(end_us, watched.open_us) if rhythm.now else end_us, again)


def found_by(job: Job, listed: Listed, told: Mapping[Key, Counted], gone_us: int = 0) -> Found:
    """Compare what a job listed with what was told before; a ring has taken what was older than `gone_us`, in µs."""
    cls, stream = job.key
    counted: list[Counted] = []
    lines: list[Line] = []
    gained: int | None = 0
    for minute_us in job.minutes():
        item, before = listed.minutes.get((cls, stream, minute_us)), told.get((cls, stream, minute_us))
        if before is None and minute_us in job.again:
            gained = None  # told longer ago than is remembered
        elif gained is not None:
            gained += _records(item) - _records(before)
        found, line = _compared(item, before, minute_us < gone_us)
        if found is not None:
            counted.append(found)
        if line is not None:
            lines.append(line)
    ahead = listed.ahead.get(job.key, 0)
    return Found(tuple(counted), tuple(lines), Told(job.over_us, job.until_us, gained, ahead, job.again))


def _compared(item: Counted | None, before: Counted | None, partial: bool) -> tuple[Counted | None, Line | None]:
    """Return what to remember of a minute and what to write about it."""
    told = before.line if before is not None else None
    if item is None:
        line = vanished(told) if told is not None and not partial else None
        return (Counted(line, line.minute_us) if line is not None else None), line
    found = replace(item.line, partial=partial)
    line = revised(told, found)
    return Counted(line or told or found, item.covered_us), line


def _records(item: Counted | None) -> int:
    return item.line.held.records if item is not None else 0

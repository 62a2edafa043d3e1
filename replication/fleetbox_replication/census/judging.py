"""Tell what each full minute misses of what the policy expects, as revisions of its lines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from fleetbox.ledger import MINUTE_US, minute_of
from fleetbox.measurements import HEALTH_STREAMS
from fleetbox.naming import RING_CLASSES
from fleetbox.settings import Expect
from fleetbox_replication.census.listing import Stream
from fleetbox_replication.census.tally import Counted, empty_line
from fleetbox_replication.census.telling import Recent
from fleetbox_replication.census.watching import Watched
from fleetbox_replication.expectation import (
    Delivered,
    Stretch,
    absent_rows,
    missing_rows,
    newest_of,
    went_on,
)


@dataclass(frozen=True, slots=True)
class Judged:
    """Hold how far minutes are judged: the stretch that the robot has recorded, and the next minute of it."""

    stretch: Stretch
    next_us: int


def go_on(old: Judged | None, streams: Mapping[Stream, Watched], now_us: int) -> Judged:
    """Return where judging stands after one more look; a new stretch begins with its first full minute.

    What the agent measures of itself is no recording: it goes on while the robot is parked.
    """
    recorded = {key: item for key, item in streams.items() if key[0] in RING_CLASSES and key[1] not in HEALTH_STREAMS}
    latest_us = {key: item.last.latest_us for key, item in recorded.items()}
    stretch = went_on(old.stretch if old else None, newest_of(latest_us, now_us))
    if old is not None and old.stretch.since_us == stretch.since_us:
        return Judged(stretch, old.next_us)
    return Judged(stretch, minute_of(stretch.since_us + MINUTE_US - 1))


def judge(
    judged: Judged, expected: Mapping[Stream, Expect], streams: Mapping[Stream, Watched], recent: Recent, late_us: int
) -> tuple[Judged, list[Counted]]:
    """Return the minutes that miss something, each with its line as it is to be written, and where judging stands.

    A minute waits for streams that are not told yet, until `late_us`.
    """
    found: list[Counted] = []
    minute_us = judged.next_us
    while expected and judged.stretch.holds(minute_us):
        if minute_us >= late_us and not all(_is_told(streams.get(key), minute_us) for key in expected):
            break
        found += _missing(expected, streams, recent, minute_us)
        minute_us += MINUTE_US
    return replace(judged, next_us=minute_us), found


def _is_told(watched: Watched | None, minute_us: int) -> bool:
    return watched is None or watched.told_us > minute_us or watched.last.latest_us < minute_us


def _missing(
    expected: Mapping[Stream, Expect], streams: Mapping[Stream, Watched], recent: Recent, minute_us: int
) -> Iterator[Counted]:
    for key, expect in expected.items():
        counted, watched = recent.get(key, minute_us), streams.get(key)
        if watched is None:
            missing = absent_rows(expect)
        elif _is_told(watched, minute_us):
            missing = missing_rows(expect, minute_us, _delivered(counted, recent.get(key, minute_us - MINUTE_US)))
        else:
            continue
        if missing:
            line = counted.line if counted else empty_line(*key, minute_us)
            yield Counted(replace(line, missing=missing), counted.covered_us if counted else 0)


def _delivered(counted: Counted | None, before: Counted | None) -> Delivered:
    before_us = before.covered_us if before else 0
    if counted is None:
        return Delivered(before_us=before_us)
    return Delivered(counted.line.rows, counted.line.first_us, counted.covered_us, before_us)

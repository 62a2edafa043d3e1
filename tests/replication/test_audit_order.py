"""Numbers that are missing: dropped, taken by the ring before anybody looked, or unexplained."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetbox.ledger import MINUTE_US, Drop, Line, Page, Span, fold
from fleetbox.naming import Class
from fleetbox_replication.audit.books import Range, close
from fleetbox_replication.audit.hops import Hop
from fleetbox_replication.audit.order import SETTLED_US, Hole, Stream, covered
from fleetbox_replication.audit.rows import Row
from fleetbox_replication.audit.terms import EVICTED
from tests.replication.test_audit import NOW_US, START_US, line

OLD, NEW = "20200101t000000-aaaa", "20260921t134500-bbbb"  # began before the range, and within it
HOP = (Hop("r1", "edge", True, own=("edge",)),)


def told(minute: int, first: int, after: int, rows: int | None = None, **changes: object) -> Line:
    """Return a line of blobs numbered [first, after) of a session, all of them selected."""
    session = str(changes.pop("session", OLD))
    count = after - first if rows is None else rows
    return replace(line("cam", minute, count, count, count), spans=(Span(session, first, after, count),), **changes)  # type: ignore[arg-type]


def row(
    *lines: Line,
    there: tuple[Line, ...] = (),
    drops: tuple[Drop, ...] = (),
    always: bool = False,
    told_us: int = NOW_US - SETTLED_US,
    ahead: tuple[Stream, ...] = (),
) -> Row:
    """Return the row of the stream on the hop to the edge, the edge heard of a moment ago."""
    pages = [Page("r1", "r1", told_us, lines, drops), Page("edge", "r1", NOW_US - 1, there)]
    meant = Range(START_US, NOW_US, NOW_US, always=lambda stream: always, ahead=frozenset(ahead))
    rows = close(fold("r1", pages), HOP, meant)
    return next(row for row in rows if (row.cls, row.stream) == ("sensor", "cam"))


def test_numbers_in_order_have_no_gap() -> None:
    """Minutes that follow one another, of one session and the next."""
    assert row(told(9, 50, 60), told(8, 60, 70), told(7, 0, 5, session=NEW)).gaps == 0


@pytest.mark.parametrize(
    ("lines", "gaps"),
    [
        ((told(9, 50, 60), told(8, 63, 70)), 3),  # between two minutes
        ((told(9, 50, 60, 8),), 2),  # within one
        ((told(7, 4, 9, session=NEW),), 4),  # before the first of a session that began within the range
        ((told(9, 50, 60), told(1, 63, 70)), 0),  # so young that it may be on its way to the store
    ],
)
def test_a_number_that_nothing_explains_is_a_gap(lines: tuple[Line, ...], gaps: int) -> None:
    """Wherever it is missing, once its minute has settled."""
    assert row(*lines).gaps == gaps


def test_a_drop_explains_its_own_numbers_and_no_others() -> None:
    """Of another stream, session or number it explains nothing."""
    lines = told(9, 50, 60), told(8, 63, 70)
    for drop, gaps in (
        (Drop("sensor", "cam", OLD, 60, 3, "spool full", NOW_US), 0),
        (Drop("sensor", "cam", OLD, 61, 9, "spool full", NOW_US), 1),
        (Drop("sensor", "cam", NEW, 60, 3, "spool full", NOW_US), 3),
        (Drop("sensor", "gps", OLD, 60, 3, "spool full", NOW_US), 3),
    ):
        assert row(*lines, drops=(drop,)).gaps == gaps


def test_what_the_ring_took_before_anybody_looked_is_no_gap() -> None:
    """Normal turnover of a stream that does not ship: neither a gap nor lost."""
    found = row(told(9, 50, 60), told(8, 90, 99, partial=True))
    assert (found.gaps, found.lost, found.wrong) == (0, {}, 0)


def test_of_a_stream_that_ships_whole_it_is_lost_but_for_what_arrived() -> None:
    """The numbers tell: some are at the edge, some came through `kept`, some wait there at the robot, some are gone."""
    kept: Class = "kept"
    there = told(9, 0, 20, session=NEW), told(8, 90, 99, session=NEW), told(8, 30, 40, session=NEW, cls=kept)
    lines = told(8, 90, 99, session=NEW, partial=True), told(8, 30, 45, session=NEW, cls=kept)
    found = row(*lines, there=there, always=True)
    assert found.balanced
    assert (found.waiting, dict(found.lost), found.gaps) == (5, {EVICTED: 90 - 20 - 15}, 0)
    assert (found.recorded, found.selected, found.arrived) == (99, 99, 20 + 9 + 10)


def test_nothing_is_lost_before_the_site_was_heard_of() -> None:
    """While nobody can say what arrived, what the ring took is not called lost."""
    pages = [Page("r1", "r1", NOW_US, (told(8, 90, 99, session=NEW, partial=True),))]
    meant = Range(START_US, NOW_US, NOW_US, always=lambda stream: True)
    assert [row.lost for row in close(fold("r1", pages), HOP, meant)] == [{}]


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(1, 20)), max_size=6), st.integers(0, 50), st.integers(1, 40))
def test_numbers_held_twice_count_once(runs: list[tuple[int, int]], first: int, length: int) -> None:
    """The cover of a hole is the number of its members that any run holds."""
    hole = Hole(("sensor", "cam", START_US), OLD, first, first + length, length, True)
    spans = [Span(OLD, start, start + count, count) for start, count in runs]
    members = {number for start, count in runs for number in range(start, start + count)}
    assert covered(hole, spans) == len(members & set(range(first, first + length)))


def test_minutes_are_those_of_the_range() -> None:
    """A hole before the range is nobody's business."""
    assert row(told(9, 50, 60), replace(told(8, 20, 30), minute_us=START_US - 5 * MINUTE_US)).gaps == 0


def before(minutes: int, first: int, after: int, rows: int | None = None, session: str = NEW) -> Line:
    """Return a line of a minute so long before the range."""
    return replace(told(8, first, after, rows, session=session), minute_us=START_US - minutes * MINUTE_US)


@pytest.mark.parametrize(
    "lines",
    [
        (told(9, 0, 60, session=NEW), before(1440, 60, 63), told(8, 63, 70, session=NEW)),  # a day back
        (told(9, 0, 60, session=NEW), told(-60, 60, 63, session=NEW), told(8, 63, 70, session=NEW)),  # an hour ahead
        (told(9, 3, 60, session=NEW), before(START_US // MINUTE_US, 0, 3)),  # 1970
        (told(9, 0, 60, 50, session=NEW), before(180, 20, 25), before(1440, 25, 30)),  # out of the midst of a minute
        (told(9, 0, 70, 8, session=NEW), before(180, 4, 66, 62)),  # two minutes that reach into each other
        (told(9, 0, 100, 10, session=NEW), told(8, 5, 105, 95, session=NEW)),  # and within the range
        (told(9, 50, 60), before(1440, 60, 63, session=OLD), told(8, 63, 70)),  # of a session that began before
        (told(8, 50, 60), told(9, 5000, 5010)),  # the clock was ahead before the range: those pages are not read
    ],
)
def test_a_clock_that_jumps_makes_no_gap(lines: tuple[Line, ...]) -> None:
    """Numbers whose records lie in other minutes, within the range or not, are there."""
    assert row(*lines).gaps == 0


def test_beside_a_clock_that_jumps_a_gap_is_a_gap() -> None:
    """What no minute holds is missing all the same, once the minutes told of have settled."""
    lines = told(9, 0, 60, session=NEW), before(1440, 60, 62), told(8, 63, 70, session=NEW)
    assert row(*lines).gaps == 1
    assert row(*lines, told_us=NOW_US - 60_000_000).gaps == 0
    assert row(*lines, ahead=(("sensor", "cam"),)).gaps == 0
    assert row(*lines, ahead=(("sensor", "gps"),)).gaps == 1
    assert row(told(9, 0, 60, 50, session=NEW), before(180, 20, 25)).gaps == 5

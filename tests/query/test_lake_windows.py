"""What a sync takes up next: loads that fit, few stretches, the last word about a minute."""

from __future__ import annotations

from fleetbox.ledger import MINUTE_US, Count, Line, Page
from fleetbox_query.lake.windows import Stretch, Window, by_bytes, by_heads, joined


def line(minute: int, stream: str = "imu", records: int = 10, size: int = 100) -> Line:
    """A line of the class sensor."""
    held, at = Count(records, size, minute), minute * MINUTE_US
    return Line("sensor", stream, at, held, held, held, records, at, at + 1)


def test_minutes_in_a_row_are_one_stretch() -> None:
    """Minutes that follow one another with the same streams join; a gap or another stream parts them."""
    told = [line(1), line(2), line(4), line(2, "pose")]
    assert [(one.streams, one.start_us // MINUTE_US, one.stop_us // MINUTE_US) for one in joined(told)] == [
        (("imu",), 1, 2),
        (("imu", "pose"), 2, 3),
        (("imu",), 4, 5),
    ]


def test_loads_stay_below_their_bounds() -> None:
    """Loads end before they would be too large; a minute that is too large alone is a load of its own."""
    told = [line(minute, size=40 if minute != 3 else 500) for minute in range(5)]
    loads = [[(one.start_us // MINUTE_US, one.stop_us // MINUTE_US) for one in load] for load in by_bytes(told, 100)]
    assert loads == [[(0, 2)], [(2, 3)], [(3, 4)], [(4, 5)]]
    assert [len(load) for load in by_heads(told, 20)] == [1, 1, 1]
    assert next(by_heads(told, 50)) == [Stretch("sensor", ("imu",), 0, 5 * MINUTE_US)]


def test_the_last_word_about_a_minute_stands() -> None:
    """A minute told twice is taken once, and not again by a table that has it."""
    window = Window(0, 0)
    window.add(Page("edge-1", "r1", 5, (line(1), line(2))), 5)
    window.add(Page("edge-1", "r1", 9, (line(1, records=11),)), 9)
    assert [one.held.records for one in window.minutes("sensor", "imu", 0)] == [11, 10]
    assert [one.held.records for one in window.minutes("sensor", "imu", 5)] == [11]
    assert window.minutes("sensor", "imu", 9) == []
    assert window.until_us == 9

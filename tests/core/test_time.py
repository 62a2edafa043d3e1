"""Time as people write it."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from fleetbox.errors import InputError
from fleetbox.time import MAX_TIME_US, iso_time, parse_duration, parse_time, show_duration, show_time

NOW = 1_763_700_000_000_000  # 2025-11-21T04:40:00Z
BERLIN = timezone(timedelta(hours=1))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("now", NOW),
        ("now-15m", NOW - 900_000_000),
        ("-15m", NOW - 900_000_000),
        ("now+10s", NOW + 10_000_000),
        ("-1h30m", NOW - 5_400_000_000),
        ("2025-11-21T04:40:00Z", NOW),
        ("2025-11-21T05:40:00+01:00", NOW),
        ("2025-11-21T05:40:00.000001", NOW + 1),
        ("1763700000", NOW),
        ("1763700000.5", NOW + 500_000),
        ("1763700000000", NOW),
        ("1763700000000000", NOW),
        ("1763700000000000123", NOW),
        ("13:30", 1_763_728_200_000_000),
        ("13:30:05.250", 1_763_728_205_250_000),
        (datetime(2025, 11, 21, 4, 40, tzinfo=UTC), NOW),
        (1763700000, NOW),
        (1763700000.25, NOW + 250_000),
    ],
)
def test_points_in_time(text: object, expected: int) -> None:
    """Every form of the grammar gives the same clock."""
    assert parse_time(text, NOW, BERLIN) == expected  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["", "yesterday", "25:00", "13:61", "-15", "2025-13-01", "now-", "15m"])
def test_what_is_no_time_names_the_grammar(text: str) -> None:
    """A wrong time is refused with the forms that work."""
    with pytest.raises(InputError):
        parse_time(text, NOW, BERLIN)


@pytest.mark.parametrize(
    "value",
    ["-99999d", "1969-12-31T23:59:59Z", "0001-01-01", "99999999999999999999999", "9" * 50, "9" * 5000,
     "now+9999999d", "9" * 400 + ".5", -1, float("nan"), float("inf"), float("-inf"),
     datetime(1, 1, 1), datetime(1969, 1, 1, tzinfo=UTC)],
)  # fmt: skip
def test_a_time_no_store_can_hold_is_refused(value: str | float | datetime) -> None:
    """Before 1970, after the year 9999 or no number at all: an InputError, in any zone, and never another error."""
    for zone in (BERLIN, None):
        with pytest.raises(InputError, match="time"):
            parse_time(value, NOW, zone)


def test_the_first_and_the_last_time_pass() -> None:
    """The whole range from 1970 to the end of 9999 can be written, and shown again."""
    assert parse_time("1970-01-01T00:00:00Z", NOW) == 0
    assert parse_time("9999-12-31T23:59:59.999999Z", NOW) == MAX_TIME_US - 1
    assert iso_time(MAX_TIME_US - 1) == "9999-12-31T23:59:59.999999Z"


@pytest.mark.parametrize("time_us", [MAX_TIME_US, 99_999_999_999_999_999_999, -(10**30), 10**400])
def test_a_foreign_time_is_shown_as_its_number(time_us: int) -> None:
    """What another writer stored outside any calendar is shown as it is, not as a traceback."""
    assert show_time(time_us, BERLIN) == iso_time(time_us) == f"{time_us} µs"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "9" * 400 + "d"])
def test_an_endless_duration_is_refused(value: str | float) -> None:
    """No duration that is not a number of µs gets through."""
    with pytest.raises(InputError, match="duration"):
        parse_duration(value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("10s", 10_000_000), ("500ms", 500_000), ("1h30m", 5_400_000_000), ("2.5s", 2_500_000), ("30d", 2_592_000_000_000),
     (1.5, 1_500_000), (timedelta(seconds=2), 2_000_000)],
)  # fmt: skip
def test_durations(text: object, expected: int) -> None:
    """Durations read as people write them."""
    assert parse_duration(text) == expected  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["", "10", "s", "10 parsecs", "-5s"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    """A wrong duration is refused."""
    with pytest.raises(InputError, match="duration"):
        parse_duration(text)


def test_times_are_shown_local_and_utc() -> None:
    """People see their own clock first and UTC beside it."""
    assert show_time(NOW + 400_000, BERLIN) == "05:40:00.400 (04:40:00Z, 2025-11-21)"
    assert iso_time(NOW + 1) == "2025-11-21T04:40:00.000001Z"


@pytest.mark.parametrize(
    ("us", "text"),
    [(12_000, "12 ms"), (3_400_000, "3.4 s"), (93_600_000_000, "26 h"), (7, "7 µs"), (300_000_000, "5.0 min")],
)
def test_durations_are_shown_in_the_unit_that_fits(us: int, text: str) -> None:
    """A duration is shown in the largest unit that keeps it readable."""
    assert show_duration(us) == text

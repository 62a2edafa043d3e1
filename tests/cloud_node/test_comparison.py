"""Deciding what is short: no minute is left out, no value counted twice."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fleetbox.ledger import MINUTE_US, minute_of
from fleetbox.points import Points
from fleetbox.tallies import Tally
from fleetbox_cloud.comparison import Budget, distinct, short_of, stretches, wanted_of

MINUTES = st.dictionaries(st.integers(0, 500).map(lambda at: at * MINUTE_US), st.integers(1, 100), max_size=40)


@given(MINUTES, st.integers(1, 300), st.integers(1, 50))
def test_stretches_hold_every_minute_once_within_the_budget(wanted: dict[int, int], values: int, minutes: int) -> None:
    """Cut in any way, the stretches make up the whole, in order; only a single minute may exceed the budget."""
    cut = list(stretches(wanted, Budget(values, minutes * MINUTE_US)))
    assert [item for one in cut for item in one.wanted.items()] == sorted(wanted.items())
    for one in cut:
        assert one.stop_us - one.start_us <= minutes * MINUTE_US
        assert sum(one.wanted.values()) <= values or len(one.wanted) == 1


@given(MINUTES, MINUTES)
def test_short_is_what_is_wanted_and_not_held(wanted: dict[int, int], held: dict[int, int]) -> None:
    """Whatever else is held, what is short and what is held make up at least what was wanted."""
    short = short_of(wanted, held)
    assert all(n > 0 for n in short.values())
    assert all(short.get(at, 0) + held.get(at, 0) >= n for at, n in wanted.items())
    assert all(short[at] + held.get(at, 0) == wanted[at] for at in short)


def test_what_expired_is_not_wanted() -> None:
    """A minute that InfluxDB may have let go, and one without values, are not asked for."""
    given = {0: Tally(1, 1, 1), MINUTE_US: Tally(1, 1, 2), 2 * MINUTE_US: Tally(1, 0, 0, {"type": 1})}
    assert wanted_of(given, MINUTE_US) == {MINUTE_US: 2}
    assert wanted_of(given, None) == {0: 1, MINUTE_US: 2}


ROWS = st.lists(st.tuples(st.integers(0, 3 * MINUTE_US), st.sampled_from(["a", "b", "a\\", "a_"])), max_size=30)


@given(ROWS, ROWS)
def test_a_value_of_two_chunks_counts_once(first: list[tuple[int, str]], second: list[tuple[int, str]]) -> None:
    """Whatever chunks of one row hold, a value is one time of one field as InfluxDB names it."""
    points = [Points("s", "r", "e", [at], {name: [1.0]}) for at, name in first + second]
    points += [Points("s", "r", "e", [at], {name: [float("nan")]}) for at, name in second]
    expected: dict[int, int] = {}
    for at, _ in {(at, name.replace("\\", "_")) for at, name in first + second}:
        expected[minute_of(at)] = expected.get(minute_of(at), 0) + 1
    assert distinct(points) == expected
    assert distinct(points, raw=True) == expected


def test_equal_times_of_one_chunk_are_one_raw_value() -> None:
    """A roll-up counts rows of equal time that one chunk holds, raw points hold one of them."""
    twice = Points("s", "r", "e", [5, 5, 6], {"a": [1.0, 2.0, 3.0]})
    assert distinct([twice, twice]) == {0: 3}
    assert distinct([twice, twice], raw=True) == {0: 2}

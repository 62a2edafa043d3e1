"""What a full disk gives up first, as a decision on plain values."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fleetbox_edge.retention import Rank, Worth, choose, is_expired, rank_of

MINUTE_US = 60_000_000


def worth(stream: str = "cam", minute: int = 0, **more: object) -> Worth:
    """Return a record of 100 bytes."""
    said = {"selected": False, "proven": False, "filmed": False, **more}
    return Worth("media", stream, minute * MINUTE_US, minute * MINUTE_US, 100, **said)  # type: ignore[arg-type]


def test_filmed_goes_before_unselected_before_delivered_before_undelivered() -> None:
    """The rank follows from what a loss would cost, and a picture nobody else has is never cheap."""
    assert rank_of(worth(filmed=True)) is Rank.FILMED
    assert rank_of(worth()) is Rank.UNSELECTED
    assert rank_of(worth(selected=True, proven=True)) is Rank.DELIVERED
    assert rank_of(worth(selected=True)) is Rank.UNDELIVERED
    assert rank_of(worth(selected=True, filmed=True)) is Rank.UNDELIVERED
    assert rank_of(worth(selected=True, proven=True, filmed=True)) is Rank.FILMED


def test_originals_go_before_small_frames_and_the_oldest_first() -> None:
    """Within a rank the small frames outlive what they were made of, however old they are."""
    records = [worth("cam/thumbnail", 0), worth("cam", 2), worth("cam", 1)]
    assert [one.minute_us // MINUTE_US for one in choose(records, 150)] == [1, 2]
    assert [one.stream for one in choose(records, 201)] == ["cam", "cam", "cam/thumbnail"]


def test_nothing_above_the_last_rank_is_chosen_however_much_is_needed() -> None:
    """Near the floor, but not below it, what only the robot has stays."""
    records = [worth(selected=True), worth("b", selected=True, proven=True)]
    assert [one.stream for one in choose(records, 10_000, Rank.DELIVERED)] == ["b"]


def test_a_minute_that_is_begun_is_taken_whole() -> None:
    """Blocks come free when all of them goes, so a choice ends with a minute."""
    records = [Worth("media", "cam", at, at, 100, selected=False) for at in range(5)]
    assert len(choose(records, 1)) == 5


@given(st.lists(st.tuples(st.booleans(), st.booleans(), st.booleans(), st.integers(0, 20)), max_size=40), st.data())
def test_a_choice_frees_what_is_needed_and_spares_what_is_worth_more(
    said: list[tuple[bool, bool, bool, int]], data: st.DataObject
) -> None:
    """Whatever is chosen, nothing left has a lower rank, and enough is freed where there is enough."""
    records = [worth("cam", at, selected=s, proven=p, filmed=f) for s, p, f, at in said]
    need = data.draw(st.integers(1, 5_000))
    chosen = choose(records, need)
    left = list(records)
    for one in chosen:
        left.remove(one)
    assert sum(one.size for one in chosen) >= min(need, 100 * len(records))
    if chosen and left:
        assert max(map(rank_of, chosen)) <= min(map(rank_of, left))


def test_what_was_selected_never_grows_too_old() -> None:
    """Retention is for what nobody asked for."""
    old = 10 * MINUTE_US
    assert is_expired(worth(minute=0), old, MINUTE_US)
    assert not is_expired(worth(minute=0, selected=True), old, MINUTE_US)
    assert not is_expired(worth(minute=9), old, 2 * MINUTE_US)
    assert not is_expired(worth(minute=0), old, None)

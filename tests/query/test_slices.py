"""Slices: reading goes on in stretches of bounded size, without skipping or repeating time."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fleetbox_query.plan import FAR_US
from fleetbox_query.slices import FIRST_BYTES, MOST_BYTES, Progress, next_slice

STRETCH = st.tuples(st.integers(0, 10**7), st.integers(1, 10**7), st.floats(0, 10)).map(
    lambda one: (one[0], one[0] + one[1], one[2])
)


@given(st.lists(STRETCH, min_size=1, max_size=5))
def test_slices_cover_all_time_in_order_within_the_budget(stretches: list[tuple[int, int, float]]) -> None:
    """Slices follow one another, cover every stretch to its end and expect no more bytes than the budget."""
    progress, covered = Progress(0), []
    while window := next_slice(stretches, progress):
        assert window[0] >= progress.at_us
        expected = sum(
            density * max(0, min(stop, window[1]) - max(start, window[0])) for start, stop, density in stretches
        )
        assert expected <= progress.budget_bytes * 1.01 + 20
        covered.append(window)
        progress = progress.after(window[1])
    assert covered[-1][1] == FAR_US
    for start, stop, _ in stretches:
        inside = sum(max(0, min(stop, b) - max(start, a)) for a, b in covered)
        assert inside == stop - start


def test_empty_time_between_recordings_is_skipped() -> None:
    """A gap of years costs no slice: the next one begins where records begin."""
    progress = Progress(10).after(10)
    assert next_slice([(0, 10, 1.0), (10**15, 10**15 + 5, 1.0)], progress) == (10**15, FAR_US)


def test_the_budget_grows_to_its_limit() -> None:
    """The first slice is small, later ones grow to the most that is held at once."""
    progress = Progress(0)
    assert progress.budget_bytes == FIRST_BYTES
    for at in range(10):
        progress = progress.after(at)
    assert progress.budget_bytes == MOST_BYTES

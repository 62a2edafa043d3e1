"""Restarts: a store's whole seconds tell of every other run, and slow answers of none."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fleetbox_replication.restarts import Restarts

LOOKS = st.lists(st.tuples(st.floats(0.05, 20), st.floats(0, 5), st.floats(0, 5)), min_size=1, max_size=30)


def looks(found: Restarts, now_s: float, began_s: float, each: list[tuple[float, float, float]]) -> list[bool]:
    """Look again and again, each time after a rest, at a store that takes its time before and after it answers."""
    told = []
    for rest_s, before_s, after_s in each:
        asked_s = now_s + rest_s
        now_s = asked_s + before_s + after_s
        told.append(found.note(asked_s, now_s, int(asked_s + before_s - began_s)))
    return told


@given(LOOKS, st.floats(0, 1000))
def test_one_run_is_one_run(each: list[tuple[float, float, float]], up_s: float) -> None:
    """However long answers take, and in whatever part of its second the store tells the time."""
    assert not any(looks(Restarts(), 5000.0, 5000.0 - up_s, each))


@given(LOOKS, st.floats(0, 1000), st.floats(2.5, 60))
def test_another_run_is_told_once(each: list[tuple[float, float, float]], up_s: float, later_s: float) -> None:
    """One that began 2 s later is another one at a look in time, and then the one that is known."""
    found = Restarts()
    looks(found, 5000.0, 5000.0 - up_s, [(0.05, 0.0, 0.0)] * 20)
    prompt = [(0.15, 0.01, 0.01)] * 20
    began_s = max(5000.0 - up_s + later_s, 5001.0)
    told = looks(found, began_s + 0.01, began_s, prompt) + looks(found, began_s + 100.0, began_s, each)
    assert told.count(True) == 1
    assert True in told[: len(prompt)]

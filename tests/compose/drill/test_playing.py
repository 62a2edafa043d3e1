"""A scenario's closing compares and asks again: robot and sites go on writing meanwhile."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from fleetbox.errors import Unreachable
from fleetbox_local.drill import books, closing, playing
from fleetbox_local.drill.catalog import BY_NAME
from fleetbox_local.drill.comparing import Difference
from fleetbox_local.drill.outcome import Balance

LATER = Balance(20, 17, 17, arrived_at={"edge": 11, "cloud": 6})  # the ring's state of this minute has come


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Comparisons that find one record more at the edge each time, up to eleven; and no wait between them."""
    counts: list[int] = []

    def compare(scene: object) -> tuple[Difference, ...]:
        counts.append(min(10 + len(counts), 11))
        return Difference("edge", counts[-1]), Difference("cloud", 6)

    monkeypatch.setattr(closing, "differences", compare)
    monkeypatch.setattr(playing, "LOOK_S", 0.0)
    return counts


def scene() -> Any:
    """Return what the closing needs of a scene."""
    return SimpleNamespace(run=lambda found: found, writer=SimpleNamespace(kills=0))


def test_what_came_between_the_comparison_and_the_books_is_no_fault(
    looks: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The books know a record that the comparison did not see yet: the next comparison does."""
    monkeypatch.setattr(books, "ask", lambda scene: LATER)

    found, balance, faults = playing._close(scene(), BY_NAME["two-marks"])

    assert (found[0].selected, balance, faults) == (11, LATER, [])
    assert looks == [10, 11]


def test_a_place_that_does_not_answer_is_asked_again(looks: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that is silent at one look is no end of the closing; one that stays silent is told at its end."""
    silent = [True]

    def ask(scene: object) -> Balance:
        if silent:
            silent.pop()
            raise Unreachable("the edge does not answer")
        return LATER

    monkeypatch.setattr(books, "ask", ask)
    assert playing._close(scene(), BY_NAME["two-marks"])[1:] == (LATER, [])
    silent.extend([True] * 1000)
    clock = iter(range(1000))
    monkeypatch.setattr(playing, "time", SimpleNamespace(monotonic=lambda: 30.0 * next(clock), sleep=lambda _: None))
    with pytest.raises(Unreachable):
        playing._close(scene(), BY_NAME["two-marks"])


def test_a_difference_that_stays_is_a_fault(looks: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Books that never tell what lies there are said to, once the time is over."""
    monkeypatch.setattr(books, "ask", lambda scene: Balance(20, 18, 18, arrived_at={"edge": 12, "cloud": 6}))
    clock = iter(range(1000))
    monkeypatch.setattr(playing, "time", SimpleNamespace(monotonic=lambda: 30.0 * next(clock), sleep=lambda _: None))

    _, _, faults = playing._close(scene(), BY_NAME["two-marks"])

    assert faults == ["audit: 12 arrived at edge, listed there: 11"]
    assert len(looks) > 2

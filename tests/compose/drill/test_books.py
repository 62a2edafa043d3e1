"""The audit's answer is held against the comparison: what it leaves open or tells otherwise is a fault."""

from __future__ import annotations

from dataclasses import replace

from fleetbox_local.drill.books import check
from fleetbox_local.drill.comparing import Difference
from fleetbox_local.drill.outcome import Balance
from fleetbox_local.drill.writer import PICTURES

FOUND = (Difference("edge", 10, promised=(PICTURES,)), Difference("cloud", 6))
CLOSED = Balance(20, 16, 16, arrived_at={"edge": 10, "cloud": 6})


def test_closed_books_have_no_fault() -> None:
    """Nothing outstanding, and as many arrived as were listed."""
    assert check(CLOSED, FOUND, loses=False) == []


def test_every_open_term_is_a_fault() -> None:
    """What waits, is refused, lost, unexplained or out of order is named."""
    for term in ("waiting", "refused", "lost", "unexplained", "gaps"):
        (fault,) = check(replace(CLOSED, **{term: 2}), FOUND, loses=False)
        assert f"2 {term}" in fault


def test_books_that_do_not_add_up_are_a_fault() -> None:
    """Terms that do not balance are said to be so."""
    assert check(replace(CLOSED, balanced=False), FOUND, loses=False) == ["audit: the terms do not add up"]


def test_other_counts_than_listed_are_a_fault() -> None:
    """An audit that has seen fewer arrive than lie there is told so, per place."""
    (fault,) = check(replace(CLOSED, arrived_at={"edge": 10, "cloud": 5}), FOUND, loses=False)

    assert "5 arrived at cloud, listed there: 6" in fault


def test_a_loss_must_be_named_exactly() -> None:
    """Where a loss is expected, the books name as many as are absent: neither fewer nor more."""
    found = (replace(FOUND[0], absent={PICTURES: 3}), FOUND[1])

    assert check(replace(CLOSED, lost=3, lost_of={PICTURES: 3}), found, loses=True) == []
    assert check(replace(CLOSED, lost=2, lost_of={PICTURES: 2}), found, loses=True) != []
    assert check(CLOSED, found, loses=True) != []

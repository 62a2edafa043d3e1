"""Which fields are shown when, where episodes of one selection show different ones."""

from __future__ import annotations

from fleetbox_query.veils import Veil, lay_veils

ONE, TWO, LATE = (0, 10), (20, 30), (5, 25)


def test_what_all_ask_for_needs_no_veil() -> None:
    """One glob, all of the fields, or the same ones refused in every window."""
    assert lay_veils([(ONE, None), (TWO, None)]) == (None, ())
    assert lay_veils([(ONE, "ax"), (TWO, "ax")]) == (("ax",), ())
    assert lay_veils([(ONE, "ax"), (ONE, "ay")]) == (("ax", "ay"), ())
    assert lay_veils([(ONE, "!ax"), (ONE, "!ay"), (TWO, "!ay"), (TWO, "!ax")]) == (("!ax", "!ay"), ())


def test_what_one_refuses_stays_away_in_its_own_time() -> None:
    """And is shown in the other's; what both refuse is not shown at all."""
    assert lay_veils([(ONE, "!ax"), (TWO, None)]) == (None, (Veil(0, 10, ("!ax",)),))
    assert lay_veils([(ONE, "!ax"), (TWO, "!ay")]) == (None, (Veil(0, 10, ("!ax",)), Veil(20, 30, ("!ay",))))
    both = lay_veils([(ONE, "!ax"), (ONE, "!ay"), (TWO, "!ay")])
    assert both == (("!ay",), (Veil(0, 10, ("!ax", "!ay")),))
    assert lay_veils([(ONE, "ax"), (TWO, "ay")]) == (("ax", "ay"), (Veil(0, 10, ("ax",)), Veil(20, 30, ("ay",))))


def test_where_times_overlap_a_refusal_counts() -> None:
    """What one of two keeps back at a time is not shown then."""
    shown, veils = lay_veils([(ONE, "!ax"), (LATE, None)])
    assert (shown, veils) == (None, (Veil(0, 5, ("!ax",)), Veil(5, 10, ("!ax",))))

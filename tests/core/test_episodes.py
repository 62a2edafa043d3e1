"""Episodes fold from revisions that several places tell, in any order, once each."""

from __future__ import annotations

import pytest

from fleetbox.episodes import Episode, change, check_name, checked_intervals, decode, encode, first, fold, new_episode
from fleetbox.errors import InputError

T0 = 1_760_000_000_000_000  # µs


def made(**more: object) -> Episode:
    """Return an episode that is recorded just now."""
    wish = Episode("", "picks/1", "r1", ((T0, T0),), note="pick cup", state="open", at_us=T0, labels={"a": "1"})
    return new_episode(Episode(**{**{name: getattr(wish, name) for name in Episode.__slots__}, **more}))  # type: ignore[arg-type]


def test_changes_made_at_once_all_count() -> None:
    """The robot closes what a person labels meanwhile: both stand, whichever order and how often they are read."""
    one = made()
    label = change(one, "label", "ann", T0 + 5, labels={"a": None, "b": "2"})
    stop = change(one, "stop", "r1", T0 + 9, intervals=((T0, T0 + 9),), state="closed", success=True)
    told = decode(encode([stop, first(one), label]))
    for revisions in (told, [*told[::-1], *told]):
        [folded] = fold(revisions).values()
        assert (folded.state, folded.success, folded.intervals) == ("closed", True, ((T0, T0 + 9),))
        assert (dict(folded.labels), folded.version, folded.revisions) == ({"b": "2"}, 2, 3)
    assert fold(told, upto=1)[one.id].state == "open"
    assert fold([stop]) == {}, "what began it has not come yet"


def test_copies_of_one_have_ids_and_the_same_digest() -> None:
    """Ids differ though all begin at the same moment; the digest tells what is shown, not what it is called."""
    some = [made(name=f"picks/{at}") for at in range(2_000)]
    assert len({one.id for one in some}) == 2_000
    assert len({one.digest for one in some}) == 1
    assert made(note="pick mug").digest != some[0].digest


@pytest.mark.parametrize("name", ["", "a b", "a@1", "episode:a", "a//b", "/a", "x" * 121])
def test_names_that_cannot_be_are_refused(name: str) -> None:
    """A name stands in selectors and in files."""
    with pytest.raises(InputError, match="not usable"):
        check_name(name)


def test_intervals_are_in_order_and_apart() -> None:
    """Touching ones are joined; none, and one that ends before it starts, are refused."""
    assert checked_intervals([(20, 30), (1, 5), (5, 9)]) == ((1, 9), (20, 30))
    for wrong in ([], [(5, 4)], [(5, 5)]):
        with pytest.raises(InputError):
            checked_intervals(wrong)

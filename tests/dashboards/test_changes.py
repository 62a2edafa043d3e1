"""What a push decides, as a pure function: create, update, keep, remove, and what it leaves alone."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from fleetbox_dashboards.changes import Action, Found, Wanted, differences, plan

BOARD = Wanted("board", "fleetbox-a", "A", {"uid": "fleetbox-a", "title": "A"}, "p2")


def there(pushed: str | None, uid: str = "fleetbox-a", **more: Any) -> Found:
    """Return a board that Grafana has."""
    return Found("board", uid, "A", **{"ours": True, "pushed": pushed, **more})


def action(found: list[Found], *, force: bool = False, wanted: Wanted | None = BOARD) -> Action | None:
    """Return what happens to the only board."""
    changes = plan([wanted] if wanted else [], found, force=force)
    return changes[0].action if changes else None


def test_what_is_not_there_is_created() -> None:
    """Also where boards of others are."""
    assert action([]) == "create"
    assert action([there(None, "mine", ours=False)]) == "create"


def test_what_is_there_as_built_is_kept() -> None:
    """A second push changes nothing."""
    assert action([there("p2")]) == "keep"


def test_an_older_push_is_updated() -> None:
    """The newest version is ours, but of another build."""
    assert action([there("p1")]) == "update"


def test_what_a_person_saved_is_left_alone_unless_forced() -> None:
    """Even though the board is ours by uid; so is one from which somebody took our tag."""
    assert action([there(None)]) == "drift"
    assert action([there(None)], force=True) == "update"
    assert action([there(None, ours=False)]) == "drift"


def test_what_is_no_longer_built_goes_unless_a_person_saved_it() -> None:
    """Removed is only what is ours and was pushed last by us."""
    assert action([there("p1", "fleetbox-old")], wanted=None) == "remove"
    assert action([there(None, "fleetbox-old")], wanted=None) == "drift"
    assert action([there(None, "fleetbox-old")], wanted=None, force=True) == "remove"


def test_what_files_provision_is_not_pushed() -> None:
    """Grafana would refuse it; with --force too."""
    assert action([there("p1", provisioned=True)], force=True) == "blocked"


@given(
    st.lists(
        st.builds(
            Found,
            kind=st.just("board"),
            uid=st.sampled_from(["fleetbox-a", "fleetbox-old", "mine", "theirs"]),
            title=st.text(max_size=3),
            ours=st.booleans(),
            pushed=st.none() | st.sampled_from(["p1", "p2"]),
            provisioned=st.booleans(),
        ),
        unique_by=lambda one: one.uid,
    ),
    st.booleans(),
)
def test_what_is_not_ours_is_never_touched(found: list[Found], force: bool) -> None:
    """No change names a board that is neither ours nor wanted, whatever stands in Grafana."""
    ours = {one.uid for one in found if one.ours} | {BOARD.uid}
    changes = plan([BOARD], found, force=force)
    assert {change.uid for change in changes} <= ours
    assert [change.uid for change in changes].count(BOARD.uid) == 1
    assert not any(change.action == "remove" and change.uid == BOARD.uid for change in changes)


def test_differences_name_panels_and_settings() -> None:
    """What Grafana adds by itself is none."""
    built = {"title": "A", "panels": [{"id": 1, "title": "one"}, {"id": 2, "title": "two"}]}
    stored = {"title": "B", "panels": [{"id": 1, "title": "one"}, {"id": 3, "title": "new"}], "version": 4, "id": 7}
    assert differences(built, stored) == ("panel 'two'", "panel 'new'", "title")
    assert differences(built, {**built, "version": 9, "schemaVersion": 41}) == ()

"""Stream globs are compared as names would match them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetbox.selectors import matches_glob
from fleetbox_edge.linting.globs import covers, meets

GLOBS = ("**", "*", "cam/*", "cam/**", "**/front", "cam/front", "cam/f*", "log/**", "log", "a/*/c", "a/**/c")
NAMES = st.lists(st.sampled_from(["cam", "front", "log", "a", "c", "x"]), min_size=1, max_size=4).map("/".join)


@given(st.sampled_from(GLOBS), st.sampled_from(GLOBS), NAMES)
def test_what_is_said_of_globs_holds_for_names(one: str, other: str, name: str) -> None:
    """Where one glob covers another, every name of the other is its own; names of both mean that they meet."""
    if covers(one, other) and matches_glob(other, name):
        assert matches_glob(one, name)
    if matches_glob(one, name) and matches_glob(other, name):
        assert meets(one, other)


@pytest.mark.parametrize(
    ("wide", "narrow", "said"),
    [("**", "cam/*", True), ("cam/*", "cam/front", True), ("log/**", "log", True), ("cam/*", "cam/a/b", False),
     ("cam/front", "cam/*", False), ("*", "**", False)],
)  # fmt: skip
def test_covering(wide: str, narrow: str, said: bool) -> None:
    """The plain cases are seen."""
    assert covers(wide, narrow) is said


def test_what_cannot_meet() -> None:
    """Globs whose literal parts differ share no name."""
    assert not meets("cam/*", "log/**")
    assert not meets("imu", "cam/**")

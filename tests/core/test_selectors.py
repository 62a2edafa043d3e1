"""Selectors: one grammar for robots, streams and fields."""

import pytest

from fleetbox.errors import InputError
from fleetbox.selectors import Selector, matches_glob


@pytest.mark.parametrize(
    ("text", "robot", "stream", "field"),
    [("r1/imu:ax", "r1", "imu", "ax"), ("r*/cam/*", "r*", "cam/*", None), ("r1", "r1", "**", None),
     ("*", "*", "**", None), ("", "*", "**", None), ("**/imu", "*", "imu", None),
     ("r1/imu:linear.x", "r1", "imu", "linear.x")],
)  # fmt: skip
def test_selectors_parse(text: str, robot: str, stream: str, field: str | None) -> None:
    """A selector splits into robot, stream and field globs."""
    assert Selector.parse(text) == Selector(robot, stream, field)


@pytest.mark.parametrize("text", ["r1/imu:", "r1/i mu", "r1/imu'", "r1;ls"])
def test_what_is_no_selector_names_the_grammar(text: str) -> None:
    """A wrong selector is refused with the form that works."""
    with pytest.raises(InputError, match="ROBOT/STREAM"):
        Selector.parse(text)


@pytest.mark.parametrize(
    ("glob", "name", "expected"),
    [("cam/*", "cam/front", True), ("cam/*", "cam/front/preview", False), ("cam/**", "cam/front/preview", True),
     ("**/preview", "cam/front/preview", True), ("**/preview", "preview", True), ("**", "a/b/c", True),
     ("*", "a/b", False), ("r?", "r1", True), ("r[12]", "r2", True), ("r[12]", "r3", False), ("a/**/b", "a/b", True),
     ("a/**/b", "a/x/y/b", True), ("imu", "imu2", False)],
)  # fmt: skip
def test_globs_stay_within_segments(glob: str, name: str, expected: bool) -> None:
    """One star stays within a segment, two span any number."""
    assert matches_glob(glob, name) is expected

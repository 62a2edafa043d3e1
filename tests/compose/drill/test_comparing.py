"""Comparing finds what a tier lacks, what it holds otherwise and which numbers it never got."""

from __future__ import annotations

from collections import Counter

import xxhash

from fleetbox_local.drill.comparing import Held, Key, Shelf, compare, is_selected, promised_streams
from fleetbox_local.drill.writer import NEAR, PICTURES, ROWS, TEXTS, number_of, picture

LINE: Key = ("log", TEXTS, 10)
NEARBY: Key = ("log", NEAR, 11)


def _held(text: str, keep: str | None = "1", written: str | None = None) -> Held:
    data = text.encode()
    labels = {"xxh": xxhash.xxh3_64_hexdigest((written or text).encode())} | ({"keep": keep} if keep else {})
    return Held(len(data), xxhash.xxh3_64_hexdigest(data), labels)


def test_what_is_missing_is_named() -> None:
    """A selected record that a tier does not hold is missing; one that was not selected is not."""
    robot = Shelf("r1", {LINE: _held("a"), NEARBY: _held("b", keep=None)})

    difference = compare([robot], Shelf("edge", {}), "edge", promised=0)

    assert difference.missing == (LINE,)
    assert "1 of 1 missing {'log/text': 1}" in str(difference)


def test_other_bytes_are_wrong() -> None:
    """A payload that is not the robot's, or not the one its own label tells of, is wrong."""
    robot = Shelf("r1", {LINE: _held("a")})

    assert compare([robot], Shelf("edge", {LINE: _held("c")}), "edge", 0).wrong == (LINE,)
    assert compare([robot], Shelf("edge", {LINE: _held("a", written="c")}), "edge", 0).wrong == (LINE,)
    assert compare([robot], Shelf("edge", {LINE: _held("a")}), "edge", 0).clean


def test_each_tier_has_its_own_selection() -> None:
    """The edge takes all that has `keep`, the cloud only `keep=1`, and both take what is no ring class."""
    assert is_selected("edge", NEARBY, {"keep": "edge"})
    assert not is_selected("cloud", NEARBY, {"keep": "edge"})
    assert is_selected("cloud", NEARBY, {"keep": "1"})
    assert is_selected("cloud", ("meta", "events", 1), {})


def test_the_edge_has_a_say_for_the_cloud() -> None:
    """What was promoted at the edge must reach the cloud although the robot meant it for the edge alone."""
    robot, edge = Shelf("r1", {NEARBY: _held("b", keep="edge")}), Shelf("edge", {NEARBY: _held("b", keep="1")})

    assert compare([robot, edge], Shelf("cloud", {}), "cloud", 0).missing == (NEARBY,)


def test_promised_numbers_are_looked_for_one_by_one() -> None:
    """A number that is nowhere is absent, one that is there twice is repeated, whatever the records say."""
    numbers = {ROWS: Counter([0, 1, 1, 3]), TEXTS: Counter([0]), NEAR: Counter([0]), PICTURES: Counter([0])}

    difference = compare([Shelf("r1", {})], Shelf("edge", {}, numbers), "edge", promised=4)

    assert difference.absent == {ROWS: 1}
    assert difference.repeated == 1
    assert not difference.clean


def test_the_writer_and_the_comparison_agree() -> None:
    """What the writer logs of a number is read back as that number; nothing near is promised to the cloud."""
    assert number_of(PICTURES, picture(123_456)) == 123_456
    assert number_of(TEXTS, b"line 42") == 42
    assert NEAR not in promised_streams(10, "cloud")

"""The store's own filter: it lets through at least what is meant, whatever the engine reads into a text."""

from __future__ import annotations

from itertools import product

from fleetbox_query.fleet import Fleet

from .conftest import Tiers, blob

T0 = 1_760_000_000_000_000  # µs
TEXTS = (
    "7", "07", "7.0", "+7", "-7", "7e0", ".5", "0.5", "1e999", "9223372036854775807", "9223372036854775808", "-0",
    "true", "True", "false", "1", "0", "nan", "NaN", "inf", "-inf", "5s", "-1h 5m", "1h 5x", "s", "d", "9f3a", "3ms",
    "2026-11-21T10:00:00Z", "10:30", "edge-1", "&run", "@run", "$eq", "$$eq", "a b", "/x", "-", "+", "1-2-3", "0x10",
)  # fmt: skip
TESTS = ("labels.run == '{}'", "labels.run != '{}'", "labels.run >= '{}'")


def test_every_text_is_found_by_itself_and_left_out_by_its_opposite(tiers: Tiers, fleet: Fleet, stream: str) -> None:
    """A label equals its own text alone, though the engine takes many texts for numbers, truths and durations."""
    tiers.put("edge", "log", [blob(stream, T0 + at, b"x", run=text) for at, text in enumerate(TEXTS)])
    selection = fleet.select(f"{tiers.robot}/{stream}")
    meant = {"labels.run == '{}'": str.__eq__, "labels.run != '{}'": str.__ne__, "labels.run >= '{}'": str.__ge__}
    for test, text in product(TESTS, TEXTS):
        found = [item.labels["run"] for item in selection.where(test.format(text)).records()]
        assert found == [one for one in TEXTS if meant[test](one, text)], test.format(text)


def test_numbers_and_truths_are_found_as_such(tiers: Tiers, fleet: Fleet, stream: str) -> None:
    """A number finds every spelling of itself, a truth value its own text."""
    tiers.put("edge", "log", [blob(stream, T0 + at, b"x", run=text) for at, text in enumerate(TEXTS)])
    selection = fleet.select(f"{tiers.robot}/{stream}")
    for test, texts in (
        ("labels.run == 7", ["7", "07", "7.0", "+7", "7e0"]),
        ("labels.run == 0.5", [".5", "0.5"]),
        ("labels.run == true", ["true"]),
    ):
        assert [item.labels["run"] for item in selection.where(test).records()] == texts

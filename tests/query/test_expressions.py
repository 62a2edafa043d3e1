"""Expressions: what the store filters, what is left for the client, and that both agree."""

from __future__ import annotations

from typing import Any

import pytest

from fleetbox.errors import InputError
from fleetbox_query.expressions import both, compile_expression, from_labels

FIELDS = {"ax", "ay", "pose", "name"}
HAS_SITE: dict[str, Any] = {"$has": ["site"]}


@pytest.mark.parametrize(
    ("text", "store", "rows"),
    [
        ("site == 'edge-1'", [HAS_SITE, {"&site": {"$eq": "edge-1"}}], []),
        ("'b' == site", [HAS_SITE, {"&site": {"$eq": "b"}}], []),
        ("site != \"x\"", [HAS_SITE, {"&site": {"$ne": "x"}}], []),
        ("has(site)", [HAS_SITE], []),
        ("has(labels.site)", [HAS_SITE], []),
        ("seq > 5", [{"$has": ["seq"]}, {"&seq": {"$gt": 5}}], []),
        ("-5 < seq", [{"$has": ["seq"]}, {"&seq": {"$gt": -5}}], []),
        ("seq <= 0x10", [{"$has": ["seq"]}, {"&seq": {"$lte": 16}}], []),
        ("labels.ax == 'r'", [{"$has": ["ax"]}, {"&ax": {"$eq": "r"}}], []),
        ("labels['ax'] == 'r'", [{"$has": ["ax"]}, {"&ax": {"$eq": "r"}}], []),
        ("ax < -4.0", None, ["ax < -4.0"]),
        ("ax < -4.0 && site == 'e'", [HAS_SITE, {"&site": {"$eq": "e"}}], ["ax < -4.0"]),
        ("(ax < 1.0 && (site == 'e'))", [HAS_SITE, {"&site": {"$eq": "e"}}], ["ax < 1.0"]),
        ("site == 'e' || site == 'f'", None, ["site == 'e' || site == 'f'"]),
        ("site == 'e' && ax > 1.0 || ay > 1.0", None, ["site == 'e' && ax > 1.0 || ay > 1.0"]),
        ("ax > 0.0 ? site == 'e' : true", None, ["ax > 0.0 ? site == 'e' : true"]),
        ("!(site == 'e')", None, ["! ( site == 'e' )"]),
        ("site in ['e', 'f']", None, ["site in [ 'e' , 'f' ]"]),
        ("pose.x > 1.0", None, ["pose.x > 1.0"]),
        ("stream == 'imu'", None, ["stream == 'imu'"]),
        ("has(ax) && ax > ay", None, ["has ( it.ax )", "ax > ay"]),
        # The engine would read these texts as something else: it only checks that the label is there.
        ("site == '5s'", [HAS_SITE], []),
        ("site == '-1h 5m'", [HAS_SITE], []),
        ("site != '7'", [HAS_SITE], []),
        ("site != 'true'", [HAS_SITE], []),
        ("site == '-inf'", [HAS_SITE], []),
        ("site == '1e999'", [HAS_SITE], []),
        ("site == '9223372036854775808'", [HAS_SITE], []),
        ("site == 'NaN'", [HAS_SITE], []),
        ("site == '&x'", [HAS_SITE], []),
        ("site == '$eq'", [HAS_SITE], []),
        ("site < 'f'", [HAS_SITE], []),
        ("site != true", [HAS_SITE], []),
        # What it reads as a number or truth value is asked for as that, which lets more through than is meant.
        ("site == '007'", [HAS_SITE, {"&site": {"$eq": 7}}], []),
        ("site == '-7.50'", [HAS_SITE, {"&site": {"$eq": -7.5}}], []),
        ("site == 'true'", [HAS_SITE, {"&site": {"$eq": True}}], []),
        ("site == true", [HAS_SITE, {"&site": {"$eq": True}}], []),
        ("site == '9f3a'", [HAS_SITE, {"&site": {"$eq": "9f3a"}}], []),
        ("seq != 5", [{"$has": ["seq"]}], []),
        ("seq < 9223372036854775808.0", [{"$has": ["seq"]}], []),
    ],
)  # fmt: skip
def test_split(text: str, store: list[dict[str, Any]] | None, rows: list[str]) -> None:
    """Each condition goes to the store, never narrower than it means, or stays with the client."""
    split = compile_expression(text, FIELDS.__contains__)
    assert split.engine_when == (None if store is None else {"$and": store})
    assert list(split.row_parts) == rows


@pytest.mark.parametrize("text", ["ax <", "ax = 1", "&& ax", "a b", "'open", "§", "has(1)", "labels.", ""])
def test_text_that_is_no_cel_is_refused(text: str) -> None:
    """Text that is no CEL is an InputError that shows how to write it."""
    with pytest.raises(InputError) as refused:
        compile_expression(text)
    assert refused.value.next_step


@pytest.mark.parametrize(
    ("text", "labels", "fields", "verdict"),
    [
        ("ax < -4.0 && site == 'e'", {"site": "e"}, {"ax": -5.0}, True),
        ("ax < -4.0 && site == 'e'", {"site": "f"}, {"ax": -5.0}, False),
        ("ax < -4.0 && site == 'e'", {"site": "e"}, {"ax": -3.0}, False),
        ("ax < -4", {}, {"ax": -5.0}, True),
        ("ax < -4", {}, {}, False),
        ("ax < -4", {}, {"ax": None}, False),
        ("pose.x > 1.0 && pose.y > 1.0", {}, {"pose.x": 2.0, "pose.y": 2.0}, True),
        ("fields['pose.x'] > 1.0", {}, {"pose.x": 2.0}, True),
        ("has(ax) || has(ay)", {}, {"ay": 1.0}, True),
        ("has(ax) || has(ay)", {}, {"az": 1.0}, False),
        ("name == 'n' && has(labels.name)", {"name": "x"}, {"name": "n"}, True),
        ("run == '5s'", {"run": "5s"}, {}, True),
        ("run == '007'", {"run": "7"}, {}, False),
        ("run == '007'", {"run": "007"}, {}, True),
        ("run == 7", {"run": "007"}, {}, True),
        ("run > 5 && run < 1e1", {"run": "7.5"}, {}, True),
        ("run > 5", {"run": "seven"}, {}, False),
        ("run != 5", {"run": "seven"}, {}, True),
        ("run != 'x'", {}, {}, False),
        ("run == true", {"run": "true"}, {}, True),
        ("run in ['a', 'b'] || ax > 0.0", {"run": "b"}, {"ax": -1.0}, True),
        ("ax > 0.0 ? run == 1 : false", {"run": "1"}, {"ax": 1.0}, True),
        ("list[1] > 1.0", {}, {"list": [1.0, 2.0]}, True),
        ("big == 1152921504606846977", {}, {"big": 2**60 + 1}, True),
        ("big == 1152921504606846977", {}, {"big": 2**60}, False),
        ("run == '7' || ax > 0.0", {"run": "7"}, {"ax": -1.0}, True),
        ("run == '07' || ax > 0.0", {"run": "7"}, {"ax": -1.0}, False),
        ("'7' == run || ax > 0.0", {"run": "7"}, {"ax": -1.0}, True),
        ("run == 7 || ax > 0.0", {"run": "7"}, {"ax": -1.0}, True),
        ("run in ['7', '8'] && ax < 0.0", {"run": "7"}, {"ax": -1.0}, True),
        ("run.startsWith('7') && ax < 0.0", {"run": "7"}, {"ax": -1.0}, True),
        ("(run < '8' && ax < 0.0) || ax > 1.0", {"run": "7"}, {"ax": -1.0}, True),
        ("ax == 1.0 || run == 'true'", {"run": "true"}, {"ax": -1.0}, True),
        ("ax == 1.0 || run == true", {"run": "true"}, {"ax": -1.0}, True),
    ],
)
def test_verdict(text: str, labels: dict[str, str], fields: dict[str, Any], verdict: bool) -> None:
    """Labels compare as text or number by the literal, fields by value, and a missing name makes it false."""
    split = compile_expression(text, {name.partition(".")[0] for name in fields}.__contains__)
    passed = split.labels_match(labels) and split.row_match(labels, fields) is True
    assert passed is verdict


@pytest.mark.parametrize(
    ("text", "verdict"),
    [("run == '7'", True), ("run == 7", True), ("run != '7'", False), ("run == '8'", False), ("has(run)", True)],
)
def test_a_label_counts_where_nobody_knows_the_fields(text: str, verdict: bool) -> None:
    """A name that may be a field is the row's field if it has one, else the record's label, compared as labels are."""
    split = compile_expression(text, lambda _name: True)
    assert not split.label_tests
    assert split.row_match({"run": "7"}, {"ax": 1.0}) is verdict
    assert split.row_match({"run": "9"}, {"run": 7}) is (text in ("run == 7", "run != '7'", "has(run)"))


def test_a_name_no_row_has_is_undecided() -> None:
    """A row that lacks a name is neither passed nor failed, so that a typo can be told."""
    split = compile_expression("axx > 1.0", lambda _name: True)
    assert split.row_match({}, {"ax": 1.0}) is None
    assert split.row_match({}, {"axx": 0.0}) is False


def test_labels_and_expression_hold_together() -> None:
    """Labels given outright and an expression are joined, without naming a test to the store twice."""
    joined = both([from_labels({"site": "e"}), compile_expression("site == 'e' && ax > 0.0", FIELDS.__contains__)])
    assert joined.engine_when == {"$and": [HAS_SITE, {"&site": {"$eq": "e"}}]}
    assert joined.labels_match({"site": "e"})
    assert joined.row_parts == ("ax > 0.0",)
    assert both([from_labels({})]).engine_when is None

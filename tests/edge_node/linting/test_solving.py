"""Conditions that can never hold, and those that always do, are told from the rest."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetbox_edge.linting.solving import always, never
from fleetbox_edge.linting.terms import read_term

NEVER = (
    "ax > 4.0 && ax < 3.0",
    "ax >= 3.0 && ax <= 3.0 && ax != 3.0",
    "!(ax > 3.0) && ax > 3.0",
    "ax > 3.0 && name == 'a'  && name == 'b'",
    "name == 'a' && name > 3",
    "on && !on",
    "(ax > 3.0 || ay > 3.0) && !(ax > 3.0) && !(ay > 3.0)",
    "name in ['a', 'b'] && name == 'c'",
    "text.matches('x') && !text.matches('x')",
    "-4.0 > ax && ax > 0.0",
    "1 > 2",
    "ax != ax",
)
ALWAYS = ("true", "1 < 2", "ax < 3.0 || ax >= 3.0", "on || !on", "!(ax > 4.0 && ax < 3.0)")
EITHER = (
    "ax < -4.0",
    "ax < -4.0 || ax > 'a'",
    "ax >= 3.0 && ax <= 3.0",
    "a ? b : c",
    "xs.exists(x, x > 3)",
    "has(labels.run) && labels.run == '7'",
    "ax < 3.0 && ay > 3.0",
)


def evaluate(text: str) -> Any:
    """Return the value of a part without names."""
    import cel

    program = cel.compile(text)
    if program.variables():
        raise LookupError(text)
    return program.execute({})


@pytest.mark.parametrize("text", NEVER)
def test_what_never_holds_is_found(text: str) -> None:
    """A contradiction is found, and the reason names what clashes."""
    clash = never(read_term(text, evaluate), {})
    assert clash is not None
    assert clash.why


@pytest.mark.parametrize("text", ALWAYS)
def test_what_always_holds_is_found(text: str) -> None:
    """What no record can make false is found."""
    term = read_term(text, evaluate)
    assert always(term)
    assert never(term, {}) is None


@pytest.mark.parametrize("text", EITHER)
def test_what_may_hold_is_left_alone(text: str) -> None:
    """Conditions that depend on the record are neither."""
    term = read_term(text, evaluate)
    assert never(term, {}) is None
    assert not always(term)


def test_a_known_kind_counts() -> None:
    """A field that is text is never above a number."""
    assert never(read_term("name > 3", evaluate), {"name": "text"}) is not None
    assert never(read_term("name > 3", evaluate), {"name": "number"}) is None


_TESTS = st.tuples(st.sampled_from("xy"), st.sampled_from(["<", "<=", ">", ">=", "==", "!="]), st.integers(0, 3))


@given(st.recursive(
    _TESTS.map(lambda test: f"{test[0]} {test[1]} {float(test[2])}"),
    lambda inner: st.one_of(
        st.tuples(inner, inner).map(lambda two: f"({two[0]} && {two[1]})"),
        st.tuples(inner, inner).map(lambda two: f"({two[0]} || {two[1]})"),
        inner.map(lambda one: f"!({one})"),
    ),
    max_leaves=6,
))  # fmt: skip
def test_the_answer_is_that_of_trying_every_value(text: str) -> None:
    """On comparisons with whole numbers, what is called never or always is so at every value and between them."""
    import cel

    program = cel.compile(text)
    values = [number / 2 for number in range(-1, 8)]
    names = program.variables()
    outcomes = {
        program.execute({name: value for name, value in (("x", x), ("y", y)) if name in names})
        for x in values
        for y in values
    }
    term = read_term(text, evaluate)
    assert (never(term, {}) is not None) == (outcomes == {False})
    assert always(term) == (outcomes == {True})

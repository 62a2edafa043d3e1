"""Read a CEL expression as a tree of what must hold: and, or, not, comparisons with a literal, and the rest as text."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fleetbox_query.cel_text import Token, join, split, tokens, unwrapped

FLIPPED = {"==": "==", "!=": "!=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}

Term = "Test | Junction | Fixed"


@dataclass(frozen=True, slots=True)
class Test:
    """Hold `subject op literal`; `subject` is a name such as `pose.x`, or any expression as text.

    What is true or false by itself is compared with True.
    """

    subject: str
    op: str
    literal: Any


@dataclass(frozen=True, slots=True)
class Junction:
    """Hold terms of which all must hold (`every`), or at least one."""

    every: bool
    parts: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Fixed:
    """Hold a part that needs no record to be decided."""

    value: bool
    text: str


def read_term(text: str, evaluate: Callable[[str], Any]) -> Any:
    """Return the tree of an expression that compiles; `evaluate` returns the value of a part without names.

    It raises LookupError for a part that has none.
    """
    return _read(tokens(text), evaluate)


def negated(term: Any) -> Any:
    """Return the tree of what holds exactly where `term` does not (and can be decided)."""
    if isinstance(term, Fixed):
        return Fixed(not term.value, term.text)
    if isinstance(term, Junction):
        return Junction(not term.every, tuple(negated(part) for part in term.parts))
    opposite = {"==": "!=", "!=": "==", "<": ">=", ">=": "<", ">": "<=", "<=": ">"}
    if isinstance(term.literal, bool) and term.op in ("==", "!="):
        return Test(term.subject, "==", term.literal == (term.op == "!="))
    return Test(term.subject, opposite[term.op], term.literal)


def _read(words: tuple[Token, ...], evaluate: Callable[[str], Any]) -> Any:
    words = unwrapped(words)
    if split(words, "?")[1:]:
        return _whole(words, evaluate)
    for mark, every in (("||", False), ("&&", True)):
        parts = split(words, mark)
        if len(parts) > 1:
            return Junction(every, tuple(_read(part, evaluate) for part in parts))
    if words and words[0].text == "!" and not any(split(words, op)[1:] for op in (*FLIPPED, "in")):
        return negated(_read(words[1:], evaluate))
    return _test(words, evaluate)


def _test(words: tuple[Token, ...], evaluate: Callable[[str], Any]) -> Any:
    for op in ("==", "!=", "<=", ">=", "<", ">"):
        sides = split(words, op)
        if len(sides) == 2:
            return _compared(sides[0], op, sides[1], words, evaluate)
    sides = split(words, "in")
    if len(sides) == 2:
        try:
            items = evaluate(join(sides[1]))
        except LookupError:
            return _whole(words, evaluate)
        if isinstance(items, list) and all(isinstance(item, str | int | float) for item in items):
            return Junction(False, tuple(Test(join(unwrapped(sides[0])), "==", item) for item in items))
    return _whole(words, evaluate)


def _compared(
    left: tuple[Token, ...], op: str, right: tuple[Token, ...], words: tuple[Token, ...], evaluate: Callable[[str], Any]
) -> Any:
    for subject, other, seen in ((left, right, op), (right, left, FLIPPED[op])):
        try:
            literal = evaluate(join(other))
        except LookupError:
            continue
        try:
            evaluate(join(subject))
        except LookupError:
            if isinstance(literal, str | int | float):
                return Test(join(unwrapped(subject)), seen, literal)
    same = join(unwrapped(left)) == join(unwrapped(right))
    return Fixed(op in ("==", "<=", ">="), join(words)) if same else _whole(words, evaluate)


def _whole(words: tuple[Token, ...], evaluate: Callable[[str], Any]) -> Any:
    text = join(words)
    try:
        value = evaluate(text)
    except LookupError:
        return Test(text, "==", True)
    return Fixed(value is True, text)

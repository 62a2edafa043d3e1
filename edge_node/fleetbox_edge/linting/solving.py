"""Decide whether a condition can hold for any record at all, or holds for every one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any, Literal

from fleetbox_edge.linting.terms import Fixed, Junction, Test, negated

MOST_CASES = 4_096  # of an expression written out; beyond, nothing is said about it

Kind = Literal["number", "text", "truth"]
Kinds = Mapping[str, Kind]


@dataclass(frozen=True, slots=True)
class Clash:
    """Say why a condition cannot hold."""

    why: str


def never(term: Any, kinds: Kinds | None) -> Clash | None:
    """Return why no record can make the term hold, None where one may.

    `kinds` says what is known of subjects; None: whatever they are, and be it different things in different records.
    """
    cases = _cases(term)
    if cases is None:
        return None
    clashes = [_clash(case, kinds) for case in cases]
    found = [clash for clash in clashes if clash is not None]
    if len(found) < len(clashes):
        return None
    return found[0] if found else Clash("it is false whatever a record holds")


def always(term: Any, *assumed: Any) -> bool:
    """Tell whether every record that has the fields makes the term hold; `assumed` is what any record does."""
    return never(Junction(True, (negated(term), *assumed)), None) is not None


def _cases(term: Any) -> list[tuple[Any, ...]] | None:
    """Return the term as cases of which one must hold, each a tuple of tests that all must; None beyond reason."""
    if not isinstance(term, Junction):
        return [(term,)]
    parts = [_cases(part) for part in term.parts]
    if any(part is None for part in parts):
        return None
    known: list[list[tuple[Any, ...]]] = [part for part in parts if part is not None]
    if not term.every:
        return [case for part in known for case in part] if sum(map(len, known)) <= MOST_CASES else None
    size = 1
    for part in known:
        size *= len(part)
    if size > MOST_CASES:
        return None
    return [tuple(test for case in chosen for test in case) for chosen in product(*known)]


def _clash(case: Iterable[Any], kinds: Kinds | None) -> Clash | None:
    by_subject: dict[str, list[Test]] = {}
    for test in case:
        if isinstance(test, Fixed):
            if not test.value:
                return Clash(f"{test.text!r} is false whatever a record holds")
        else:
            by_subject.setdefault(test.subject, []).append(test)
    for subject, tests in by_subject.items():
        if kinds is not None and (clash := _mixed(subject, tests, kinds.get(subject))) is not None:
            return clash
        if (clash := _empty(subject, tests)) is not None:
            return clash
    return None


def _mixed(subject: str, tests: list[Test], known: Kind | None) -> Clash | None:
    wanted = [(test, _kind(test.literal)) for test in tests if test.op != "!="]
    for test, kind in wanted:
        if known is not None and kind != known:
            return Clash(f"{subject} is a {known}, and {_show(test)} asks for a {kind}")
        if kind != wanted[0][1]:
            return Clash(f"{subject} cannot be a {wanted[0][1]} ({_show(wanted[0][0])}) and a {kind} ({_show(test)})")
    return None


def _empty(subject: str, tests: list[Test]) -> Clash | None:
    kinds = list(dict.fromkeys(_kind(test.literal) for test in tests if test.op != "!="))
    if len(kinds) != 1:
        return None
    alike = [test for test in tests if _kind(test.literal) == kinds[0]]
    if _has_room(alike, kinds[0]):
        return None
    texts = list(dict.fromkeys(_show(test) for test in alike))
    return Clash(f"no {_tidy(subject)} makes {' && '.join(texts)} hold")


def _has_room(tests: list[Test], kind: Kind) -> bool:
    """Tell whether some value passes all tests on one subject."""
    if kind == "truth":
        return any(all((value == test.literal) == (test.op == "==") for test in tests) for value in (True, False))
    low = high = None  # (value, whether it is excluded)
    for test in tests:
        if test.op in ("==", ">", ">="):
            bound = (test.literal, test.op == ">")
            low = bound if low is None or bound > low else low
        if test.op in ("==", "<", "<="):
            bound = (test.literal, test.op != "<")
            high = bound if high is None or bound < high else high
    if low is None or high is None:
        return True
    if low[0] != high[0]:
        return bool(low[0] < high[0])
    return not low[1] and high[1] and not any(test.op == "!=" and test.literal == low[0] for test in tests)


def _kind(literal: Any) -> Kind:
    if isinstance(literal, bool):
        return "truth"
    return "text" if isinstance(literal, str) else "number"


def _show(test: Test) -> str:
    subject = _tidy(test.subject)
    if isinstance(test.literal, bool):
        return subject if test.literal == (test.op == "==") else f"!{subject}"
    return f"{subject} {test.op} {test.literal!r}"


def _tidy(text: str) -> str:
    """Write `f(x)` for `f ( x )`: names that are no names are expressions put together from words."""
    return re.sub(r" ?([(\[]) ?| (?=[)\],])", r"\1", text)

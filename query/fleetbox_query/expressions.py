"""Decide what of a CEL expression the store filters by label, with the rest left for the client.

A bare name means a field where a chosen stream has one of that name, else a label; `labels.x` and `fields.x`
say it outright. Where nobody knows what fields a stream has, each row decides: its field of that name, else the
record's label. A label is text; compared with a number it is read as a number. A name that a row or record lacks
makes the condition false there.

The store's filter only ever thins out: whatever it lets through is tested again here, because the engine reads
label texts as numbers, durations and truth values where it can ("5s" == "5s" is false there).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from fleetbox.errors import InputError
from fleetbox.labels import Labels
from fleetbox_query.cel_text import Comparison, Has, Literal, Token, conditions, join, names_of_texts, tokens
from fleetbox_query.store_filters import NUMBER, filter_parts, is_decided

_WHOLE = "it"  # the map behind has(name), where a bare name is no CEL

LabelTest = Comparison | Has


@dataclass(frozen=True)
class Expression:
    """Hold an expression, split: tests on labels alone, and the CEL that needs the row."""

    text: str
    label_tests: tuple[LabelTest, ...] = ()
    row_parts: tuple[str, ...] = ()
    names: frozenset[str] = field(default=frozenset())

    def __repr__(self) -> str:
        if not self.text:
            return "Expression(none)"
        told = {"by labels": self.label_tests, "by rows, read here": self.row_parts}
        parts = [f"{how}: {' && '.join(map(str, tests))}" for how, tests in told.items() if tests]
        return f"Expression({self.text}; {'; '.join(parts)})"

    @property
    def engine_when(self) -> dict[str, Any] | None:
        """Return the store's filter: never narrower than the label tests, or None when there is nothing to say."""
        parts = [part for test in self.label_tests for part in filter_parts(test)]
        unique = [part for at, part in enumerate(parts) if part not in parts[:at]]
        return {"$and": unique} if unique else None

    @property
    def is_thinned(self) -> bool:
        """Tell whether the store itself judges a test on labels by value, so that it sends little else."""
        return any(is_decided(test) for test in self.label_tests)

    def labels_match(self, labels: Mapping[str, str]) -> bool:
        """Tell whether a record's labels pass every test on labels alone."""
        return all(_holds(test, labels) for test in self.label_tests)

    @property
    def needs_rows(self) -> bool:
        """Tell whether rows must be read before the expression can be decided."""
        return bool(self.row_parts)

    def row_match(self, labels: Mapping[str, str], fields: Mapping[str, Any], **more: Any) -> bool | None:
        """Tell whether a row passes the part that needs it; None means it could not be decided (a name is missing)."""
        undecided = False
        for program, wanted, texts in self._programs:
            try:
                result = program.execute(_context(wanted, texts, labels, fields, more))
            except (RuntimeError, TypeError, ValueError, LookupError, ArithmeticError):
                undecided = True
                continue
            if result is not True:
                return False
        return None if undecided else True

    @cached_property
    def _programs(self) -> tuple[tuple[Any, frozenset[str], frozenset[str]], ...]:
        compiled = [(_compiled(part), names_of_texts(tokens(part))) for part in self.row_parts]
        return tuple((program, frozenset(program.variables()), texts) for program, texts in compiled)


def compile_expression(text: str, is_field: Callable[[str], bool] = lambda _name: False) -> Expression:
    """Split CEL text; `is_field` tells whether some chosen stream has (or may have) a field of that name.

    Raises InputError on text that is no CEL.
    """
    _compiled(_rewritten(tokens(text)))
    tests: list[LabelTest] = []
    rows: list[str] = []
    for condition, words in conditions(text):
        if isinstance(condition, Comparison | Has) and _on_label(condition, is_field):
            tests.append(condition)
        else:
            rows.append(_rewritten(words))
    names = frozenset(name for part in rows for name in _compiled(part).variables())
    return Expression(text, tuple(tests), tuple(rows), names)


def from_labels(labels: Labels) -> Expression:
    """Return the expression for labels that must have exactly these texts."""
    tests = tuple(Comparison(name, "==", value, on_label=True) for name, value in labels.items())
    return Expression(" && ".join(f"labels.{name} == {value!r}" for name, value in labels.items()), tests)


def both(expressions: Iterable[Expression]) -> Expression:
    """Return the expression that holds where all of them hold."""
    parts = [expression for expression in expressions if expression.text]
    return Expression(
        " && ".join(part.text for part in parts),
        tuple(test for part in parts for test in part.label_tests),
        tuple(row for part in parts for row in part.row_parts),
        frozenset().union(*(part.names for part in parts)),
    )


def _on_label(test: LabelTest, is_field: Callable[[str], bool]) -> bool:
    return test.on_label or not (test.name in ("stream", "time_us") or is_field(test.name))


def _holds(test: LabelTest, labels: Mapping[str, str]) -> bool:
    text = labels.get(test.name)
    if text is None or isinstance(test, Has):
        return text is not None
    if isinstance(test.literal, bool):
        return _compare(text, test.op, "true" if test.literal else "false")
    if isinstance(test.literal, str):
        return _compare(text, test.op, test.literal)
    if not NUMBER.fullmatch(text):
        return test.op == "!="
    return _compare(_as_number(text), test.op, test.literal)


def _compare(left: Any, op: str, right: Any) -> bool:
    match op:
        case "==":
            return bool(left == right)
        case "!=":
            return bool(left != right)
        case "<":
            return bool(left < right)
        case "<=":
            return bool(left <= right)
        case ">":
            return bool(left > right)
    return bool(left >= right)


def _as_number(text: str) -> int | float:
    return int(text) if re.fullmatch(r"[+-]?\d+", text) else float(text)


def _compiled(text: str) -> Any:
    import cel

    try:
        return cel.compile(text)
    except ValueError as error:
        reason = str(error).splitlines()[0].partition("ERROR: ")[2] or str(error).splitlines()[0]
        raise InputError(
            f"expression {text!r} is not CEL: {reason}", "write it like \"ax < -4.0 && site == 'edge-1'\""
        ) from None


def _rewritten(words: tuple[Token, ...]) -> str:
    """Write tokens as CEL, `has(name)` as has(it.name): CEL's macro wants a member."""
    out = list(words)
    for at in range(len(words) - 3):
        head, opens, name, closes = words[at : at + 4]
        if (head.text, opens.text, closes.text, name.kind) == ("has", "(", ")", "name"):
            out[at + 2] = Token("name", f"{_WHOLE}.{name.text}")
    return join(tuple(out))


def _context(
    wanted: frozenset[str],
    texts: frozenset[str],
    labels: Mapping[str, str],
    fields: Mapping[str, Any],
    more: Mapping[str, Any],
) -> dict[str, Any]:
    named = {name: text if name in texts else _typed(text) for name, text in labels.items()}
    typed = {**more, **named, **_nested(fields)}
    whole = {**typed, "labels": dict(labels), "fields": dict(fields), _WHOLE: typed}
    return {name: whole[name] for name in wanted if name in whole}


def _typed(text: str) -> Literal:
    if text in ("true", "false"):
        return text == "true"
    return _as_number(text) if NUMBER.fullmatch(text) else text


def _nested(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Turn dotted names into maps: pose.x -> {"pose": {"x": ...}}."""
    out: dict[str, Any] = {}
    for name, value in fields.items():
        *path, last = name.split(".")
        inner = out
        for step in path:
            inner = inner.setdefault(step, {})
            if not isinstance(inner, dict):
                break
        if isinstance(inner, dict):
            inner[last] = value
    return out

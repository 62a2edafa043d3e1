"""Lint one CEL expression: does it compile, can it hold, what may be missing where it is judged."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fleetbox.errors import InputError
from fleetbox_edge.linting.findings import Finding
from fleetbox_edge.linting.solving import Kind, always, never
from fleetbox_edge.linting.terms import Junction, Test, read_term
from fleetbox_query.cel_text import Token, tokens

_PROBES = (
    "{}('1')", "{}(1.5)", "{}([1])", "'a'.{}('a')", "'a'.{}(0)", "[1].{}()", "duration('1s').{}()",
    "timestamp('2020-01-01T00:00:00Z').{}()",
)  # fmt: skip
SAMPLES: tuple[dict[str, Any], ...] = (  # a part behind && or || runs in one of them
    {"float": 1.5, "int": 3, "string": "a", "bool": True},
    {"float": -1.5, "int": -3, "string": "", "bool": False},
)
_OPERATOR = re.compile(r"\W|_.*_|@.*")


@dataclass(frozen=True, slots=True)
class Scope:
    """Say what an expression may speak of: names -> kind (None: not known), or None where any name may be a field.

    `where` says in words what the names are of.
    """

    names: Mapping[str, Kind | None] | None = None
    roots: Mapping[str, Kind | None] = field(default_factory=dict)  # always there, whatever the stream
    where: str = ""
    dtypes: Mapping[str, str] = field(default_factory=dict)  # of the names


def lint_expression(text: str, key: str, scope: Scope) -> list[Finding]:
    """Return what is wrong with an expression; `key` is its place in the file."""
    try:
        program = _compiled(text)
        words = tokens(text)
    except InputError as error:
        return [Finding("error", key, error.message, error.next_step or "write it as CEL")]
    unknown = [name for name in program.functions() if not _OPERATOR.fullmatch(name) and not _is_known(name)]
    if unknown:
        step = "use comparisons, &&, ||, !, in, has(), matches(), startsWith(), contains(), size()"
        return [Finding("error", key, f"{text!r} calls {', '.join(unknown)}(), which CEL does not have", step)]
    lacking = [*_lint_names(words, frozenset(program.variables()), key, scope)]
    found = [*_lint_logic(text, key, scope), *_lint_labels(text, words, key), *lacking]
    return found if lacking or scope.names is None else [*found, *_lint_types(text, program, words, key, scope)]


def names_in(text: str) -> frozenset[str]:
    """Return the first parts of all names that an expression reads; none where it does not compile."""
    try:
        return frozenset(_compiled(text).variables())
    except InputError:
        return frozenset()


def kind_of(dtype: str) -> Kind | None:
    """Return what a field of a dtype is compared with, None for lists and what is not known."""
    if dtype in ("string", "utf8"):
        return "text"
    if dtype in ("bool", "boolean"):
        return "truth"
    return "number" if re.fullmatch(r"u?int\d+|float\d*|double|half_float", dtype) else None


def _lint_logic(text: str, key: str, scope: Scope) -> Iterator[Finding]:
    term = read_term(text, _evaluate)
    kinds = {name: kind for name, kind in {**(scope.names or {}), **scope.roots}.items() if kind is not None}
    assumed = (Test("hz", ">=", 0),) if "hz" in names_in(text) else ()
    if (clash := never(Junction(True, (term, *assumed)), kinds)) is not None:
        yield Finding("error", key, f"{text!r} can never match: {clash.why}", "correct the comparison")
        return
    if always(term, *assumed):
        step = "name the condition that makes it a moment; as it stands, cooldown, per_hour and budget alone hold it"
        yield Finding("warning", key, f"{text!r} always matches", step)
    for part in term.parts if isinstance(term, Junction) else ():
        if not term.every and (clash := never(Junction(True, (part, *assumed)), kinds)) is not None:
            yield Finding("warning", key, f"a part of {text!r} can never match: {clash.why}", "drop or correct it")
        if term.every and always(part, *assumed):
            yield Finding(
                "warning", key, f"a part of {text!r} always matches and decides nothing", "drop or correct it"
            )


def _lint_labels(text: str, words: Sequence[Token], key: str) -> Iterator[Finding]:
    """Find labels read without asking first whether the record has them: CEL raises where it has not."""
    guarded: set[str] = set()
    for at, path in _paths(words):
        if path[0] != "labels" or len(path) < 2:
            continue
        name = path[1]
        if at >= 2 and (words[at - 2].text, words[at - 1].text) == ("has", "("):
            guarded.add(name)
        elif name not in guarded and not _is_named_in(words[:at], name):
            message = f"{text!r} reads labels.{name} unguarded: it fails on every record without that label"
            yield Finding("error", key, message, f"write has(labels.{name}) && ... before it")
            guarded.add(name)


def _is_named_in(words: Sequence[Token], name: str) -> bool:
    """Tell whether `'name' in labels` was asked before."""
    texts = [word.text for word in words]
    asked = ([f"'{name}'", "in", "labels"], [f'"{name}"', "in", "labels"])
    return any(texts[at : at + 3] in asked for at in range(len(texts)))


def _lint_names(words: Sequence[Token], variables: frozenset[str], key: str, scope: Scope) -> Iterator[Finding]:
    if scope.names is None:
        return
    told: set[str] = set()
    for _, path in _paths(words):
        name = ".".join(path)
        if path[0] not in variables or path[0] in scope.roots or name in told or _has_field(path, scope.names):
            continue
        told.add(name)
        have = ", ".join(sorted(scope.names)[:8]) or "no fields"
        yield Finding("error", key, f"{scope.where} has no field {name!r}", f"it has {have}")


def _lint_types(text: str, program: Any, words: Sequence[Token], key: str, scope: Scope) -> Iterator[Finding]:
    """Run the expression on made-up records of the fields' kinds: what always fails there fails on the robot."""
    labels = {path[1]: "a" for _, path in _paths(words) if path[0] == "labels" and len(path) > 1}
    failures = []
    for sample in SAMPLES:
        try:
            program.execute(_made_up(scope, labels, sample))
            return
        except (TypeError, RuntimeError, ValueError, ArithmeticError, LookupError) as error:
            failures.append(str(error).partition(". ")[0])
    step = "CEL mixes no kinds: write 2.0 beside a float, int(x) or double(x) to turn one into the other"
    yield Finding("error", key, f"{text!r} fails on every record: {failures[0]}", step)


def _made_up(scope: Scope, labels: Mapping[str, str], sample: Mapping[str, Any]) -> dict[str, Any]:
    fields = {name: _value(name, dtype, sample) for name, dtype in scope.dtypes.items()}
    rate = {name: sample["float"] for name, dtype in scope.dtypes.items() if kind_of(dtype) == "number"}
    whole = {"labels": labels, "text": sample["string"], "level": sample["string"], "hz": abs(sample["float"])}
    return {**whole, "rate": nested(rate), **nested(fields)}


def _value(name: str, dtype: str, sample: Mapping[str, Any]) -> Any:
    kind = kind_of(dtype)
    if kind == "number":
        return sample["int"] if "int" in dtype else sample["float"]
    return sample["string"] if kind == "text" else sample["bool"] if kind == "truth" else [sample["float"]]


def nested(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Turn dotted names into maps: pose.x -> {"pose": {"x": ...}}."""
    out: dict[str, Any] = {}
    for name, value in fields.items():
        *path, last = name.split(".")
        inner = out
        for step in path:
            inner = inner.setdefault(step, {}) if isinstance(inner.setdefault(step, {}), dict) else {}
        inner[last] = value
    return out


def _has_field(path: tuple[str, ...], fields: Mapping[str, Kind | None]) -> bool:
    name = ".".join(path)
    return any(field == name or field.startswith(name + ".") or name.startswith(field + ".") for field in fields)


def _paths(words: Sequence[Token]) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Yield each dotted name (functions left out) with the place where it begins; `x['y']` counts as `x.y`."""
    at = 0
    while at < len(words):
        if words[at].kind != "name" or words[at].text in ("true", "false", "null", "in"):
            at += 1
            continue
        start, path = at, [words[at].text]
        at += 1
        while at + 1 < len(words):
            if words[at].text == "." and words[at + 1].kind == "name":
                path.append(words[at + 1].text)
                at += 2
            elif words[at].text == "[" and words[at + 1].kind == "text" and len(words) > at + 2:
                path.append(words[at + 1].text.strip("'\""))
                at += 3
            else:
                break
        if at < len(words) and words[at].text == "(":
            path.pop()  # a function's or a method's name
        if path:
            yield start, tuple(path)


def _compiled(text: str) -> Any:
    import cel

    try:
        return cel.compile(text)
    except ValueError as error:
        line = str(error).splitlines()[0]
        reason = line.partition("ERROR: ")[2] or line
        raise InputError(f"{text!r} is not CEL: {reason}", 'write it like "ax < -4.0 && bat.percent < 20"') from None


def _evaluate(text: str) -> Any:
    """Return the value of a part that reads no names; raise LookupError where it reads some or has no value."""
    try:
        program = _compiled(text)
        if program.variables():
            raise LookupError(text)
        return program.execute({})
    except (InputError, RuntimeError, TypeError, ValueError, ArithmeticError) as error:
        raise LookupError(text) from error


def _is_known(function: str) -> bool:
    """Tell whether CEL has a function: it has no list of them, so each way to call one is tried."""
    missing = f"'{function}'"
    for probe in _PROBES:
        try:
            _compiled(probe.format(function)).execute({})
        except RuntimeError as error:
            if "Undefined" not in str(error) or missing not in str(error):
                return True
        except (TypeError, ValueError, LookupError, ArithmeticError, InputError):
            return True
        else:
            return True
    return False

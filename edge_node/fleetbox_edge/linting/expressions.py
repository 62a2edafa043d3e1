"""Lint one CEL expression: does it compile, can it hold, what may be missing where it is judged."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from fleetbox.errors import InputError
from fleetbox_edge.linting.findings import Finding
from fleetbox_edge.linting.names import Scope, lint_labels, lint_names, paths
from fleetbox_edge.linting.solving import Kind, always, never
from fleetbox_edge.linting.terms import Junction, Test, read_term
from fleetbox_edge.linting.trial import lint_types
from fleetbox_edge.triggers.expressions import compile_expression
from fleetbox_edge.triggers.readings import LEVELS
from fleetbox_query.cel_text import tokens

_PROBES = (
    "{}('1')", "{}(1.5)", "{}([1])", "'a'.{}('a')", "'a'.{}(0)", "[1].{}()", "duration('1s').{}()",
    "timestamp('2020-01-01T00:00:00Z').{}()",
)  # fmt: skip
_OPERATOR = re.compile(r"\W|_.*_|@.*")


def lint_expression(text: str, key: str, scope: Scope) -> list[Finding]:
    """Return what is wrong with an expression; `key` is its place in the file."""
    try:
        program = compile_expression(text)
        words = tokens(text)
    except InputError as error:
        return [Finding("error", key, error.message, error.next_step or "write it as CEL")]
    unknown = [name for name in program.functions() if not _OPERATOR.fullmatch(name) and not _is_known(name)]
    if unknown:
        step = "use comparisons, &&, ||, !, in, has(), matches(), startsWith(), contains(), size()"
        return [Finding("error", key, f"{text!r} calls {', '.join(unknown)}(), which CEL does not have", step)]
    lacking = [*lint_names(words, frozenset(program.variables()), key, scope)]
    found = [*_lint_logic(text, key, scope), *lint_labels(text, words, key), *lacking]
    if scope.names is None or any(finding.level == "error" for finding in found):
        return found
    return [*found, *lint_types(text, program, words, key, scope)]


def names_in(text: str) -> frozenset[str]:
    """Return the first parts of all names that an expression reads; none where it does not compile."""
    try:
        return frozenset(compile_expression(text).variables())
    except InputError:
        return frozenset()


def _lint_logic(text: str, key: str, scope: Scope) -> Iterator[Finding]:
    term = read_term(text, _evaluate)
    yield from _lint_levels(term, key)
    words = tokens(text)
    labels: dict[str, Kind] = {".".join(path): "text" for _, path in paths(words) if path[0] == "labels" and path[1:]}
    said = {**(scope.names or {}), **scope.roots, **labels}
    kinds = {name: kind for name, kind in said.items() if kind is not None}
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


def _lint_levels(term: Any, key: str) -> Iterator[Finding]:
    """Find levels of log lines as nobody is told them: they are lower case, and one word each."""
    if isinstance(term, Junction):
        for part in term.parts:
            yield from _lint_levels(part, key)
    elif isinstance(term, Test) and term.subject == "level" and isinstance(term.literal, str):
        told = LEVELS.get(term.literal.lower(), term.literal.lower())
        if told != term.literal:
            message = f"no line's level is ever {term.literal!r}"
            yield Finding("error", key, message, f"write level {term.op} {told!r}: debug, info, warning, error, fatal")


def _evaluate(text: str) -> Any:
    """Return the value of a part that reads no names; raise LookupError where it reads some or has no value."""
    try:
        program = compile_expression(text)
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
            compile_expression(probe.format(function)).execute({})
        except RuntimeError as error:
            if "Undefined" not in str(error) or missing not in str(error):
                return True
        except (TypeError, ValueError, LookupError, ArithmeticError, InputError):
            return True
        else:
            return True
    return False

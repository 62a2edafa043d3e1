"""Find the names that an expression reads, and what of them may be missing where it is judged."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from fleetbox_edge.linting.findings import Finding
from fleetbox_edge.linting.solving import Kind
from fleetbox_query.cel_text import Token


@dataclass(frozen=True, slots=True)
class Scope:
    """Say what an expression may speak of: names -> kind (None: not known), or None where any name may be a field.

    `where` says in words what the names are of.
    """

    names: Mapping[str, Kind | None] | None = None
    roots: Mapping[str, Kind | None] = field(default_factory=dict)  # always there, whatever the stream
    where: str = ""
    dtypes: Mapping[str, str] = field(default_factory=dict)  # of the names


def lint_labels(text: str, words: Sequence[Token], key: str) -> Iterator[Finding]:
    """Find labels read without asking first whether the record has them: CEL raises where it has not."""
    guarded: set[str] = set()
    for at, path in paths(words):
        if path[0] != "labels" or len(path) < 2:
            continue
        name = path[1]
        if at >= 2 and (words[at - 2].text, words[at - 1].text) == ("has", "("):
            guarded.add(name)
        elif name not in guarded and not _is_named_in(words[:at], name):
            message = f"{text!r} reads labels.{name} unguarded: it fails on every record without that label"
            yield Finding("error", key, message, f"write has(labels.{name}) && ... before it")
            guarded.add(name)


def lint_names(words: Sequence[Token], variables: frozenset[str], key: str, scope: Scope) -> Iterator[Finding]:
    """Find names that no field of the streams bears."""
    if scope.names is None:
        return
    told: set[str] = set()
    for _, path in paths(words):
        name = ".".join(path)
        if path[0] not in variables or path[0] in scope.roots or name in told or _has_field(path, scope.names):
            continue
        told.add(name)
        have = ", ".join(sorted(scope.names)[:8]) or "no fields"
        yield Finding("error", key, f"{scope.where} has no field {name!r}", f"it has {have}")


def paths(words: Sequence[Token]) -> Iterator[tuple[int, tuple[str, ...]]]:
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


def _has_field(path: tuple[str, ...], fields: Mapping[str, Kind | None]) -> bool:
    name = ".".join(path)
    return any(field == name or field.startswith(name + ".") or name.startswith(field + ".") for field in fields)


def _is_named_in(words: Sequence[Token], name: str) -> bool:
    """Tell whether `'name' in labels` was asked before."""
    texts = [word.text for word in words]
    asked = ([f"'{name}'", "in", "labels"], [f'"{name}"', "in", "labels"])
    return any(texts[at : at + 3] in asked for at in range(len(texts)))

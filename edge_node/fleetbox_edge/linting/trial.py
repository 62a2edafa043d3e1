"""Try an expression on made-up records of a stream's own fields: what always fails there fails on the robot."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fleetbox_edge.linting.findings import Finding
from fleetbox_edge.linting.names import Scope, paths
from fleetbox_edge.linting.solving import Kind
from fleetbox_edge.triggers.readings import nested
from fleetbox_query.cel_text import Token

SAMPLES: tuple[dict[str, Any], ...] = (  # a part behind && or || runs in one of them
    {"float": 1.5, "int": 3, "string": "a", "bool": True},
    {"float": -1.5, "int": -3, "string": "", "bool": False},
)


def lint_types(text: str, program: Any, words: Sequence[Token], key: str, scope: Scope) -> Iterator[Finding]:
    """Run the expression on made-up records of the fields' kinds: what always fails there fails on the robot."""
    labels = {path[1]: "a" for _, path in paths(words) if path[0] == "labels" and len(path) > 1}
    failures = []
    for sample in SAMPLES:
        given = _made_up(scope, labels, sample)
        if not given.keys() >= set(program.variables()):
            return  # it reads another stream, of which nothing is known
        try:
            program.execute(given)
            return
        except (TypeError, LookupError) as error:
            failures.append(str(error).partition(". ")[0])
        except (RuntimeError, ValueError, ArithmeticError) as error:
            if "regex" not in str(error):
                return  # it may depend on the very value: double(text)
            failures.append(str(error).partition("\n")[0])
    step = "CEL mixes no kinds: write 2.0 beside a float, int(x) or double(x) to turn one into the other"
    yield Finding("error", key, f"{text!r} fails on every record: {failures[0]}", step)


def kind_of(dtype: str) -> Kind | None:
    """Return what a field of a dtype is compared with, None for lists and what is not known."""
    if dtype in ("string", "utf8"):
        return "text"
    if dtype in ("bool", "boolean"):
        return "truth"
    return "number" if re.fullmatch(r"u?int\d+|float\d*|double|half_float", dtype) else None


def _made_up(scope: Scope, labels: Mapping[str, str], sample: Mapping[str, Any]) -> dict[str, Any]:
    fields = {name: _value(name, dtype, sample) for name, dtype in scope.dtypes.items()}
    rate = {name: sample["float"] for name, dtype in scope.dtypes.items() if kind_of(dtype) == "number"}
    text, stream = sample["string"], scope.where
    whole = {"labels": labels, "text": text, "level": text, "hz": abs(sample["float"]), "stream": stream}
    return {**whole, "rate": nested(rate), "fields": fields, **nested(fields)}


def _value(name: str, dtype: str, sample: Mapping[str, Any]) -> Any:
    kind = kind_of(dtype)
    if kind == "number":
        return sample["int"] if "int" in dtype else sample["float"]
    return sample["string"] if kind == "text" else sample["bool"] if kind == "truth" else [sample["float"]]

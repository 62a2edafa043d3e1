"""Join what a stream's chunks, over time, say of its fields: a number that was a float once is one for good."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_WHOLE = frozenset(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64))
_NUMBERS = _WHOLE | {"half_float", "float32", "float64"}


def widened(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return fields (name -> {"dtype", "shape"?, ...}) as both tell them, what comes after going before.

    Whole numbers and floats are float64, as readers give them out; lists whose lengths differ have a null length.
    """
    told = {name: _joined(before[name], said) if name in before else dict(said) for name, said in after.items()}
    return {**{name: dict(said) for name, said in before.items()}, **told}


def _joined(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """Return one field as both tell it; a kind that is no number replaces the one before."""
    said = {**before, **after}
    kinds = {str(before.get("dtype", "")), str(after.get("dtype", ""))}
    old, new = before.get("shape") or [], after.get("shape") or []
    if not new:
        said.pop("shape", None)
    if len(old) != len(new) or not kinds <= _NUMBERS:
        return said
    if len(kinds) > 1:
        said["dtype"] = "int64" if kinds <= _WHOLE - {"uint64"} else "float64"
    if old != new:
        said["shape"] = [one if one == other else None for one, other in zip(old, new, strict=True)]
    return said

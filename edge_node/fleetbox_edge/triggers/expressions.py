"""Load the compiler of expressions, which takes a moment, only where a policy has some."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fleetbox.errors import InputError


def compile_expression(text: str) -> Any:
    """Return CEL text as a program; raise InputError for text that is none."""
    import cel

    try:
        return cel.compile(text)
    except ValueError as error:
        first = str(error).splitlines()[0]
        reason = first.partition("ERROR: ")[2] or first
        raise InputError(f"{text!r} is not CEL: {reason}", "write it like \"ax < -4.0 && text == ''\"") from None


def contexts() -> Callable[[dict[str, Any]], Any]:
    """Return what makes of names and values a context, on which many programs run.

    It raises TypeError, ValueError or OverflowError for a value that CEL has no type for.
    """
    from cel import Context

    return lambda variables: Context(variables=variables)

"""Compute fields from others by arithmetic: `sqrt(vx*vx + vy*vy)`, `ax > 5 && !braking`, over a whole chunk at once."""

from __future__ import annotations

import ast
import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from fleetbox.errors import InputError

if TYPE_CHECKING:
    import pyarrow as pa

MOST_CHARS = 500
CONSTANTS = {"pi": math.pi, "e": math.e}
ONE = ("abs", "sqrt", "exp", "log", "log10", "sin", "cos", "tan", "asin", "acos", "atan", "floor", "ceil", "round")
TWO = ("atan2", "hypot", "min", "max")  # min and max take more, too
FUNCTIONS = (*ONE, *TWO)
_NUMPY = {"asin": "arcsin", "acos": "arccos", "atan": "arctan", "atan2": "arctan2", "min": "minimum", "max": "maximum",
          "round": "rint"}  # fmt: skip
_BINARY: dict[type[ast.AST], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
    ast.Mod: operator.mod, ast.Pow: operator.pow, ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt,
    ast.GtE: operator.ge, ast.Eq: operator.eq, ast.NotEq: operator.ne,
}  # fmt: skip


def check_computed(text: str) -> tuple[str, ...]:
    """Return the names of the fields an expression reads; raises InputError for what is no arithmetic."""
    return _parsed(text)[1]


def with_computed(table: pa.Table, computed: Sequence[tuple[str, str]]) -> pa.Table:
    """Return a chunk's table with computed columns; one whose fields this chunk lacks stays away.

    Missing values make NaN, and where the sum is a truth value, null.
    """
    import pyarrow as pa

    for name, text in computed:
        wanted = check_computed(text)
        if not all(one in table.column_names for one in wanted):
            continue
        values = {one: _floats(table[one], one, text) for one in wanted}
        found = pa.array(_computed(text, values, table.num_rows))
        at = table.column_names.index(name) if name in table.column_names else None
        table = table.append_column(name, found) if at is None else table.set_column(at, name, found)
    return table


def add_columns(columns: dict[str, list[Any]], computed: Sequence[tuple[str, str]]) -> None:
    """Add computed fields to a chunk's columns; one whose fields it lacks stays away."""
    import numpy as np

    rows = len(next(iter(columns.values()), ()))
    for name, text in computed:
        wanted = check_computed(text)
        if all(one in columns for one in wanted):
            values = {one: _array(np.array(columns[one], object), one, text) for one in wanted}
            columns[name] = _computed(text, values, rows).tolist()


def _computed(text: str, values: Mapping[str, Any], rows: int) -> Any:
    import numpy as np

    with np.errstate(all="ignore"):  # 0/0 is NaN, as in the robot's own numbers
        found = np.asarray(_value(_parsed(text)[0], values))
    kind = np.bool_ if found.dtype == np.bool_ else np.float64
    return np.broadcast_to(found.astype(kind), (rows,)).copy()


def _floats(column: Any, name: str, text: str) -> Any:
    import pyarrow as pa

    if not any(test(column.type) for test in (pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean)):
        raise InputError(f"field {name!r} in {text!r} is no number but {column.type}", "compute with numbers")
    if pa.types.is_boolean(column.type):
        column = column.cast(pa.uint8())
    return column.cast(pa.float64(), safe=False).to_numpy()


def _array(values: Any, name: str, text: str) -> Any:
    try:
        return values.astype(float)
    except (TypeError, ValueError):
        raise InputError(f"field {name!r} in {text!r} is no number", "compute with numbers") from None


def _value(node: ast.expr, values: Mapping[str, Any]) -> Any:
    import numpy as np

    match node:
        case ast.Constant(value=value):
            return value if isinstance(value, bool) else np.float64(value)  # type: ignore[arg-type]
        case ast.Name() | ast.Attribute():
            name = _name(node)
            return values[name] if name in values else CONSTANTS[name]
        case ast.UnaryOp(op=ast.Not(), operand=one):
            return np.logical_not(_value(one, values))
        case ast.UnaryOp(op=ast.USub(), operand=one):
            return -_value(one, values)
        case ast.BinOp(left=left, op=op, right=right):
            return _BINARY[type(op)](_value(left, values), _value(right, values))
        case ast.Compare(left=left, ops=[op], comparators=[right]):
            return _BINARY[type(op)](_value(left, values), _value(right, values))
        case ast.BoolOp(op=op, values=parts):
            each = [np.asarray(_value(part, values), bool) for part in parts]
            return (np.logical_and if isinstance(op, ast.And) else np.logical_or).reduce(np.broadcast_arrays(*each))
        case ast.IfExp(test=test, body=body, orelse=other):
            return np.where(_value(test, values), _value(body, values), _value(other, values))
        case ast.Call(func=ast.Name(id=name), args=parts):
            function = getattr(np, _NUMPY.get(name, name))
            each = [_value(part, values) for part in parts]
            found = each[0] if name in TWO else function(each[0])
            for part in each[1:]:
                found = function(found, part)
            return found
    raise AssertionError(ast.dump(node))


@lru_cache(maxsize=256)
def _parsed(text: str) -> tuple[ast.expr, tuple[str, ...]]:
    """Return an expression's tree, checked, and the fields it reads."""
    written = re.sub(r"!(?!=)", " not ", text.replace("&&", " and ").replace("||", " or "))
    try:
        if len(text) > MOST_CHARS:
            raise SyntaxError(f"it is longer than {MOST_CHARS} characters")
        tree = ast.parse(written.strip(), mode="eval").body
        names: dict[str, None] = {}
        _check(tree, names)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        why = error.msg if isinstance(error, SyntaxError) else str(error)
        raise InputError(
            f"{text!r} cannot be computed: {why}",
            f"write it like sqrt(vx*vx + vy*vy), with + - * / % **, comparisons, && || !, {', '.join(FUNCTIONS)}",
        ) from None
    return tree, tuple(name for name in names if name not in CONSTANTS)


def _check(node: ast.expr, names: dict[str, None]) -> None:
    """Raise SyntaxError for anything but arithmetic; collect the names."""
    match node:
        case ast.Constant(value=value) if isinstance(value, bool | int | float):
            return
        case ast.Name() | ast.Attribute():
            names[_name(node)] = None
        case ast.UnaryOp(op=ast.Not() | ast.USub(), operand=one):
            _check(one, names)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
            _check(left, names)
            _check(right, names)
        case ast.Compare(left=left, ops=[op], comparators=[right]) if type(op) in _BINARY:
            _check(left, names)
            _check(right, names)
        case ast.BoolOp(values=parts):
            for part in parts:
                _check(part, names)
        case ast.IfExp(test=test, body=body, orelse=other):
            for part in (test, body, other):
                _check(part, names)
        case ast.Call(func=ast.Name(id=name), args=parts, keywords=[]) if name in FUNCTIONS:
            if (name in ONE and len(parts) != 1) or (name in TWO and len(parts) < 2):
                raise SyntaxError(f"{name}() takes {'one value' if name in ONE else 'two'}")
            for part in parts:
                _check(part, names)
        case _:
            raise SyntaxError(f"{ast.unparse(node)!r} is no arithmetic")


def _name(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return f"{_name(node.value)}.{node.attr}"
    if isinstance(node, ast.Name):
        return node.id
    raise SyntaxError(f"{ast.unparse(node)!r} is no field")

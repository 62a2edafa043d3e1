"""Turn columns of scalars into InfluxDB line protocol."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from fleetbox.errors import FleetboxError

_KEY = re.compile(r"([,= ])")  # what line protocol wants escaped in tags and field names
_MEASUREMENT = re.compile(r"([, ])")
_UNFIT = re.compile(r"[\x00-\x1f\x7f\\]")  # a line break would begin another point; a backslash has no escape


@dataclass(frozen=True, slots=True)
class Points:
    """Hold scalars of one robot's stream: a time in µs per row, a float64 column per field.

    Columns are anything pyarrow can read (arrow or numpy arrays, lists); a null is a value that was never there.
    """

    stream: str
    robot: str
    site: str
    time_us: Any
    fields: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Lines:
    """Hold line protocol, one string a point; `nan` counts the values left out, `values` those that are in."""

    text: list[str]
    values: int
    nan: int


def slices(points: Iterable[Points], rows: int) -> Iterator[Points]:
    """Cut columns into pieces of so many rows at most, without copying arrays."""
    for part in points:
        for start in range(0, len(part.time_us), rows):
            cut = slice(start, start + rows)
            fields = {name: column[cut] for name, column in part.fields.items()}
            yield replace(part, time_us=part.time_us[cut], fields=fields)


def lines(points: Points) -> Lines:
    """Return one line per row that has a finite value; NaN and infinities are left out and counted.

    Control characters and backslashes in names become underscores.
    InfluxDB refuses the whole request for one NaN. Arrow formats the shortest text that reads back equal.
    """
    pa, pc = _arrow()
    missing, kept = pa.scalar(None, pa.float64()), None
    cells, values, nan = dict[str, Any](), 0, 0
    for name, column in points.fields.items():
        numbers = column if isinstance(column, pa.Array | pa.ChunkedArray) else pa.array(column, pa.float64())
        finite = pc.fill_null(pc.is_finite(numbers), False)
        good = pc.sum(finite).as_py() or 0
        values, nan = values + good, nan + len(numbers) - numbers.null_count - good
        if good:
            cells[name] = pc.if_else(finite, numbers, missing)
            kept = finite if kept is None else pc.or_(kept, finite)
    if kept is None:
        return Lines([], 0, nan)
    # Rows without a value go first: arrow's join with "skip" silently shortens its answer by such rows.
    text = [_cell(name, column.filter(kept)) for name, column in cells.items()]
    times = pc.cast(pa.array(points.time_us, pa.int64()).filter(kept), pa.string())
    body = pc.binary_join_element_wise(*text, ",", null_handling="skip")
    return Lines(pc.binary_join_element_wise(_head(points), body, times, " ").to_pylist(), values, nan)


def _cell(name: str, column: Any) -> Any:
    """Return "name=value" per row, null where there is no value."""
    pa, pc = _arrow()
    return pc.binary_join_element_wise(_escape(_KEY, name) + "=", column.cast(pa.string()), "")


def _head(points: Points) -> str:
    robot, site = _escape(_KEY, points.robot), _escape(_KEY, points.site)
    return f"{_escape(_MEASUREMENT, points.stream)},robot={robot},site={site}"


def _escape(what: re.Pattern[str], text: str) -> str:
    return what.sub(r"\\\1", _UNFIT.sub("_", text))


def _arrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.compute
    except ModuleNotFoundError as error:
        raise FleetboxError(
            "cannot build points for InfluxDB: pyarrow is not installed", "pip install 'fleetbox[site]'"
        ) from error
    return pyarrow, pyarrow.compute

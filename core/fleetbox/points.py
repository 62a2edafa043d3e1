"""Turn columns of scalars into InfluxDB line protocol."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from fleetbox.errors import FleetboxError

_KEY = re.compile(r"([,= \\])")  # what line protocol wants escaped in tags and field names
_MEASUREMENT = re.compile(r"([, \\])")


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

    InfluxDB refuses the whole request for one NaN. Arrow formats the shortest text that reads back equal.
    """
    pa, pc = _arrow()
    cells, values, nan = [], 0, 0
    for name, column in points.fields.items():
        numbers = column if isinstance(column, pa.Array | pa.ChunkedArray) else pa.array(column, pa.float64())
        finite = pc.fill_null(pc.is_finite(numbers), False)
        good = pc.sum(finite).as_py() or 0
        values, nan = values + good, nan + len(numbers) - numbers.null_count - good
        if good:
            text = pc.if_else(finite, numbers, pa.scalar(None, pa.float64())).cast(pa.string())
            cells.append(pc.binary_join_element_wise(_escape(_KEY, name) + "=", text, ""))
    if not cells:
        return Lines([], 0, nan)
    body = pc.binary_join_element_wise(*cells, ",", null_handling="skip")
    times = pc.cast(pa.array(points.time_us, pa.int64()), pa.string())
    text = pc.binary_join_element_wise(_head(points), body, times, " ")
    return Lines(text.filter(pc.not_equal(body, "")).to_pylist(), values, nan)


def _head(points: Points) -> str:
    robot, site = _escape(_KEY, points.robot), _escape(_KEY, points.site)
    return f"{_escape(_MEASUREMENT, points.stream)},robot={robot},site={site}"


def _escape(what: re.Pattern[str], text: str) -> str:
    return what.sub(r"\\\1", text)


def _arrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.compute
    except ModuleNotFoundError as error:
        raise FleetboxError(
            "cannot build points for InfluxDB: pyarrow is not installed", "pip install 'fleetbox[site]'"
        ) from error
    return pyarrow, pyarrow.compute

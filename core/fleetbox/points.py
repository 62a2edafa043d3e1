"""Turn columns of scalars into InfluxDB line protocol."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from fleetbox.errors import FleetboxError
from fleetbox.ledger import MINUTE_US
from fleetbox.measurements import measurement_of
from fleetbox.tallies import NAME, NAN, Minutes, Tally, total

_KEY = re.compile(r"([,= ])")  # what line protocol wants escaped in tags and field names
_MEASUREMENT = re.compile(r"([, ])")
TIME_FIELD = "time"  # InfluxDB keeps the name for itself
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
    """Hold line protocol, one string a point, and per minute what it is made of."""

    text: list[str]
    minutes: Minutes

    @property
    def values(self) -> int:
        """Return how many values are in."""
        return total(self.minutes.values()).values

    @property
    def nan(self) -> int:
        """Return how many NaN and infinities were left out."""
        return total(self.minutes.values()).refused.get(NAN, 0)


def slices(points: Iterable[Points], rows: int) -> Iterator[Points]:
    """Cut columns into pieces of so many rows at most, without copying arrays."""
    for part in points:
        for start in range(0, len(part.time_us), rows):
            cut = slice(start, start + rows)
            fields = {name: column[cut] for name, column in part.fields.items()}
            yield replace(part, time_us=part.time_us[cut], fields=fields)


def lines(points: Points) -> Lines:
    """Return one line per row that has a finite value; NaN, infinities and a field called `time` are left out.

    Control characters and backslashes in names become underscores.
    InfluxDB refuses the whole request for one NaN, and drops a field called `time` while it answers that all is well.
    Arrow formats the shortest text that reads back equal.
    """
    pa, pc = _arrow()
    missing, counting = pa.scalar(None, pa.float64()), _Counting(len(points.time_us))
    cells = {
        name: numbers if finite is None else pc.if_else(finite, numbers, missing)
        for name, numbers, finite in _finite(points, counting)
    }
    times_us = pa.array(points.time_us, pa.int64())
    minutes, kept = counting.by_minute(times_us), counting.kept
    if not cells:
        return Lines([], minutes)
    # Rows without a value go first: arrow's join with "skip" silently shortens its answer by such rows.
    text = [_cell(name, column.filter(kept)) for name, column in cells.items()]
    times = pc.cast(times_us.filter(kept), pa.string())
    body = pc.binary_join_element_wise(*text, ",", null_handling="skip")
    return Lines(pc.binary_join_element_wise(_head(points), body, times, " ").to_pylist(), minutes)


def counted(points: Points) -> Minutes:
    """Return per minute what `lines` would make of the points, without making any."""
    counting = _Counting(len(points.time_us))
    for _ in _finite(points, counting):
        pass
    return counting.by_minute(_arrow()[0].array(points.time_us, _arrow()[0].int64()))


def clean(name: str) -> str:
    """Return a name as InfluxDB gets it: control characters and backslashes become underscores."""
    return _UNFIT.sub("_", name)


def _finite(points: Points, counting: _Counting) -> Iterator[tuple[str, Any, Any]]:
    """Yield the fields that have a value: name, column, which of it are numbers (None: all); count the others."""
    pa, pc = _arrow()
    for name, column in points.fields.items():
        numbers = column if isinstance(column, pa.Array | pa.ChunkedArray) else pa.array(column, pa.float64())
        finite = pc.fill_null(pc.is_finite(numbers), False)
        if name == TIME_FIELD:
            counting.leave_out(NAME, finite)
            continue
        found = counting.take(finite)
        if found == len(numbers):  # nearly always: nothing to leave out
            yield name, numbers, None
        else:
            counting.leave_out(NAN, pc.and_not(numbers.is_valid(), finite))
            if found:
                yield name, numbers, finite


class _Counting:
    """Count, row by row, the values that are in and those left out."""

    def __init__(self, rows: int) -> None:
        import numpy as np

        self._np = np
        self._values = np.zeros(rows, np.int64)
        self._left: dict[str, Any] = {}

    def take(self, finite: Any) -> int:
        """Count a column's values that are in; return how many."""
        mask = self._np.asarray(finite)
        self._values += mask
        return int(self._np.count_nonzero(mask))

    def leave_out(self, reason: str, wrong: Any) -> None:
        """Count a column's values that are left out."""
        mask = self._np.asarray(wrong)
        if mask.any():
            self._left[reason] = self._left.get(reason, 0) + mask.astype(self._np.int64)

    @property
    def kept(self) -> Any:
        """Return which rows have a value, as arrow's booleans."""
        return _arrow()[0].array(self._values > 0)

    def by_minute(self, times_us: Any) -> Minutes:
        """Return the counts per minute of the rows' times."""
        np = self._np
        minutes, where = np.unique(np.asarray(times_us) // MINUTE_US, return_inverse=True)

        def add_up(counts: Any) -> Any:
            return np.bincount(where, counts, len(minutes)).astype(np.int64).tolist()

        rows, values = add_up(np.ones(len(where))), add_up(self._values)
        made = add_up(self._values > 0)
        left = {reason: add_up(counts) for reason, counts in self._left.items()}
        return {
            int(minute) * MINUTE_US: Tally(
                rows[at], made[at], values[at], {reason: counts[at] for reason, counts in left.items() if counts[at]}
            )
            for at, minute in enumerate(minutes)
        }


def _cell(name: str, column: Any) -> Any:
    """Return "name=value" per row, null where there is no value."""
    pa, pc = _arrow()
    return pc.binary_join_element_wise(_escape(_KEY, name) + "=", column.cast(pa.string()), "")


def _head(points: Points) -> str:
    robot, site = _escape(_KEY, points.robot), _escape(_KEY, points.site)
    return f"{_escape(_MEASUREMENT, measurement_of(points.stream))},robot={robot},site={site}"


def _escape(what: re.Pattern[str], text: str) -> str:
    return what.sub(r"\\\1", clean(text))


def _arrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.compute
    except ModuleNotFoundError as error:
        raise FleetboxError(
            "cannot build points for InfluxDB: pyarrow is not installed", "pip install 'fleetbox[site]'"
        ) from error
    return pyarrow, pyarrow.compute

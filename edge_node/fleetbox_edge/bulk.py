"""Cut a bulk producer's columns into pieces that fit a chunk."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from fleetbox import chunks
from fleetbox.errors import InputError
from fleetbox.time import MAX_TIME_US, check_time
from fleetbox.types import time_series

_DAY_US = 86_400_000_000


@dataclass(frozen=True, slots=True)
class Piece:
    """Hold consecutive rows as an Arrow stream; stamps rise strictly within."""

    rows: int
    start_us: int
    stop_us: int
    kinds: dict[str, str]
    data: bytes


def pieces(
    times: Any, arrays: Mapping[str, Any], bound_us: int, choose: Callable[[Any], Any] | None = None
) -> list[Piece]:
    """Return the rows as pieces of at most a chunk's bytes and `bound_us`, cut where time runs backward.

    times: one stamp per row, as int64 µs (or ns, ms, s by their size), float s, or datetime64. No rows, no pieces.
    arrays: field -> values, one per row; `log_ns`, `publish_ns` and `header_ns` are exact clocks in ns.
    choose: given the stamps in µs, returns the indices of the rows that are recorded, or None for all.
    """
    if not isinstance(arrays, Mapping):
        raise InputError(f"columns given as {type(arrays).__name__}", "give a dict: field name -> values")
    stamps = _stamps(times)
    columns = {name: _column(name, values, len(stamps)) for name, values in arrays.items()}
    if choose is not None and (chosen := choose(stamps)) is not None:
        stamps, columns = stamps[chosen], {name: values[chosen] for name, values in columns.items()}
    clocks = {name: columns.pop(name) for name in chunks.CLOCKS if name in columns}
    if not columns and not clocks:
        raise InputError("columns without fields", "give at least one field")
    time_series.flatten(dict.fromkeys(columns, 0.0) or 0.0)  # names obey the rule of rows
    kinds = {name: f"{values.dtype.str}{values.shape[1:]}" for name, values in (columns | clocks).items()}
    made = []
    for first, end, rising in _cuts(stamps, _rows_per_piece(columns, len(stamps)), bound_us):
        data = chunks.encode(
            rising,
            {name: values[first:end] for name, values in columns.items()},
            clocks={name: values[first:end] for name, values in clocks.items()},
            compression="none",  # the agent's thread compresses; the caller only copies
        )
        made.append(Piece(end - first, int(rising[0]), int(rising[-1]), kinds, data))
    return made


def _stamps(times: Any) -> Any:
    import numpy as np

    given = _array(times, "times")
    if given.ndim != 1:
        raise InputError(f"times of {given.ndim} dimensions", "give one stamp per row")
    if given.dtype.kind not in "iufM":
        raise InputError(f"times of type {given.dtype}", "give whole µs, seconds or datetime64")
    if not len(given):
        return np.empty(0, np.int64)
    if given.dtype.kind == "M":
        return _of_dates(given)
    if given.dtype.kind == "f" and not np.isfinite(given).all():
        raise InputError("times that are not finite", "drop those rows")
    size = abs(float(given[0]))  # told apart by size, as everywhere
    scale = 1e-3 if size >= 1e17 else 1.0 if size >= 1e14 else 1e3 if size >= 1e11 else 1e6
    for extreme in (given.min(), given.max()):
        check_time(int(float(extreme) * scale))  # in float first: int64 would wrap around in silence
    if given.dtype.kind == "f":
        return np.round(given * scale).astype(np.int64)
    return (given // 1000).astype(np.int64) if scale < 1 else given.astype(np.int64) * int(scale)


def _of_dates(given: Any) -> Any:
    """Return datetime64 as µs; what is no time (NaT) or no time of ours raises."""
    import numpy as np

    days = given.astype("datetime64[D]").astype(np.int64)  # µs of a far year would wrap around in silence
    if days.min() < 0 or days.max() * _DAY_US >= MAX_TIME_US:
        raise InputError("times that are NaT, before 1970 or after the year 9999", "drop those rows")
    return given.astype("datetime64[us]").astype(np.int64)


def _array(values: Any, what: str) -> Any:
    import numpy as np

    try:
        return np.asarray(values)
    except (ValueError, TypeError, OverflowError) as error:
        raise InputError(f"{what} cannot be an array: {error}", "give one value per row, all of one kind") from error


def _column(name: str, values: Any, rows: int) -> Any:
    column = _array(values, f"field {name!r}")
    if column.dtype.kind not in "fiubUO" or column.ndim < 1:
        raise InputError(f"field {name!r} holds {column.dtype}", "give numbers, truth values or text")
    if len(column) != rows:
        raise InputError(f"field {name!r} has {len(column)} values for {rows} times", "give one value per time")
    if name in chunks.CLOCKS and column.dtype.kind not in "iu":
        raise InputError(f"clock {name!r} holds {column.dtype}", "give whole ns")
    return column


def _rows_per_piece(columns: Mapping[str, Any], rows: int) -> int:
    row_bytes = 8 + sum(max(1, int(values.nbytes) // max(1, rows)) for values in columns.values())
    return max(1, chunks.MAX_BYTES // row_bytes)


def _cuts(stamps: Any, most_rows: int, bound_us: int) -> Iterator[tuple[int, int, Any]]:
    """Yield (first, end, strictly rising stamps)."""
    import numpy as np

    falls = np.flatnonzero(np.diff(stamps) < 0) + 1
    for run_first, run_end in zip([0, *falls], [*falls, len(stamps)], strict=True):
        run = stamps[run_first:run_end]
        if len(run) > 1 and (np.diff(run) == 0).any():
            steps = np.arange(len(run))
            run = np.maximum.accumulate(run - steps) + steps
        first = 0
        while first < len(run):
            end = min(first + most_rows, int(np.searchsorted(run, run[first] + bound_us)))
            yield int(run_first) + first, int(run_first) + end, run[first:end]
            first = end

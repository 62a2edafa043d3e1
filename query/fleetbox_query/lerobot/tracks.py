"""Read the numbers of a stretch of time as tracks: exact times and one row of values for each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fleetbox import chunks
from fleetbox.errors import InputError
from fleetbox.settings.lerobot import ClockOf, Dtype
from fleetbox_query.items import chosen_fields
from fleetbox_query.lerobot.grid import Picked

if TYPE_CHECKING:
    import pyarrow as pa

NS_PER_US = 1_000
_OVER_BOUND = 2**53  # whole numbers beyond it are no float64


class Unfit(Exception):
    """Tell why an interval makes no episode; it is left out and named, the others go on."""


@dataclass(frozen=True, slots=True)
class Track:
    """Hold one source in order of its clock: times in ns, values as (rows, names), and rows left out.

    holes: rows in which a chosen value is missing or not a number; they stand for no frame.
    """

    times_ns: Any
    values: Any
    names: tuple[str, ...]
    holes: int = 0


def track_of(table: pa.Table, name: str, globs: Sequence[str | None], clock: ClockOf, *, text: bool = False) -> Track:
    """Return a table's chosen fields as a track; fields in the order of the globs, lists as one value each.

    Rows of equal time keep the last one. Raises Unfit for fields that are not there, not numbers, or of changing
    length, and for a clock that rows lack.
    """
    import numpy as np

    times = times_of(table, name, clock)
    columns = _chosen(table, name, globs)
    if text:
        values, names = np.array([table[column].to_pylist() for column in columns], dtype=object).T, tuple(columns)
        bad: Any = np.array([any(value is None for value in row) for row in values], dtype=bool)
    else:
        parts = [_numbers(table[column], name, column) for column in columns]
        values = np.concatenate([part for part, _ in parts], axis=1) if parts else np.empty((0, 0))
        names = tuple(one for _, found in parts for one in found)
        bad = ~np.isfinite(values).all(axis=1)
    times, values = times[~bad], values[~bad]
    order = np.argsort(times, kind="stable")
    times, values = times[order], values[order]
    last = np.flatnonzero(np.diff(times, append=times[-1:] + 1))
    return Track(times[last], values[last], names, int(bad.sum()))


def times_of(table: pa.Table, name: str, clock: ClockOf) -> Any:
    """Return a table's times in ns on a clock."""
    import pyarrow as pa

    if clock == "record":
        return table[chunks.TIME].cast(pa.int64()).to_numpy() * NS_PER_US
    column = f"{clock}_ns"
    if column not in table.column_names or table[column].null_count:
        raise Unfit(f'{name} has no {clock} clock on every row; use clock = "record"')
    return table[column].cast(pa.int64()).to_numpy()


def sampled(track: Track, picked: Picked, now_ns: Any, *, linear: bool) -> Any:
    """Return the values at the picked records; linear: between each and the next one, by time."""
    import numpy as np

    values = track.values[picked.index]
    if not linear:
        return values
    after = (picked.index + 1).clip(max=len(track.times_ns) - 1)
    span = track.times_ns[after] - track.times_ns[picked.index]
    share = np.where(span > 0, (now_ns - track.times_ns[picked.index]) / np.maximum(span, 1), 0.0)
    return values + (track.values[after] - values) * share[:, None]


def cast(values: Any, dtype: Dtype, feature: str) -> Any:
    """Return values as a feature's dtype; raises Unfit where they do not fit it exactly enough."""
    import numpy as np

    if dtype == "string":
        return values[:, 0]
    if dtype == "int64" and (np.any(values != np.rint(values)) or np.any(np.abs(values) > _OVER_BOUND)):
        raise Unfit(f"{feature} is said to be int64, but has values that are no whole numbers")
    if dtype == "bool" and np.any((values != 0) & (values != 1)):
        raise Unfit(f"{feature} is said to be bool, but has other values than true and false")
    found = values.astype(dtype)
    if dtype == "float32" and not np.isfinite(found).all():
        raise Unfit(f'{feature} has values beyond float32; say dtype = "float64"')
    return found


def joined(tracks: Mapping[str, Track], sources: Sequence[str]) -> tuple[str, ...]:
    """Return the names of a feature's numbers: as the fields are called, with their stream where two would be alike."""
    plain = [name for source in sources for name in tracks[source].names]
    if len(set(plain)) == len(plain):
        return tuple(plain)
    return tuple(f"{source.partition(':')[0]}.{name}" for source in sources for name in tracks[source].names)


def _chosen(table: pa.Table, name: str, globs: Sequence[str | None]) -> list[str]:
    reserved = {chunks.TIME, chunks.CDR, *chunks.CLOCKS}
    fields = [one for one in table.column_names if one not in reserved]
    found: dict[str, None] = {}
    for glob in globs:
        chosen = chosen_fields(fields, None if glob is None else (glob,))
        if not chosen:
            raise Unfit(f"{name} has no field {glob or 'at all'}; it has {', '.join(fields[:10]) or 'none'}")
        found |= dict.fromkeys(chosen)
    return list(found)


def _numbers(column: pa.ChunkedArray, name: str, field: str) -> tuple[Any, list[str]]:
    """Return a column as (rows, n) floats with a name for each; a missing value is NaN."""
    import numpy as np
    import pyarrow as pa

    kind = column.type
    if pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind) or pa.types.is_large_list(kind):
        return _lists(column.combine_chunks(), name, field)
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)):
        raise Unfit(f"{name}:{field} holds {kind}, not numbers")
    values = column.cast(pa.float64(), safe=False) if not pa.types.is_boolean(kind) else column.cast(pa.int8())
    array = values.to_numpy().astype(np.float64)
    return array[:, None], [field]


def _lists(column: pa.Array, name: str, field: str) -> tuple[Any, list[str]]:
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    widths = pc.unique(pc.list_value_length(column.drop_null())).to_pylist()
    if len(widths) > 1:
        raise Unfit(f"{name}:{field} holds lists of {' and '.join(map(str, sorted(widths)))}; a feature has one length")
    found = np.full((len(column), widths[0] if widths else 1), np.nan)
    if widths:
        flat = column.drop_null().flatten()
        if pa.types.is_nested(flat.type) or pa.types.is_string(flat.type) or pa.types.is_binary(flat.type):
            raise Unfit(f"{name}:{field} holds {column.type}, not a list of numbers")
        found[column.is_valid().to_numpy(zero_copy_only=False)] = (
            flat.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False).reshape(-1, widths[0])
        )
    return found, [f"{field}.{at}" for at in range(found.shape[1])]


def check_text(tracks: Sequence[Track], feature: str) -> None:
    """Raise InputError where a text feature would be several."""
    if len(tracks) != 1 or len(tracks[0].names) != 1:
        raise InputError(f"{feature} is text and has several fields", "name one, such as ['task:state']")

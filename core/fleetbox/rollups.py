"""Roll columns of numbers up into steps of time: least, mean, greatest, last value and how many."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fleetbox.measurements import ROLLUP_S, ROLLUPS
from fleetbox.points import TIME_FIELD, Points, clean

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

SECOND_US = ROLLUP_S * 1_000_000


@dataclass(frozen=True, slots=True)
class Rolled:
    """Hold one field's steps in order of time, each as long as asked: where it starts in µs, and what lies in it.

    Arrays of equal length; every step has a value. `last` is the value of the latest row. So two of a step's parts
    make the whole (see `fold`), and no row is needed any more.
    """

    at_us: Array
    min: Array
    mean: Array
    max: Array
    last: Array
    count: Array

    def of(self, wanted: Array) -> Rolled:
        """Return some of the steps: those at the places, or where the truth values say so."""
        return Rolled(*(getattr(self, name)[wanted] for name in ("at_us", *ROLLUPS)))


def rolled(parts: Sequence[Points], step_us: int = SECOND_US, *, overlapping: bool = False) -> dict[str, Rolled]:
    """Return the steps of each field, named as InfluxDB has it; NaN, infinities, nulls and a field `time` are left out.

    Parts are chunks, or chunks joined, of one stream. With `overlapping` a row whose time an earlier part has too
    counts once, as InfluxDB would hold it once; without, parts must not share a time.
    """
    import numpy as np

    columns: dict[str, list[tuple[Array, Array, int]]] = {}
    for rank, part in enumerate(parts):
        times_us = np.asarray(part.time_us, np.int64)
        for name, column in part.fields.items():
            values = np.asarray(column, np.float64)
            there = np.isfinite(values)
            if name != TIME_FIELD and there.any():
                some = (times_us, values) if there.all() else (times_us[there], values[there])
                columns.setdefault(clean(name), []).append((*some, rank))
    return {name: _steps(*_ordered(found, overlapping), step_us) for name, found in columns.items()}


def fold(parts: Sequence[Rolled], step_us: int = SECOND_US) -> Rolled:
    """Join steps into steps as long or longer; of parts of one step the later part has the later rows."""
    import numpy as np

    at_us = np.concatenate([one.at_us for one in parts])
    order = np.argsort(at_us, kind="stable")
    at_us = at_us[order] // step_us * step_us
    low, mean, high, last, count = (np.concatenate([getattr(one, name) for one in parts])[order] for name in ROLLUPS)
    starts = _starts(at_us)
    lows, highs = np.minimum.reduceat(low, starts), np.maximum.reduceat(high, starts)
    counts = np.add.reduceat(count, starts)
    with np.errstate(over="ignore", invalid="ignore"):
        means = np.add.reduceat(mean * count, starts) / counts
        if not np.isfinite(means).all():  # numbers near the greatest of all: share by share
            shares = mean * (count / np.repeat(counts, np.diff(np.append(starts, len(at_us)))))
            means = np.where(np.isfinite(means), means, np.add.reduceat(shares, starts))
    return Rolled(at_us[starts], lows, means.clip(lows, highs), highs, last[_ends(starts, len(at_us))], counts)


def named(fields: Mapping[str, Rolled]) -> Iterable[tuple[str, Array, Array]]:
    """Yield (name, times, values) of everything in InfluxDB's names: `ax` becomes `ax.min` to `ax.count`."""
    for name, steps in fields.items():
        for kind in ROLLUPS:
            yield f"{name}.{kind}", steps.at_us, getattr(steps, kind)


def points_of(stream: str, robot: str, site: str, fields: Mapping[str, Rolled]) -> Points:
    """Return the steps as points, one per step that any field has."""
    import numpy as np
    import pyarrow as pa

    steps = list(fields.values())
    same = all(one.at_us is steps[0].at_us or np.array_equal(one.at_us, steps[0].at_us) for one in steps)
    times_us = steps[0].at_us if same else np.unique(np.concatenate([one.at_us for one in steps]))
    columns: dict[str, Any] = {}
    for name, at_us, values in named(fields):
        if same:
            columns[name] = pa.array(values, pa.float64())
            continue
        where = np.searchsorted(times_us, at_us)
        wide, missing = np.zeros(len(times_us)), np.ones(len(times_us), bool)
        wide[where], missing[where] = values, False
        columns[name] = pa.array(wide, pa.float64(), mask=missing)
    return Points(stream, robot, site, times_us, columns)


def _ordered(found: Sequence[tuple[Array, Array, int]], overlapping: bool) -> tuple[Array, Array]:
    """Return one field's rows in order of time, rows of equal time in the order given."""
    import numpy as np

    if len(found) == 1:
        times_us, values = found[0][:2]
    else:
        times_us, values = (np.concatenate([one[at] for one in found]) for at in (0, 1))
    if not len(times_us) or ((len(found) == 1 or not overlapping) and (np.diff(times_us) >= 0).all()):
        return times_us, values
    order = np.argsort(times_us, kind="stable")
    times_us, values = times_us[order], values[order]
    if not overlapping:
        return times_us, values
    ranks = np.repeat([one[2] for one in found], [len(one[0]) for one in found])[order]
    starts = _starts(times_us)
    first = np.repeat(ranks[starts], np.diff(np.append(starts, len(times_us))))  # whose rows of that time count
    return times_us[ranks == first], values[ranks == first]


def _steps(times_us: Array, values: Array, step_us: int) -> Rolled:
    import numpy as np

    at_us = times_us // step_us * step_us
    starts = _starts(at_us)
    low, high = np.minimum.reduceat(values, starts), np.maximum.reduceat(values, starts)
    counts = np.diff(np.append(starts, len(values)))
    with np.errstate(over="ignore", invalid="ignore"):
        means = np.add.reduceat(values, starts) / counts
    if not np.isfinite(means).all():
        shares = np.add.reduceat(values / np.repeat(counts, counts), starts)
        means = np.where(np.isfinite(means), means, shares)
    return Rolled(at_us[starts], low, means.clip(low, high), high, values[_ends(starts, len(values))], counts)


def _starts(keys: Array) -> Array:
    """Return where each run of equal keys begins."""
    import numpy as np

    return np.concatenate([[0], np.flatnonzero(np.diff(keys)) + 1])


def _ends(starts: Array, length: int) -> Array:
    """Return where each run ends."""
    import numpy as np

    return np.append(starts[1:], length) - 1

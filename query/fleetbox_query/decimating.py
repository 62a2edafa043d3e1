"""Thin a selection out to so many points a field, in bounded memory, keeping what a picture of it must show."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from fleetbox import chunks
from fleetbox.errors import InputError
from fleetbox_query.batches import Batch
from fleetbox_query.frames import outer, times_of
from fleetbox_query.plan import Window

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import pyarrow as pa

    Array = np.ndarray[Any, Any]

Decimation = Literal["minmax", "lttb", "average", "rms"]
DECIMATIONS: tuple[Decimation, ...] = ("minmax", "lttb", "average", "rms")
LEAST_POINTS = 4
MOST_POINTS = 10_000_000  # more is no thinning; its bins alone would take gigabytes
FINER = 4  # LTTB chooses among this many times more points, the extremes of each stretch (MinMaxLTTB)


@dataclass(frozen=True)
class Bins:
    """Divide the time asked for, without what lies between its windows, into equal stretches; times in µs."""

    windows: tuple[Window, ...]
    count: int

    @property
    def total_us(self) -> int:
        """Return the length of all windows."""
        return sum(stop - start for start, stop in self.windows)

    def of(self, times_us: Array) -> Array:
        """Return the bin of each time."""
        import numpy as np

        starts, ends, before = self._edges()
        at = (np.searchsorted(starts, times_us, side="right") - 1).clip(0)
        inside = np.minimum(times_us, ends[at] - 1) - starts[at] + before[at]
        found: Array = (inside * (self.count / max(1, self.total_us))).astype(np.int64).clip(0, self.count - 1)
        return found

    def centres(self) -> Array:
        """Return the time in the middle of each bin."""
        import numpy as np

        starts, _, before = self._edges()
        middle = ((np.arange(self.count) + 0.5) * (self.total_us / self.count)).astype(np.int64)
        at = (np.searchsorted(before, middle, side="right") - 1).clip(0)
        found: Array = starts[at] + middle - before[at]
        return found

    def _edges(self) -> tuple[Array, Array, Array]:
        import numpy as np

        starts, ends = np.array(self.windows, np.int64).reshape(-1, 2).T
        return starts, ends, np.concatenate([[0], np.cumsum(ends - starts)[:-1]])


@dataclass
class Numbers:
    """Gather one field's numbers by bin: extremes with their times, sums, counts."""

    bins: int
    low: Array = field(init=False)
    high: Array = field(init=False)
    low_us: Array = field(init=False)
    high_us: Array = field(init=False)
    total: Array = field(init=False)
    square: Array = field(init=False)
    count: Array = field(init=False)

    def __post_init__(self) -> None:
        import numpy as np

        self.low, self.high = np.full(self.bins, math.inf), np.full(self.bins, -math.inf)
        self.low_us, self.high_us, self.count = (np.zeros(self.bins, np.int64) for _ in range(3))
        self.total, self.square = np.zeros(self.bins), np.zeros(self.bins)

    def add(self, at: Array, times_us: Array, values: Array) -> None:
        """Take values with their bins, in any order; NaN and infinities count as missing."""
        import numpy as np

        there = np.isfinite(values)
        at, times_us, values = at[there], times_us[there], values[there]
        if not len(at):
            return
        if (np.diff(at) < 0).any():
            order = np.argsort(at, kind="stable")
            at, times_us, values = at[order], times_us[order], values[order]
        firsts = np.concatenate([[0], np.flatnonzero(np.diff(at)) + 1])
        hit, sizes = at[firsts], np.diff(np.append(firsts, len(at)))
        self.count[hit] += sizes
        self.total[hit] += np.add.reduceat(values, firsts)
        self.square[hit] += np.add.reduceat(values * values, firsts)
        self._extreme(np.minimum, (self.low, self.low_us), (hit, firsts, sizes), (times_us, values))
        self._extreme(np.maximum, (self.high, self.high_us), (hit, firsts, sizes), (times_us, values))

    def _extreme(self, pick: Any, known: tuple[Array, Array], runs: Sequence[Array], rows: tuple[Array, Array]) -> None:
        import numpy as np

        (best, best_us), (hit, firsts, sizes), (times_us, values) = known, runs, rows
        found = pick.reduceat(values, firsts)
        same = np.flatnonzero(values == np.repeat(found, sizes))
        first = same[np.searchsorted(same, firsts)]  # the first row of each run that has its extreme
        better = pick(found, best[hit]) != best[hit]
        best[hit[better]], best_us[hit[better]] = found[better], times_us[first[better]]


@dataclass
class Others:
    """Gather one field's other values by bin: whether any was true, else the last one."""

    truths: bool
    last: dict[int, tuple[int, Any]] = field(default_factory=dict)

    def add(self, at: Sequence[int], times_us: Sequence[int], values: Sequence[Any]) -> None:
        """Take values with their bins."""
        for where, time_us, value in zip(at, times_us, values, strict=True):
            if value is None:
                continue
            known = self.last.get(where)
            if self.truths and known is not None and known[1]:
                continue
            if known is None or time_us >= known[0]:
                self.last[where] = (time_us, value)


def check(n: int, method: str) -> None:
    """Raise InputError for a number of points or a method that cannot be meant."""
    if method not in DECIMATIONS:
        raise InputError(f"method {method!r} is not known", f"use one of {', '.join(DECIMATIONS)}")
    if isinstance(n, bool) or not isinstance(n, int) or not LEAST_POINTS <= n <= MOST_POINTS:
        raise InputError(f"{n!r} points cannot be asked for", f"give a whole number from {LEAST_POINTS} on")


def bins_for(windows: tuple[Window, ...], n: int, method: Decimation) -> Bins:
    """Return the bins a method needs to give n points."""
    counts = {"minmax": n // 2, "lttb": max(1, n * FINER // 2), "average": n, "rms": n}
    return Bins(windows, counts[method])


def decimated(batches: Iterable[Batch], bins: Bins, n: int, method: Decimation) -> pd.DataFrame:
    """Return at most n points a field, outer-joined on time; columns as `Selection.frames` names them."""
    import pandas as pd

    gathered: dict[str, dict[str, Numbers | Others]] = {}
    for batch in batches:
        _gather(gathered.setdefault(batch.name, {}), batch.table, bins)
    series = []
    for name, fields in gathered.items():
        prefix = f"{name}:" if len(gathered) > 1 else ""
        for column, found in fields.items():
            points = list(_points(found, bins, n, method))
            if points:
                times, values = zip(*points, strict=True)
                index = pd.DatetimeIndex(pd.to_datetime(list(times), unit="us", utc=True), name="time")
                series.append(pd.DataFrame({prefix + column: list(values)}, index=index))
    if not series:
        return pd.DataFrame(index=pd.DatetimeIndex([], tz="UTC", name="time"))
    return outer(series) if len(series) > 1 else series[0]


def _gather(fields: dict[str, Numbers | Others], table: pa.Table, bins: Bins) -> None:
    import numpy as np
    import pyarrow as pa

    times = times_of(table)
    at = bins.of(times)
    for name in table.column_names:
        if name in (chunks.TIME, *chunks.CLOCKS):
            continue
        column = table[name]
        numeric = pa.types.is_integer(column.type) or pa.types.is_floating(column.type)
        known = fields.setdefault(name, Numbers(bins.count) if numeric else Others(pa.types.is_boolean(column.type)))
        if isinstance(known, Numbers) and numeric:
            known.add(at, times, column.cast(pa.float64()).to_numpy().astype(np.float64))
        elif isinstance(known, Others):
            known.add(at.tolist(), times.tolist(), column.to_pylist())


def _points(found: Numbers | Others, bins: Bins, n: int, method: Decimation) -> Iterator[tuple[int, Any]]:
    """Yield (µs, value) in order of time."""
    import numpy as np

    centred = method in ("average", "rms")
    if isinstance(found, Others):
        centres = bins.centres() if centred else None
        for at in sorted(found.last):
            time_us, value = found.last[at]
            yield (time_us if centres is None else int(centres[at])), value
        return
    there = np.flatnonzero(found.count)
    if centred:
        summed = found.total if method == "average" else found.square
        mean = summed[there] / found.count[there]
        values = mean if method == "average" else np.sqrt(mean)
        yield from zip(bins.centres()[there].tolist(), values.tolist(), strict=True)
        return
    times, values = _extremes(found, there)
    if method == "lttb" and len(times) > n:
        times, values = _lttb(times, values, n)
    yield from zip(times.tolist(), values.tolist(), strict=True)


def _extremes(found: Numbers, there: Array) -> tuple[Array, Array]:
    """Return each bin's lowest and highest point in order of time; a bin whose two are one gives one."""
    import numpy as np

    two = there[(found.low_us[there] != found.high_us[there]) | (found.low[there] != found.high[there])]
    times = np.concatenate([found.low_us[there], found.high_us[two]])
    values = np.concatenate([found.low[there], found.high[two]])
    order = np.argsort(times, kind="stable")
    return times[order], values[order]


def _lttb(times: Array, values: Array, n: int) -> tuple[Array, Array]:
    import numpy as np
    from tsdownsample import LTTBDownsampler

    kept = LTTBDownsampler().downsample(  # type: ignore[no-untyped-call]
        np.ascontiguousarray(times), np.ascontiguousarray(values), n_out=n
    )
    at = np.asarray(kept, np.int64)
    return times[at], values[at]

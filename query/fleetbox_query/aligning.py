"""Put streams side by side at the same times: a regular grid, or the times of one of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from fleetbox.errors import InputError, NotFound
from fleetbox.selectors import Selector
from fleetbox_query.frames import ClockName, Tables, clock_ns, frame_of, times_of
from fleetbox_query.grids import METHODS, Method, Picks, period_ns, pick, regular, window_of
from fleetbox_query.plan import FAR_US, Source, Window, merged
from fleetbox_query.units import column_units
from fleetbox_query.wording import streams_words

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import polars as pl
    import pyarrow as pa

    from fleetbox_query.grids import Times
    from fleetbox_query.selection import Selection

CLOCK_NAMES: tuple[ClockName, ...] = ("record", "log", "publish", "header")
FAR_NS = FAR_US  # an open end in ns: what lies beyond is no time of ours in µs either


@dataclass(frozen=True, slots=True)
class Grid:
    """Say at which times: every step_ns, or those of the stream `to`; and which value each takes.

    max_age_us: how far from a time the value taken may lie, None for any distance within the window.
    """

    step_ns: float | None = None
    to: str | None = None
    method: Method = "previous"
    max_age_us: int | None = None
    clock: ClockName = "record"


def make_grid(rate: str | None, to: str | None, method: str, max_age_us: int | None, clock: str) -> Grid:
    """Return a checked grid; raises InputError naming what cannot be meant."""
    if (rate is None) == (to is None):
        raise InputError("align takes a rate or a stream, one of them", 'write align("30 Hz") or align(to="cam/front")')
    if method not in METHODS:
        raise InputError(f"method {method!r} is not known", f"use one of {', '.join(METHODS)}")
    if clock not in CLOCK_NAMES:
        raise InputError(f"clock {clock!r} is not known", f"use one of {', '.join(CLOCK_NAMES)}")
    step = None if rate is None else period_ns(rate)
    return Grid(step, to, method, max_age_us, clock)


@dataclass(frozen=True, repr=False)
class Aligned:
    """Hold a selection and the times it is put on; nothing is read before frames(), arrow() or polars().

    Example:
        fleet.select("r1/imu", "r1/joints").align("30 Hz", max_age="100ms").frames()
        fleet.select("r1/imu").align(to="r1/cam/front", clock="log").frames()
    """

    selection: Selection
    grid: Grid

    def __repr__(self) -> str:
        step_ns = self.grid.step_ns
        times = f"at the times of {self.grid.to}" if step_ns is None else f"every {step_ns / 1e6:g} ms"
        return f"Aligned({streams_words(self.selection.question)}; {times}, {self.grid.method})"

    def frames(self) -> pd.DataFrame:
        """Return a pandas frame: a row per grid time (UTC), a column per field, named as in `Selection.frames`.

        Times lie within the selection's windows (each event's own), and values come from the same window. A time
        without a value that is near enough is missing: `attrs["unfilled"]` counts them by column. `attrs["unordered"]`
        names streams whose chosen clock ran backwards; `attrs["units"]` holds units by column.

        Example:
            fleet.select("r1/imu", "r1/joints").last("1h").align("10 Hz").frames()
        """
        tables = self.selection.arrow()
        sources = tables.sources
        frame = align_tables(tables, sources, self.grid, self._reference(tables))
        frame.attrs |= {
            "places_read": dict(tables.provenance.places_read),
            "missing": tables.provenance.lines(),
            "units": column_units(sources, list(frame.columns)),
        }
        return frame

    def arrow(self) -> pa.Table:
        """Return the same as one pyarrow.Table, its first column `time`.

        Example:
            fleet.select("r1/imu", "r1/joints").last("1h").align("10 Hz").arrow()
        """
        import pyarrow as pa

        return pa.Table.from_pandas(self.frames().reset_index(), preserve_index=False)

    def polars(self) -> pl.DataFrame:
        """Return the same as a polars frame, its first column `time`.

        Example:
            fleet.select("r1/imu", "r1/joints").last("1h").align("10 Hz").polars()
        """
        import polars as pl

        frame = pl.from_arrow(self.arrow())
        assert isinstance(frame, pl.DataFrame)
        return frame

    def _reference(self, tables: Tables) -> Times | None:
        """Return the times of the stream to align to, in ns; None for a regular grid."""
        if self.grid.to is None:
            return None
        named = [name for name in tables if self.grid.to in (name, name.partition("/")[2])]
        if len(named) > 1:
            raise _several(self.grid.to, named)
        if named:
            return _reference_of(named[0], tables, self.grid.clock)
        return self._foreign(self.grid.to)

    def _foreign(self, name: str) -> Times:
        """Return the times of a stream that the selection does not choose; pictures are listed, not read."""
        question = self.selection.question
        around = (
            Selector("*", name)
            if question.events is not None or question.episodes is not None
            else Selector.parse(name)
        )
        other = replace(self.selection, question=replace(question, selectors=(around,), labels={}, when=""))
        found = sorted({source.name for source in other.prepared(films=True).sources})
        if len(found) > 1:
            raise _several(name, found)
        times = other.times(self.grid.clock)
        if not len(times):
            raise NotFound(f"{name} has nothing in that time to align to", "`fleetbox ls` shows from when to when")
        return times


def align_tables(
    tables: Mapping[str, pa.Table], sources: Sequence[Source], grid: Grid, reference: Times | None = None
) -> pd.DataFrame:
    """Put tables on a grid; reference: times in ns in place of the grid's own step."""
    import pandas as pd

    framed = {name: frame_of({name: table}, grid.clock, False) for name, table in tables.items()}
    times = {name: clock_ns(name, table, grid.clock) for name, table in tables.items()}
    windows = _windows_ns(tables, sources, grid.clock)
    points = _points(list(times.values()), windows, grid, reference)
    bounds = window_of(points, windows)
    index = pd.DatetimeIndex(pd.to_datetime(points, unit="ns", utc=True), name="time")
    columns: dict[str, pd.Series[Any]] = {}
    for name, frame in framed.items():
        prefix = f"{name}:" if len(framed) > 1 else ""
        for column in frame.columns:
            columns[prefix + str(column)] = _column(frame[column], times[name], index, bounds, grid)
    out = pd.DataFrame(columns, index=index)
    out.attrs["unfilled"] = {name: int(series.isna().sum()) for name, series in columns.items()}
    out.attrs["unordered"] = [name for name, table in tables.items() if _runs_back(table, grid.clock)]
    return out


def _points(times: Sequence[Times], windows: Sequence[Window], grid: Grid, reference: Times | None) -> Times:
    import numpy as np

    if reference is not None:
        return np.sort(reference)
    known = np.sort(np.concatenate([one for one in times if len(one)])) if any(map(len, times)) else np.empty(0, int)
    spans = []
    for start, stop in windows:
        a, b = np.searchsorted(known, [start, stop])
        if a < b:
            spans.append((int(known[a]), int(known[b - 1])))
    return regular(spans, grid.step_ns or 1e9)


def _column(series: pd.Series[Any], times: Times, index: pd.DatetimeIndex, bounds: Times, grid: Grid) -> pd.Series[Any]:
    import pandas as pd

    there = series.notna().to_numpy()
    known, at = (series, times) if there.all() else (series[there], times[there])
    age_ns = None if grid.max_age_us is None else grid.max_age_us * 1000
    numeric = pd.api.types.is_numeric_dtype(series.dtype) and not pd.api.types.is_bool_dtype(series.dtype)
    method = "previous" if grid.method == "linear" and not numeric else grid.method
    picks = pick(at, index.asi8, bounds, method, age_ns)
    if not len(known):
        return pd.Series(known.array, index=known.index).reindex(index)
    if method == "linear":
        return pd.Series(_between(known, picks), index=index).where(picks.ok)
    picked = known.array.take(picks.before)
    out = pd.Series(picked, index=index)
    if picks.ok.all():
        return out
    wide = {"int64": "Int64", "uint64": "UInt64", "bool": "boolean"}.get(str(out.dtype))  # a float rounds above 2^53
    exact: pd.Series[Any] = out.astype(wide) if wide else out  # type: ignore[call-overload]
    return exact.mask(~picks.ok)


def _between(known: pd.Series[Any], picks: Picks) -> np.ndarray[Any, Any]:
    values = known.to_numpy(dtype=float)
    before, after = values[picks.before], values[picks.after]
    found: np.ndarray[Any, Any] = before + (after - before) * picks.share
    return found


def _windows_ns(tables: Mapping[str, pa.Table], sources: Sequence[Source], clock: ClockName) -> list[Window]:
    """Return the windows in ns of the chosen clock: of another than the record's, from the rows that lie in each."""
    windows = merged(window for source in sources for window in source.windows)
    if clock == "record":
        return [(min(start * 1000, FAR_NS - 1), min(stop * 1000, FAR_NS)) for start, stop in windows]
    spans = []
    for start, stop in windows:
        inside = [_span(table, f"{clock}_ns", start, stop) for table in tables.values()]
        if found := [span for span in inside if span]:
            spans.append((min(first for first, _ in found), max(last for _, last in found) + 1))
    return list(merged(spans))


def _span(table: pa.Table, column: str, start_us: int, stop_us: int) -> Window | None:
    """Return the first and last of a clock among the rows of a window in record time."""
    stamps = times_of(table)
    rows = (stamps >= start_us) & (stamps < stop_us)
    found = table[column].to_numpy()[rows]
    return (int(found.min()), int(found.max())) if len(found) else None


def _reference_of(name: str, tables: Tables, clock: ClockName) -> Times:
    found: Times = clock_ns(name, tables[name], clock)
    return found


def _runs_back(table: pa.Table, clock: ClockName) -> bool:
    import numpy as np

    if clock == "record" or f"{clock}_ns" not in table.column_names:
        return False
    return bool((np.diff(table[f"{clock}_ns"].to_numpy()) < 0).any())


def _several(name: str, found: Sequence[str]) -> InputError:
    return InputError(
        f"align(to={name!r}) may be {len(found)} streams: {', '.join(found[:4])}", "name one, such as r1/cam/front"
    )

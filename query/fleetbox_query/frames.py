"""Build Arrow tables and pandas frames from what was read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from fleetbox import chunks
from fleetbox.errors import InputError
from fleetbox_query.episodes.computing import with_computed
from fleetbox_query.expressions import Expression
from fleetbox_query.films import pictures_of
from fleetbox_query.items import BLOB, chosen_fields, has_chosen, is_chunk
from fleetbox_query.plan import Source
from fleetbox_query.provenance import Provenance
from fleetbox_query.reading import Piece
from fleetbox_query.veils import veils_over
from fleetbox_query.widening import Rounding, note_rounded, widest

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

ClockName = Literal["record", "log", "publish", "header"]
_DECODED = ("text/", "application/json")


class Tables(dict[str, Any]):
    """Hold one pyarrow.Table per stream by "robot/stream", each in order of time, with where they came from.

    The first column is `time_us` (timestamp[us, UTC]); exact clocks in ns follow where the source had them.
    """

    def __init__(
        self,
        tables: Mapping[str, pa.Table],
        provenance: Provenance,
        sources: Sequence[Source] = (),
        rounding: Rounding | None = None,
    ) -> None:
        super().__init__(tables)
        self.provenance = provenance
        self.sources = tuple(sources)
        self.rounding = dict(rounding or {})  # "robot/stream:field" -> values that lost digits as floats

    def __repr__(self) -> str:
        lines = [table_line(name, table) for name, table in self.items()]
        return "\n".join([*(lines or ["no rows"]), repr(self.provenance)])

    @property
    def places_read(self) -> tuple[str, ...]:
        """Return the names of the places read."""
        return tuple(self.provenance.places_read)

    @property
    def one(self) -> pa.Table:
        """Return the only table; raises InputError when there are more or none."""
        if len(self) != 1:
            raise InputError(f"{len(self)} streams were read, not one", f"choose among {', '.join(self) or 'others'}")
        return next(iter(self.values()))


def table_line(name: str, table: pa.Table) -> str:
    """Say in a line what a stream's table holds."""
    fields = [field for field in table.schema if field.name != chunks.TIME]
    columns = [f"{field.name} {str(field.type).replace('double', 'float64')}" for field in fields]
    shown = ", ".join(columns[:6]) + (f", +{len(columns) - 6}" if len(columns) > 6 else "")
    return f"{name}: {table.num_rows:,} rows of {shown}"


def tables_of(
    pieces: Iterable[Piece], expression: Expression, unreadable: list[str], rounding: Rounding | None = None
) -> dict[str, pa.Table]:
    """Return a table per stream, cut to the windows, the expression and the chosen fields, in order of time.

    Records that do not open are named in `unreadable`; a picture that is there still is not taken from its video.
    rounding: counts values that lost digits, as their fields are whole numbers in some records and floats in others.
    """
    by_stream: dict[str, list[tuple[Source, pa.Table]]] = {}
    for piece in pieces:
        try:
            part = _table(piece)
            part = _passing(part, piece, expression) if expression.needs_rows else part
            part = _veiled(part, piece.source) if piece.source.veils else part
        except InputError as error:
            record = piece.record
            unreadable.append(f"{record.bucket}/{record.entry} at {record.time_us}: {error.message}")
            continue
        if not has_chosen(part.column_names, piece.source):
            continue
        by_stream.setdefault(piece.source.name, []).append((piece.source, part))
    told: Rounding = {} if rounding is None else rounding
    tables = {name: _joined(parts, told) for name, parts in by_stream.items()}
    return {name: table for name, table in tables.items() if table.num_rows}


def frame_of(tables: Mapping[str, pa.Table], clock: ClockName, clocks: bool) -> pd.DataFrame:
    """Join tables on time: columns "robot/stream:field", or plain field names for a single stream.

    clock chooses the index: the record's µs, or one of the source's ns clocks. clocks: keep those as columns.
    """
    import pandas as pd

    frames = {name: _frame(name, table, clock, clocks) for name, table in tables.items()}
    if not frames:
        return pd.DataFrame(index=pd.DatetimeIndex([], tz="UTC", name="time"))
    if len(frames) == 1:
        return next(iter(frames.values()))
    named = [frame.add_prefix(f"{name}:") for name, frame in frames.items()]
    return outer(named)


def _passing(table: pa.Table, piece: Piece, expression: Expression) -> pa.Table:
    labels = piece.record.labels
    times = times_of(table).tolist()
    rows = table.drop_columns([chunks.TIME]).to_pylist()
    more = {"stream": piece.source.stream}
    verdicts = [
        expression.row_match(labels, row, time_us=at, **more) is True for at, row in zip(times, rows, strict=True)
    ]
    return table.filter(verdicts)


def _veiled(table: pa.Table, source: Source) -> pa.Table:
    """Return a table without the values of fields that are kept back at their times."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    times = times_of(table)
    for veil in veils_over(source.veils, int(times.min()), int(times.max())) if len(times) else ():
        hidden = (times >= veil.start_us) & (times < veil.stop_us)
        left = {chunks.TIME, *chunks.CLOCKS, *chosen_fields(table.column_names, veil.globs)}
        for at, name in enumerate(table.column_names):
            if name not in left:
                column = table.column(at)
                values = pc.if_else(pa.array(np.logical_not(hidden)), column, pa.scalar(None, column.type))
                table = table.set_column(at, name, values)
    return table


def _joined(parts: Sequence[tuple[Source, pa.Table]], rounding: Rounding) -> pa.Table:
    import pyarrow as pa

    parts = _each_once(parts)
    schema = parts[0][1].schema
    alike = all(part.schema.equals(schema) for _, part in parts)
    tables = [part for _, part in parts]
    tables = tables if alike else _like(parts[0][0].name, tables, rounding)
    whole = pa.concat_tables(tables, promote_options="none" if alike else "permissive")
    return _select(_cut(_ordered(whole), _windows(parts)), parts[0][0])


def _each_once(parts: Sequence[tuple[Source, pa.Table]]) -> Sequence[tuple[Source, pa.Table]]:
    """Leave those frames of videos out whose own pictures are there."""
    import numpy as np

    if not any(source.film for source, _ in parts):
        return parts
    plain = [times_of(table) for source, table in parts if not source.film]
    there = np.concatenate(plain) if plain else np.empty(0, np.int64)
    return [
        (source, table.filter(~np.isin(times_of(table), there)) if source.film else table) for source, table in parts
    ]


def _like(name: str, tables: Sequence[pa.Table], rounding: Rounding) -> list[pa.Table]:
    """Widen whole numbers to floats where a stream's chunks disagree, and fixed lists to lists."""
    import pyarrow as pa

    kinds: dict[str, set[pa.DataType]] = {}
    for table in tables:
        for field in table.schema:
            kinds.setdefault(field.name, set()).add(field.type)
    wide = {name: widest(found) for name, found in kinds.items() if len(found) > 1}
    out = []
    for table in tables:
        schema = pa.schema([field.with_type(wide.get(field.name, field.type)) for field in table.schema])
        note_rounded(rounding, name, table, schema)
        out.append(table.cast(schema, safe=False))
    return out


def _windows(parts: Sequence[tuple[Source, pa.Table]]) -> list[tuple[int, int]]:
    return sorted({window for source, _ in parts for window in source.windows})


def _ordered(table: pa.Table) -> pa.Table:
    import numpy as np

    times = times_of(table)
    if len(times) < 2 or bool((np.diff(times) >= 0).all()):
        return table
    return table.take(np.argsort(times, kind="stable"))


def _cut(table: pa.Table, windows: Sequence[tuple[int, int]]) -> pa.Table:
    import numpy as np
    import pyarrow as pa

    times = times_of(table)
    parts = [
        table.slice(start, max(0, stop - start))
        for start, stop in (np.searchsorted(times, window, side="left") for window in windows)
    ]
    return parts[0] if len(parts) == 1 else pa.concat_tables(parts)


def _select(table: pa.Table, source: Source) -> pa.Table:
    clocks = [name for name in chunks.CLOCKS if name in table.column_names]
    rest = [name for name in table.column_names if name not in (*clocks, chunks.TIME)]
    return table.select([chunks.TIME, *clocks, *chosen_fields(rest, source.fields)])


def clock_ns(name: str, table: pa.Table, clock: ClockName) -> Any:
    """Return a table's times in order, by one of its clocks, as an array of int64 ns."""
    import pandas as pd

    return pd.DatetimeIndex(frame_of({name: table}, clock, False).index).as_unit("ns").asi8


def times_of(table: pa.Table) -> Any:
    """Return a table's record times in µs as an array."""
    import pyarrow as pa

    return table[chunks.TIME].cast(pa.int64()).to_numpy()


def _table(piece: Piece) -> pa.Table:
    if piece.source.film:
        return _film_table(piece)
    if not is_chunk(piece.record):
        return _blob_table(piece)
    table = chunks.table(piece.record.data)
    return with_computed(table, piece.source.computed) if piece.source.computed else table


def _film_table(piece: Piece) -> pa.Table:
    """Return the pictures of a video as their own records would stand in a table."""
    import pyarrow as pa

    pictures = list(pictures_of(piece.source, piece.record))
    times = pa.array([one.time_us for one in pictures], pa.timestamp("us", tz="UTC"))
    clocks = {
        name: pa.array([int(one.labels[name]) if one.labels.get(name) else None for one in pictures], pa.int64())
        for name in chunks.CLOCKS if any(one.labels.get(name) for one in pictures)
    }  # fmt: skip
    return pa.table({chunks.TIME: times, **clocks, BLOB: pa.array([one.data for one in pictures], pa.binary())})


def _blob_table(piece: Piece) -> pa.Table:
    import pyarrow as pa

    record = piece.record
    value: Any = record.data
    if record.content_type.startswith(_DECODED):
        value = record.data.decode(errors="replace")
    times = pa.array([record.time_us], pa.timestamp("us", tz="UTC"))
    clocks = {name: pa.array([int(record.labels[name])]) for name in chunks.CLOCKS if record.labels.get(name)}
    return pa.table({chunks.TIME: times, **clocks, BLOB: pa.array([value])})


def _frame(name: str, table: pa.Table, clock: ClockName, clocks: bool) -> pd.DataFrame:
    import pandas as pd

    index = _index(name, table, clock)
    dropped = {chunks.TIME} | (set() if clocks else set(chunks.CLOCKS))
    table = table.select([column for column in table.column_names if column not in dropped])
    frame: pd.DataFrame = table.to_pandas(types_mapper=_exact(table), split_blocks=True)
    frame.index = pd.DatetimeIndex(index, name="time")
    return frame if index.is_monotonic_increasing else frame.sort_index(kind="stable")


def _index(name: str, table: pa.Table, clock: ClockName) -> pd.DatetimeIndex:
    import pandas as pd

    if clock == "record":
        return pd.DatetimeIndex(pd.to_datetime(times_of(table), unit="us", utc=True))
    column = f"{clock}_ns"
    if column not in table.column_names or table[column].null_count:
        raise InputError(f"{name} has no {clock} clock on every row", "use clock='record', the µs of the record")
    return pd.DatetimeIndex(pd.to_datetime(table[column].to_numpy(), unit="ns", utc=True))


def _exact(table: pa.Table) -> Any:
    """Keep whole numbers and truth values what they are where some are missing: a float rounds above 2^53."""
    import pandas as pd
    import pyarrow as pa

    missing = {field.type for field, column in zip(table.schema, table.columns, strict=True) if column.null_count}
    wide = {pa.int64(): pd.Int64Dtype(), pa.uint64(): pd.UInt64Dtype(), pa.bool_(): pd.BooleanDtype()}
    return {kind: dtype for kind, dtype in wide.items() if kind in missing}.get


def outer(frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Join on time; rows of one stream that share a stamp stay apart rows."""
    import pandas as pd

    nullable = {"int64": "Int64", "uint64": "UInt64", "bool": "boolean"}
    frames = [
        frame.astype({name: nullable[str(kind)] for name, kind in frame.dtypes.items() if str(kind) in nullable})
        for frame in frames
    ]
    if all(frame.index.is_unique for frame in frames):
        joined: pd.DataFrame = pd.concat(frames, axis=1, join="outer", sort=False).sort_index()
        return joined
    counted = [frame.set_index(frame.groupby(level=0).cumcount().rename("nth"), append=True) for frame in frames]
    return pd.concat(counted, axis=1, join="outer", sort=False).sort_index().droplevel("nth")

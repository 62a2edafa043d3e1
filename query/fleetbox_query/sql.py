"""Load a selection into DuckDB or polars, for SQL and joins over streams."""

from __future__ import annotations

import re
import tempfile
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fleetbox import chunks
from fleetbox.errors import InputError
from fleetbox_query.batches import Batch, Batches
from fleetbox_query.saving import written_whole
from fleetbox_query.widening import Rounding, note_rounded, widest

if TYPE_CHECKING:
    import duckdb
    import polars as pl
    import pyarrow as pa

TIME, ROBOT = "time", "robot"
INCOMING = "fleetbox_incoming"  # the name a batch has while it is being taken in


def into_duckdb(batches: Batches, path: Path | None) -> duckdb.DuckDBPyConnection:
    """Return a database with a table per stream: `robot`, `time` (UTC), exact clocks in ns, fields.

    path: a new database file, written whole or not at all; None keeps it in memory, spilling to disk when it must.
    """
    import duckdb

    if path is None:
        return _loaded(_in_memory(), batches)
    if path.exists():
        raise InputError(f"{path} is there already", "name another file, or remove it first")
    with written_whole(path) as part:
        part.unlink(missing_ok=True)  # DuckDB wants to make the file itself
        with duckdb.connect(str(part)) as database:
            _loaded(database, batches)
    return duckdb.connect(str(path))


def polars_of(tables: Mapping[str, pa.Table]) -> pl.DataFrame:
    """Join tables on time; columns "robot/stream:field", or plain field names for a single stream."""
    import polars as pl

    if not tables:
        return pl.DataFrame(schema={TIME: pl.Datetime("us", "UTC")})
    framed = [_polars(table, f"{name}:" if len(tables) > 1 else "") for name, table in tables.items()]
    if len(framed) == 1:
        return framed[0]
    nth = pl.int_range(pl.len()).over(TIME).alias("nth")  # rows of one stream that share a stamp stay apart rows
    joined = framed[0].with_columns(nth)
    for frame in framed[1:]:
        joined = joined.join(frame.with_columns(nth), on=[TIME, "nth"], how="full", coalesce=True)
    return joined.sort(TIME, "nth").drop("nth")


def _polars(table: pa.Table, prefix: str) -> pl.DataFrame:
    import polars as pl

    names = [name for name in table.column_names if name not in chunks.CLOCKS]
    frame = pl.from_arrow(table.select(names))
    assert isinstance(frame, pl.DataFrame)
    return frame.rename({name: TIME if name == chunks.TIME else prefix + name for name in names})


def _in_memory() -> duckdb.DuckDBPyConnection:
    import duckdb

    spill = tempfile.TemporaryDirectory(prefix="fleetbox-sql-")
    database = duckdb.connect(":memory:", config={"temp_directory": spill.name})
    weakref.finalize(database, spill.cleanup)
    return database


def _loaded(database: duckdb.DuckDBPyConnection, batches: Batches) -> duckdb.DuckDBPyConnection:
    known: dict[str, dict[str, Any]] = {}
    for batch in batches:
        _take(database, known, batch, batches.rounding)
    for stream in known:
        if (plain := re.sub(r"\W", "_", stream)) != stream and plain not in known:
            database.execute(f"CREATE OR REPLACE VIEW {_quoted(plain)} AS SELECT * FROM {_quoted(stream)}")
    return database


def _named(batch: Batch) -> pa.Table:
    """Return a batch with its robot, and its time without a zone: DuckDB's zoned times need more to be read back."""
    import pyarrow as pa

    times = batch.table[chunks.TIME].cast(pa.timestamp("us"))
    table = batch.table.drop_columns([chunks.TIME])
    robots = pa.array([batch.robot] * len(table)).dictionary_encode().cast(pa.string())
    return table.add_column(0, TIME, times).add_column(0, ROBOT, robots)


def _take(
    database: duckdb.DuckDBPyConnection, known: dict[str, dict[str, Any]], batch: Batch, rounding: Rounding
) -> None:
    import pyarrow as pa

    stream, table = batch.stream, _named(batch)
    columns = {field.name: field.type for field in table.schema}
    database.register(INCOMING, table)
    try:
        if stream not in known:
            database.execute(f"CREATE TABLE {_quoted(stream)} AS SELECT * FROM {INCOMING}")
            known[stream] = columns
            return
        for name, kind in columns.items():
            if lost := _fit(database, stream, known[stream], name, kind):
                rounding[f"{batch.name}:{name}"] = rounding.get(f"{batch.name}:{name}", 0) + lost
        note_rounded(rounding, batch.name, table, pa.schema({name: known[stream][name] for name in columns}))
        database.execute(f"INSERT INTO {_quoted(stream)} BY NAME SELECT * FROM {INCOMING}")
    finally:
        database.unregister(INCOMING)


def _fit(database: duckdb.DuckDBPyConnection, stream: str, known: dict[str, Any], name: str, kind: Any) -> int:
    """Add a column that came later; widen one whose type changed midway. Return how many of its values are rounded."""
    where, column = _quoted(stream), _quoted(name)
    lost = 0
    if name not in known:
        database.execute(f"ALTER TABLE {where} ADD COLUMN {column} {_sql_type(database, kind)}")
        known[name] = kind
    elif known[name] != kind:
        wide = widest({known[name], kind})
        if wide != known[name]:
            if str(known[name]) in ("int64", "uint64") and str(wide) == "double":
                count = f"SELECT count(*) FROM {where} WHERE CAST(CAST({column} AS DOUBLE) AS HUGEINT) <> {column}"
                lost = int(database.execute(count).fetchall()[0][0])
            database.execute(f"ALTER TABLE {where} ALTER COLUMN {column} TYPE {_sql_type(database, wide)}")
            known[name] = wide
    return lost


def _sql_type(database: duckdb.DuckDBPyConnection, kind: Any) -> str:
    import pyarrow as pa

    database.register("fleetbox_typed", pa.table({"it": pa.array([], kind)}))
    try:
        return str(database.execute("DESCRIBE SELECT * FROM fleetbox_typed").fetchall()[0][1])
    finally:
        database.unregister("fleetbox_typed")


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'

"""Export rows as CSV: a folder with a file per robot, stream and day, or one file of one stream."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fleetbox import chunks
from fleetbox_query.exports.days import by_day
from fleetbox_query.exports.job import Job
from fleetbox_query.exports.parquet import the_one
from fleetbox_query.exports.staging import stage
from fleetbox_query.exports.steps import alike, steps
from fleetbox_query.exports.stretches import times_us
from fleetbox_query.items import BLOB
from fleetbox_query.plain import plain_value

if TYPE_CHECKING:
    import pyarrow as pa


def is_folder(target: Path) -> bool:
    """Tell whether the target is to be a folder: unless it is named *.csv."""
    return target.suffix != ".csv"


def write(job: Job) -> str | None:
    """Write ROBOT/STREAM/DAY-NNNN.csv, or the one file: `time` (RFC3339), `time_us`, then a column per field.

    Lists are JSON, bytes base64; pictures and other blobs are left out, and told.
    """
    from pyarrow import csv

    if not job.out.folder:
        return _write_one(job)
    for step in steps(job):
        with job.out.batch() as batch:
            for name, tables in step.tables.items():
                for at, table in enumerate(alike(tables)):
                    if is_blobs(table):
                        leave_out(job, name, table.num_rows, "CSV")
                        continue
                    for day, rows in by_day(table):
                        path = batch.path(f"{name}/{day}-{step.number:04d}{f'-{at}' if at else ''}.csv")
                        csv.write_csv(as_texts(rows), path)
                    job.tally.count(name, table.num_rows, table.nbytes)
        job.reached(step.reached_us)
    return None


def is_blobs(table: pa.Table) -> bool:
    """Tell whether a table holds blobs, whose bytes no column of numbers or text can hold."""
    import pyarrow as pa

    return BLOB in table.column_names and pa.types.is_binary(table.schema.field(BLOB).type)


def leave_out(job: Job, name: str, items: int, format_: str) -> None:
    """Name a stream of blobs as left out."""
    job.tally.skip(f"{name}: {format_} holds no pictures or files; export mcap, mp4, png or jpeg has them", items)


def as_texts(table: pa.Table) -> pa.Table:
    """Return the table as CSV can hold it."""
    import pyarrow as pa
    import pyarrow.compute as pc

    times = pc.strftime(table[chunks.TIME], format="%Y-%m-%dT%H:%M:%SZ")  # %S has the µs of a timestamp[us]
    columns: dict[str, Any] = {"time": times, chunks.TIME: pa.array(times_us(table))}
    for name in table.column_names:
        if name != chunks.TIME:
            columns[name] = _as_text(table[name])
    return pa.table(columns)


def _as_text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    import pyarrow as pa

    kind = column.type
    if pa.types.is_nested(kind):
        return pa.array([None if one is None else json.dumps(plain_value(one)) for one in column.to_pylist()])
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        texts = [None if one is None else base64.b64encode(one).decode() for one in column.to_pylist()]
        return pa.array(texts, pa.string())
    return column


def _write_one(job: Job) -> str:
    from pyarrow import csv

    staged = the_one(stage(job), job.out.target)
    with job.out.part("whole.csv") as path, path.open("wb") as file:
        if staged:
            for at, table in enumerate(staged.batches()):
                csv.write_csv(as_texts(table), file, csv.WriteOptions(include_header=not at))
    return "whole.csv"

"""Export rows as Parquet: a folder partitioned by robot, stream and day, or one file of one stream."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

from fleetbox.errors import InputError
from fleetbox_query.exports.days import by_day
from fleetbox_query.exports.job import Job
from fleetbox_query.exports.staging import Staged, fitted, one_schema, stage
from fleetbox_query.exports.steps import alike, steps
from fleetbox_query.units import with_units
from fleetbox_query.widening import note_rounded

if TYPE_CHECKING:
    import pyarrow as pa

# Floats as they come from sensors: a quarter of the time and half the bytes of pyarrow's defaults (measured).
FLOATS: dict[str, Any] = {"compression": "zstd", "use_dictionary": False}


def is_folder(target: Path) -> bool:
    """Tell whether the target is to be a folder: unless it is named *.parquet."""
    return target.suffix != ".parquet"


def write(job: Job) -> str | None:
    """Write robot=R/stream=S/day=D/NNNN.parquet (names in URL form, as Hive's readers expect), or the one file."""
    if not job.out.folder:
        return _write_one(job, the_one(stage(job), job.out.target))
    import pyarrow.parquet as pq

    for step in steps(job):
        with job.out.batch() as batch:
            for name, tables in step.tables.items():
                robot, _, stream = name.partition("/")
                at = 0
                for table in alike(tables):
                    for day, rows in by_day(table):
                        folder = f"robot={robot}/stream={quote(stream, safe='')}/day={day}"
                        path = batch.path(f"{folder}/{step.number:04d}{f'-{at}' if at else ''}.parquet")
                        pq.write_table(with_units(rows, name, job.units.get(name, {})), path, **_options(rows.schema))
                        at += 1
                    job.tally.count(name, table.num_rows, table.nbytes)
        job.reached(step.reached_us)
    _agree(job)
    return None


def _agree(job: Job) -> None:
    """Write those files of a stream anew whose schema is not the one that fits all: a dataset has a single one.

    A killed export has the file, or both it and its replacement, of which the first goes.
    """
    import pyarrow.parquet as pq

    for old in [name for name in job.out.finished if _replacement(name) in job.out.finished]:
        job.out.drop(old)
    streams: dict[str, dict[str, pa.Schema]] = {}
    for name in job.out.finished:
        streams.setdefault(name.partition("/day=")[0], {})[name] = pq.read_schema(job.out.path_of(name))
    for schemas in streams.values():
        whole = one_schema(list(schemas.values()))
        for name, schema in schemas.items():
            if not schema.equals(whole):
                _widen(job, name, whole)


def _widen(job: Job, name: str, schema: pa.Schema) -> None:
    import pyarrow.parquet as pq

    table = pq.read_table(job.out.path_of(name), partitioning=None)
    robot, stream = (part.partition("=")[2] for part in name.split("/")[:2])
    source = f"{robot}/{unquote(stream)}"
    note_rounded(job.rounding, source, table, schema)
    made = with_units(fitted(table, schema), source, job.units.get(source, {}))
    with job.out.part(_replacement(name)) as path:
        pq.write_table(made, path, **_options(schema))
    job.reached(job.next_us)  # the replacement counts from here on
    job.out.drop(name)


def _replacement(name: str) -> str:
    return f"{name.removesuffix('.parquet')}-w.parquet"


def the_one(staged: list[Staged], target: Path) -> Staged | None:
    """Return the only stream there is, None when nothing came; raises InputError when there are more."""
    if len(staged) > 1:
        names = ", ".join(one.name for one in staged)
        raise InputError(f"{len(staged)} streams do not fit one file {target.name}: {names}", "give a folder: -o DIR")
    return staged[0] if staged else None


def _write_one(job: Job, staged: Staged | None) -> str:
    import pyarrow as pa
    import pyarrow.parquet as pq

    with job.out.part("whole.parquet") as path:
        schema = staged.schema if staged else pa.schema([])
        name = staged.name if staged else ""
        schema = with_units(schema.empty_table(), name, job.units.get(name, {})).schema
        with pq.ParquetWriter(path, schema, **_options(schema)) as writer:
            for table in staged.batches() if staged else ():
                writer.write_table(table.replace_schema_metadata(schema.metadata))
    return "whole.parquet"


def _options(schema: pa.Schema) -> dict[str, Any]:
    import pyarrow as pa

    floats = [field.name for field in schema if pa.types.is_floating(field.type)]
    return {**FLOATS, "use_byte_stream_split": floats or False}

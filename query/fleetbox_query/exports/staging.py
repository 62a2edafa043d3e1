"""Keep rows in Arrow files until all are there, for formats that are one file and want to know it all before."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fleetbox_query.exports.job import Job
from fleetbox_query.exports.steps import alike, steps
from fleetbox_query.widening import note_rounded, widest

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Staged:
    """Hold one stream's rows on disk, in order of time: files, how many rows, and one schema that fits them all."""

    name: str
    paths: tuple[Path, ...]
    rows: int
    schema: pa.Schema

    def batches(self) -> Iterator[pa.Table]:
        """Yield tables of the one schema; each lies in memory alone."""
        import pyarrow as pa

        for batch in self.as_read():
            yield fitted(pa.Table.from_batches([batch]), self.schema)

    def column(self, name: str) -> Iterator[pa.ChunkedArray]:
        """Yield one column's values, piece by piece."""
        import pyarrow as pa

        only = pa.schema([self.schema.field(name)])
        for batch in self.as_read():
            held = [name] if name in batch.schema.names else []
            table = pa.Table.from_batches([batch.select(held)]) if held else None
            yield fitted(table, only)[name] if table else pa.chunked_array([pa.nulls(batch.num_rows, only[0].type)])

    def as_read(self) -> Iterator[pa.RecordBatch]:
        """Yield what the files hold, each batch of its own schema."""
        import pyarrow as pa

        for path in self.paths:
            with pa.memory_map(str(path)) as file:
                reader = pa.ipc.open_file(file)
                for at in range(reader.num_record_batches):
                    yield reader.get_batch(at)


def stage(job: Job) -> list[Staged]:
    """Read everything into files of the partial output; return it by stream."""
    import pyarrow as pa

    for step in steps(job):
        with job.out.batch() as batch:
            at = 0
            for name, tables in step.tables.items():
                for table in alike(tables):
                    path = batch.path(f"stage/{step.number:05d}-{at:04d}.arrow", {"stream": name})
                    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
                        writer.write_table(
                            table.combine_chunks(), max_chunksize=65_536
                        )  # chunks of 5 s cost a call each
                    job.tally.count(name, table.num_rows, table.nbytes)
                    at += 1
        job.reached(step.reached_us)
    return _staged(job)


def _staged(job: Job) -> list[Staged]:
    import pyarrow as pa

    paths: dict[str, list[Path]] = {}
    for one in job.out.finished.values():
        if "stream" in one.about:
            paths.setdefault(one.about["stream"], []).append(job.out.path_of(one.path))
    staged = []
    for name, found in sorted(paths.items()):
        schemas, rows = [], 0
        for path in found:
            with pa.memory_map(str(path)) as file:
                reader = pa.ipc.open_file(file)
                schemas.append(reader.schema)
                rows += sum(reader.get_batch(at).num_rows for at in range(reader.num_record_batches))
        made = Staged(name, tuple(found), rows, one_schema(schemas))
        if any(not schema.equals(made.schema) for schema in schemas):
            for batch in made.as_read():
                note_rounded(job.rounding, name, pa.Table.from_batches([batch]), made.schema)
        staged.append(made)
    return staged


def one_schema(schemas: list[pa.Schema]) -> pa.Schema:
    """Return a schema that fits all: numbers widen to floats, what cannot be one kind becomes text."""
    import pyarrow as pa

    kinds: dict[str, set[pa.DataType]] = {}
    for schema in schemas:
        for field in schema:
            kinds.setdefault(field.name, set()).add(field.type)
    return pa.schema([(name, widest(found)) for name, found in kinds.items()])


def fitted(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Return the table with another schema's columns: missing ones null, others cast, or as text."""
    import pyarrow as pa

    columns = []
    for field in schema:
        if field.name not in table.column_names:
            columns.append(pa.nulls(table.num_rows, field.type))
        elif table.schema.field(field.name).type == field.type:
            columns.append(table[field.name])
        else:
            columns.append(_cast(table[field.name], field.type))
    return pa.table(columns, schema=schema)


def _cast(column: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    import pyarrow as pa

    try:
        return column.cast(kind, safe=False)
    except pa.ArrowException:
        return pa.chunked_array([pa.array([None if one is None else str(one) for one in column.to_pylist()], kind)])

"""Keep rows in Arrow files until all are there, for formats that are one file and want to know it all before."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fleetbox_query.exports.job import Job
from fleetbox_query.exports.steps import alike, steps

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

        for batch in self._read():
            yield fitted(pa.Table.from_batches([batch]), self.schema)

    def column(self, name: str) -> Iterator[pa.ChunkedArray]:
        """Yield one column's values, piece by piece."""
        import pyarrow as pa

        only = pa.schema([self.schema.field(name)])
        for batch in self._read():
            held = [name] if name in batch.schema.names else []
            table = pa.Table.from_batches([batch.select(held)]) if held else None
            yield fitted(table, only)[name] if table else pa.chunked_array([pa.nulls(batch.num_rows, only[0].type)])

    def _read(self) -> Iterator[pa.RecordBatch]:
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
        staged.append(Staged(name, tuple(found), rows, one_schema(schemas)))
    return staged


def one_schema(schemas: list[pa.Schema]) -> pa.Schema:
    """Return a schema that fits all: numbers widen to floats, what cannot be one kind becomes text."""
    import pyarrow as pa

    kinds: dict[str, Any] = {}
    for schema in schemas:
        for field in schema:
            kinds[field.name] = _wider(kinds[field.name], field.type) if field.name in kinds else field.type
    return pa.schema(list(kinds.items()))


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


def _wider(one: pa.DataType, other: pa.DataType) -> pa.DataType:
    import pyarrow as pa

    if one == other:
        return one
    if all(
        pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind) for kind in (one, other)
    ):
        return pa.float64()
    if all(pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind) for kind in (one, other)):
        return pa.list_(_wider(one.value_type, other.value_type))
    return pa.string()


def _cast(column: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    import pyarrow as pa

    try:
        return column.cast(kind, safe=False)
    except pa.ArrowException:
        return pa.chunked_array([pa.array([None if one is None else str(one) for one in column.to_pylist()], kind)])

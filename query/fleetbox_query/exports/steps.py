"""Gather rows into steps large enough for a file each, and say after each how far the export is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fleetbox_query.exports.job import Job

if TYPE_CHECKING:
    import pyarrow as pa

STEP_BYTES = 64_000_000  # a killed export makes at most this much again; memory holds two to three times it


@dataclass(frozen=True, slots=True)
class Step:
    """Hold the rows of one step: tables by stream, each of one schema."""

    number: int
    reached_us: int
    tables: dict[str, list[pa.Table]]


def steps(job: Job) -> Iterator[Step]:
    """Yield step after step; whoever writes one calls `job.reached(step.reached_us)` when its files are finished."""
    stretches = job.stretches(job.prepared())
    number = int(job.state.setdefault("steps", 0))
    gathered: dict[str, list[pa.Table]] = {}
    size = 0
    try:
        for stretch in stretches:
            for name, tables in stretch.tables.items():
                gathered.setdefault(name, []).extend(tables)
                size += sum(table.nbytes for table in tables)
            if size >= STEP_BYTES:
                job.state["steps"] = number = number + 1
                yield Step(number, stretch.reached_us, gathered)
                job.show(stretch.reached_us)
                gathered, size = {}, 0
            last_us = stretch.reached_us
        job.tally.read(stretches.provenance)
        job.state["steps"] = number + 1
        yield Step(number + 1, last_us, gathered)
    finally:
        stretches.close()


def alike(tables: list[pa.Table]) -> list[pa.Table]:
    """Join neighbours of one schema; a stream whose schema changed midway gives several tables."""
    import pyarrow as pa

    out: list[pa.Table] = []
    for table in tables:
        if out and out[-1].schema.equals(table.schema):
            out[-1] = pa.concat_tables([out[-1], table])
        else:
            out.append(table)
    return out

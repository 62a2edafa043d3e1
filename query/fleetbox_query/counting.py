"""Count what a question would give, without moving it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fleetbox.cli.output import size_text
from fleetbox.records import Head
from fleetbox.types import video
from fleetbox_query.items import BLOB, Notes, has_chosen, is_chunk, items_of
from fleetbox_query.plan import Run
from fleetbox_query.provenance import Provenance
from fleetbox_query.reading import Piece, Reading
from fleetbox_query.stores import Stores


@dataclass(frozen=True, slots=True)
class Count:
    """Hold records, their bytes, and rows (a blob counts as one); bytes include rows outside the window."""

    records: int
    rows: int
    size_bytes: int
    provenance: Provenance

    def __repr__(self) -> str:
        lines = [f"{self.rows:,} rows in {self.records:,} records, {size_text(self.size_bytes)}"]
        return "\n".join([*lines, *self.provenance.lines()])


async def count(stores: Stores, reading: Reading) -> Count:
    """Count exactly: by labels; by reading where a chunk reaches over a border, its labels or conditions do not say."""
    heads = await reading.heads()
    there = _pictures(heads)
    needs_rows = reading.prepared.expression.needs_rows
    said = [None if needs_rows and not run.source.film else _rows_by_labels(run, head, there) for run, head in heads]
    whole = {at: rows for at, rows in enumerate(said) if rows is not None}
    room = asyncio.Semaphore(8)  # as many readings as queries

    async def read(run: Run, head: Head) -> int:
        async with room:
            store = await stores.at(run.holding.place)
            record = await store.read(head.bucket, head.entry, head.time_us)
        if run.source.film:
            times = {head.time_us + offset for offset in video.offsets_us(record.data)}
            return sum(map(run.source.covers, times - there.get(run.source.name, set())))
        return len(items_of(Piece(run.source, record), reading.prepared.expression, Notes()))

    opened = await asyncio.gather(*(read(*pair) for at, pair in enumerate(heads) if at not in whole))
    counts = [*whole.values(), *opened]
    size = sum(head.size for _, head in heads)
    return Count(sum(1 for rows in counts if rows), sum(counts), size, reading.provenance)


def _pictures(heads: Sequence[tuple[Run, Head]]) -> dict[str, set[int]]:
    """Return, of streams that have videos, the times in µs of the pictures that are there still."""
    filmed = {run.source.name for run, _ in heads if run.source.film}
    found: dict[str, set[int]] = {}
    for run, head in heads:
        if run.source.name in filmed and not run.source.film:
            found.setdefault(run.source.name, set()).add(head.time_us)
    return found


def _rows_by_labels(run: Run, head: Head, there: Mapping[str, set[int]]) -> int | None:
    """Return a record's rows as its labels state them, or None where only its payload tells.

    A video has a row for each picture that is not `there` itself.
    """
    if run.source.film and there.get(run.source.name):
        return None
    if not is_chunk(head) and not run.source.film:
        return int(run.source.covers(head.time_us) and has_chosen([BLOB], run.source))
    if not run.source.film and not has_chosen(run.source.schema.fields, run.source):
        return None
    rows, last = head.labels.get("rows", ""), head.labels.get("t_end", "")
    if not (rows.isdecimal() and last.isdecimal()):
        return None
    return int(rows) if run.source.holds(head.time_us, int(last)) else None

"""Bring one stream's chunks into its table of scalars, each record once."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fleetbox.blobs import Store
from fleetbox.chunks import CONTENT_TYPE, TIME
from fleetbox.errors import NotFound
from fleetbox.ledger import Line, minute_of
from fleetbox.records import Record
from fleetbox_query.lake.columns import mark_of, rows_of
from fleetbox_query.lake.tables import LakeTable, Mark
from fleetbox_query.lake.windows import Stretch, by_bytes
from fleetbox_query.schemas import KEY, parse_schema

if TYPE_CHECKING:
    import pyarrow as pa

ONLY_CHUNKS = {"$and": [{"$has": ["type"]}, {"&type": {"$eq": "time_series"}}]}  # `kept` holds files beside chunks

Found = dict[tuple[str, str, int], int]  # records that the store or the lake has, by (class, stream, minute)


@dataclass(slots=True)
class Taken:
    """Count what a sync brought into the lake, and name what it could not."""

    rows: int = 0
    records: int = 0
    bytes: int = 0
    listed: int = 0
    events: int = 0
    episodes: int = 0
    skipped: list[str] = field(default_factory=list)
    missing: int = 0
    found: Found = field(default_factory=dict)

    def expect(self, lines: Sequence[Line]) -> None:
        """Begin to count what is found of these lines."""
        for line in lines:
            self.found.setdefault(line.key, 0)

    def note(self, cls: str, stream: str, times_us: Sequence[int]) -> None:
        """Count records found of a stream's minutes."""
        for time_us in times_us:
            key = (cls, stream, minute_of(time_us))
            self.found[key] = self.found.get(key, 0) + 1


async def sync_stream(
    store: Store, bucket: str, robot: str, table: LakeTable, lines: Sequence[Line], mark: Mark, taken: Taken
) -> None:
    """Append the rows of the told minutes that the table lacks; the last commit carries the mark.

    Until then commits carry the place the table was at, so that a sync that ends in between takes the window up
    again: what is there already is known by its record's time and hash.
    """
    loads = list(by_bytes(lines))
    taken.expect(lines)
    before = Mark(mark.app, await asyncio.to_thread(table.place, mark.app))
    if not table.exists:
        table.floats = await _floats(store, bucket, lines)
    for at, stretches in enumerate(loads):
        records = [record for one in stretches for record in await _read(store, bucket, one)]
        last = at == len(loads) - 1
        await asyncio.to_thread(_append, table, robot, stretches, records, mark if last else before, taken)


async def _floats(store: Store, bucket: str, lines: Sequence[Line]) -> list[str]:
    """Return the fields that the stream's schema tells to be floats: its first chunks may have whole numbers only."""
    if not lines:
        return []
    try:
        kept = await store.attachments(bucket, lines[0].stream)
    except NotFound:
        return []
    told = parse_schema(kept.get(KEY)).fields
    return [name for name, said in told.items() if said.get("dtype") == "float64" and not said.get("shape")]


async def _read(store: Store, bucket: str, stretch: Stretch) -> list[Record]:
    when = ONLY_CHUNKS if stretch.cls == "kept" else None
    query = store.query(bucket, stretch.streams, start_us=stretch.start_us, stop_us=stretch.stop_us, when=when)
    try:
        return [record async for record in query if record.content_type == CONTENT_TYPE]
    except NotFound:  # the ring took the last of it
        return []


def _append(
    table: LakeTable, robot: str, stretches: Sequence[Stretch], records: list[Record], mark: Mark, taken: Taken
) -> None:
    import pyarrow as pa

    cls, stream = stretches[0].cls, stretches[0].streams[0]
    known = _known(table, robot, stretches)
    fresh = [record for record in records if (record.time_us, mark_of(record)) not in known]
    taken.note(cls, stream, [time_us for time_us, _ in known | {(one.time_us, mark_of(one)) for one in records}])
    parts = rows_of(robot, fresh, table.schema(), taken.skipped, table.floats)
    if not parts:
        return
    rows = _in_order(pa.concat_tables(parts, promote_options="default"))
    table.append(rows, mark)
    taken.rows += rows.num_rows
    taken.records += len(fresh)
    taken.bytes += sum(record.size for record in fresh)


def _in_order(rows: pa.Table) -> pa.Table:
    """Return rows in order of time: sorting copies all of them, and most come in order."""
    import numpy as np
    import pyarrow as pa

    times = rows[TIME].cast(pa.int64()).to_numpy()
    return rows if bool((np.diff(times) >= 0).all()) else rows.sort_by(TIME)


def _known(table: LakeTable, robot: str, stretches: Sequence[Stretch]) -> set[tuple[int, str]]:
    """Return (time in µs, hash) of the records of these stretches whose rows are there."""
    import pyarrow.compute as pc

    start, stop = stretches[0].start_us, stretches[-1].stop_us
    at = pc.field("record_us")
    where = (pc.field("robot") == robot) & (at >= start) & (at < stop)
    held: pa.Table | None = table.held(("record_us", "xxh"), where)
    if held is None:
        return set()
    told = held.group_by(["record_us", "xxh"]).aggregate([])
    times = zip(told["record_us"].to_pylist(), told["xxh"].to_pylist(), strict=True)
    return {key for key in times if any(one.start_us <= key[0] < one.stop_us for one in stretches)}

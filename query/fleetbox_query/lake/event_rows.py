"""Keep the table of events: a row per event as its latest revisions tell it."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fleetbox.blobs import Store
from fleetbox.errors import InputError, NotFound
from fleetbox.events import ENTRIES, Event, decode, read_events
from fleetbox.ledger import MINUTE_US
from fleetbox_query.lake.tables import LakeTable, Mark
from fleetbox_query.plan import merged

if TYPE_CHECKING:
    import pyarrow as pa

TIMES = ("time_us", "start_us", "stop_us")


async def sync_events(
    store: Store, bucket: str, robot: str, table: LakeTable, minutes: Sequence[int], mark: Mark
) -> int:
    """Add or replace the events that have revisions written in these minutes (µs); return how many."""
    changed = await _changed(store, bucket, minutes)
    if not changed:
        return 0
    # An event's revisions are written at or after its moment: whoever reads from there has all of them.
    known = await read_events(store, [bucket], start_us=min(event.time_us for event in changed.values()))
    rows = [_row(robot, event) for event in known if event.id in changed]
    if rows:
        await asyncio.to_thread(table.replace_by_id, robot, rows, _schema(), mark)
    return len(rows)


async def _changed(store: Store, bucket: str, minutes: Sequence[int]) -> dict[str, Event]:
    found: dict[str, Event] = {}
    for start_us, stop_us in merged((minute_us, minute_us + MINUTE_US) for minute_us in minutes):
        query = store.query(bucket, ENTRIES, start_us=start_us, stop_us=stop_us)
        try:
            async for record in query:
                try:
                    event = decode(record.data)
                except InputError:  # `read_events` passes over it too, and says so
                    continue
                earlier = found.get(event.id)
                if earlier is None or event.time_us < earlier.time_us:
                    found[event.id] = event
        except NotFound:
            return {}
    return found


def _row(robot: str, event: Event) -> dict[str, Any]:
    return {
        "robot": robot,
        "day": dt.datetime.fromtimestamp(event.time_us // 1_000_000, dt.UTC).date(),
        **{name: getattr(event, name) for name in TIMES},
        "id": event.id,
        "kind": event.kind,
        "note": event.note,
        "state": event.state,
        "streams": list(event.streams),
        "records": sum(event.labelled.values()),
        "labelled": json.dumps(dict(event.labelled), sort_keys=True),
        "policy": event.policy,
        "raised_by": event.by,
        "trigger_name": event.trigger,
        "resolution": event.resolution,
        "to_tier": event.to,
    }


def _schema() -> pa.Schema:
    import pyarrow as pa

    kinds = dict.fromkeys(TIMES, pa.timestamp("us", tz="UTC"))
    kinds |= {"day": pa.date32(), "streams": pa.list_(pa.string()), "records": pa.int64()}
    names = (
        "robot", "day", *TIMES, "id", "kind", "note", "state", "streams", "records", "labelled", "policy", "raised_by",
        "trigger_name", "resolution", "to_tier",
    )  # fmt: skip
    return pa.schema([(name, kinds.get(name, pa.string())) for name in names])

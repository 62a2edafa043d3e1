"""Keep the table of episodes: a row per episode as its revisions tell it, dropped ones included."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fleetbox.blobs import Store
from fleetbox.episode_books import read_revisions
from fleetbox.episodes import ENTRIES, Episode, decode, fold
from fleetbox.errors import InputError, NotFound
from fleetbox.ledger import MINUTE_US
from fleetbox_query.lake.tables import LakeTable, Mark
from fleetbox_query.plan import merged

if TYPE_CHECKING:
    import pyarrow as pa

TIMES = ("start_us", "stop_us", "changed_us")


async def sync_episodes(
    store: Store, bucket: str, robot: str, table: LakeTable, minutes: Sequence[int], mark: Mark
) -> int:
    """Add or replace the episodes that have revisions written in these minutes (µs); return how many."""
    changed = await _changed(store, bucket, minutes)
    if not changed:
        return 0
    known = fold(await read_revisions(store, bucket))
    rows = [_row(robot, one) for one in known.values() if one.id in changed]
    if rows:
        await asyncio.to_thread(table.replace_by_id, robot, rows, _schema(), mark)
    return len(rows)


async def _changed(store: Store, bucket: str, minutes: Sequence[int]) -> set[str]:
    found: set[str] = set()
    for start_us, stop_us in merged((minute_us, minute_us + MINUTE_US) for minute_us in minutes):
        try:
            async for record in store.query(bucket, ENTRIES, start_us=start_us, stop_us=stop_us):
                try:
                    found |= {one.id for one in decode(record.data)}
                except InputError:  # `read_revisions` passes over it too, and says so
                    continue
        except NotFound:
            return set()
    return found


def _row(robot: str, one: Episode) -> dict[str, Any]:
    return {
        "robot": robot,
        "day": dt.datetime.fromtimestamp(one.start_us // 1_000_000, dt.UTC).date(),
        "start_us": one.start_us,
        "stop_us": one.stop_us,
        "changed_us": one.at_us,
        "id": one.id,
        "name": one.name,
        "note": one.note,
        "success": one.success,
        "state": one.state,
        "version": one.version,
        "digest": one.digest,
        "streams": list(one.streams),
        "removed": list(one.removed),
        "parents": list(one.parents),
        "intervals": json.dumps(one.intervals),
        "labels": json.dumps(dict(one.labels), sort_keys=True),
        "computed": json.dumps(dict(one.computed), sort_keys=True),
        "fps": one.fps,
        "robot_type": one.robot_type,
        "pinned_at": one.pinned.get("place"),
        "changed_by": one.by,
    }


def _schema() -> pa.Schema:
    import pyarrow as pa

    kinds = dict.fromkeys(TIMES, pa.timestamp("us", tz="UTC"))
    kinds |= dict.fromkeys(("streams", "removed", "parents"), pa.list_(pa.string()))
    kinds |= {"day": pa.date32(), "success": pa.bool_(), "version": pa.int64(), "fps": pa.float64()}
    names = (
        "robot", "day", *TIMES, "id", "name", "note", "success", "state", "version", "digest", "streams", "removed",
        "parents", "intervals", "labels", "computed", "fps", "robot_type", "pinned_at", "changed_by",
    )  # fmt: skip
    return pa.schema([(name, kinds.get(name, pa.string())) for name in names])

"""What came to a site by hand: per stream and minute how many records a stick brought that were not there before.

A note is a record of the stream `carried/<site>` in a robot's `meta`, written by whoever brought the stick in.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import structlog
import xxhash

from fleetbox.appending import append
from fleetbox.errors import NotFound
from fleetbox.labels import Labels
from fleetbox.ledger import Key
from fleetbox.records import Draft

if TYPE_CHECKING:
    from fleetbox.blobs import Store

log = structlog.get_logger()

STREAM = "carried"
ENTRIES = f"{STREAM}/*"
TYPE, CONTENT_TYPE = "json", "application/json"


@dataclass(frozen=True, slots=True)
class Carried:
    """Tell what one stick brought to a site; `records` counts per class, stream and minute, `time_us` is when."""

    site: str
    robot: str
    time_us: int
    by: str = ""
    records: Mapping[Key, int] = field(default_factory=dict)


async def write_carried(store: Store, bucket: str, note: Carried) -> None:
    """Append a note to a `meta` bucket; a taken stamp moves on by 1 µs. Raises StoreRefused, Unreachable."""
    minutes = [[*key, count] for key, count in sorted(note.records.items())]
    body = {"site": note.site, "robot": note.robot, "time_us": note.time_us, "by": note.by, "records": minutes}
    data = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
    labels: Labels = {"robot": note.robot, "type": TYPE, "xxh": xxhash.xxh3_64_hexdigest(data)}
    draft = Draft(f"{STREAM}/{note.site}", note.time_us, data, labels, CONTENT_TYPE)
    await append(store, bucket, draft, f"the note of what a stick brought of {note.robot}", "ingest the stick again")


async def read_carried(store: Store, bucket: str) -> list[Carried]:
    """Return all notes in a `meta` bucket, each writer's in order; none where it does not exist."""
    notes = []
    try:
        async for record in store.query(bucket, (ENTRIES,), start_us=0):
            try:
                notes.append(_decoded(record.data))
            except (ValueError, TypeError, KeyError) as error:  # one foreign record must not hide all the others
                log.warning("record passed over", bucket=bucket, entry=record.entry, why=str(error))
    except NotFound:
        return []
    return notes


def _decoded(data: bytes) -> Carried:
    raw = json.loads(data)
    records = {(cls, stream, minute_us): count for cls, stream, minute_us, count in raw["records"]}
    return Carried(raw["site"], raw["robot"], raw["time_us"], raw.get("by", ""), records)

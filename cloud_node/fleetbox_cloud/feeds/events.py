"""Turn events into points: one per event at its own time, written again when a revision changes it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from typing import Any

from fleetbox.blobs import Store
from fleetbox.errors import InputError
from fleetbox.events import ENTRIES, LONGEST_US, Event, decode, fold
from fleetbox.measurements import EVENTS
from fleetbox.selectors import matches_glob
from fleetbox_cloud.feeds.points import Value, point
from fleetbox_cloud.feeds.sent import Sent

MOST_CHARS = 2_000  # of a note; as long as a note may be


def is_event(entry: str) -> bool:
    """Tell whether an entry holds revisions of events."""
    return any(matches_glob(glob, entry) for glob in ENTRIES)


async def events_of(store: Store, bucket: str, ids: Collection[str], since_us: int) -> AsyncIterator[Event]:
    """Yield the given events as all their revisions tell them; `since_us` is when the first of them was written.

    One pass over what was written since; in memory are the events asked for and nothing else.
    """
    revisions: list[tuple[str, int, Event]] = []
    query = store.query(bucket, ENTRIES, start_us=max(0, since_us))
    async for record in query:
        if record.labels.get("event") in ids:
            try:
                revisions.append((record.entry, record.time_us, decode(record.data)))
            except InputError:
                continue  # half-written, or of another version: the others tell what there is
    for event in fold(revisions):
        yield event


def earliest_us(id_time_us: int) -> int:
    """Return from when on revisions of an event at this time can have been written."""
    return max(0, id_time_us - LONGEST_US)


def event_line(event: Event, site: str, point_us: int) -> str:
    """Return an event's point."""
    fields: dict[str, Value] = {
        "id": event.id,
        "note": event.note[:MOST_CHARS],
        "severity": event.labels.get("severity", ""),
        "by": event.by,
        "trigger": event.trigger,
        "state": event.state,
        "start_us": event.start_us,
        "stop_us": event.stop_us,
        "duration_s": (event.stop_us - event.start_us) / 1e6,
        "labelled": sum(event.labelled.values()),
        "lat": _degrees(event.labels.get("lat"), 90.0),
        "lon": _degrees(event.labels.get("lon"), 180.0),
    }
    line = point(EVENTS, {"robot": event.robot, "site": site, "kind": event.kind}, fields, point_us)
    assert line is not None, "an event has an id"
    return line


def place(sent: Sent, bucket: str, event: Event) -> int:
    """Return the time of an event's point: two of one kind at the same µs are two points."""
    return sent.place(bucket, f"event {event.kind}", [(event.id, event.time_us)])[event.id]


def _degrees(value: Any, most: float) -> float | None:
    """Return a label as degrees, None for what is none."""
    try:
        degrees = float(value)
    except (TypeError, ValueError):
        return None
    return degrees if abs(degrees) <= most else None

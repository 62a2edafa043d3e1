"""Write streams and events as the rows people see."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from fleetbox.cli.output import size_text
from fleetbox.time import iso_time, show_duration

if TYPE_CHECKING:
    from fleetbox.events import Event
    from fleetbox_query.streams import Stream


STREAM_COLUMNS = ("robot", "stream", "class", "type", "fields", "Hz", "size/s", "records", "first", "last", "held")


def stream_row(stream: Stream) -> dict[str, Any]:
    """Return a stream as a row of `ls`."""
    return {
        "robot": stream.robot,
        "stream": stream.stream,
        "class": stream.cls,
        "type": stream.type or None,
        "fields": stream.fields_text() or None,
        "Hz": None if stream.hz is None else f"{stream.hz:.3g}",
        "size/s": None if stream.bytes_per_s is None else size_text(stream.bytes_per_s),
        "records": stream.records,
        "first": iso_time(stream.first_us),
        "last": iso_time(stream.last_us),
        "held": " ".join(held.place for held in stream.held),
    }


def event_row(found: Event) -> dict[str, Any]:
    """Return an event as a row of `event ls`."""
    return {
        "id": found.id,
        "kind": found.kind,
        "robot": found.robot,
        "time": iso_time(found.time_us),
        "before": show_duration(found.time_us - found.start_us),
        "after": show_duration(found.stop_us - found.time_us),
        "state": found.state,
        "records": sum(found.labelled.values()),
        "note": found.note or None,
    }


def event_dict(found: Event) -> dict[str, Any]:
    """Return an event as plain values."""
    return asdict(found)

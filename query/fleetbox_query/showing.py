"""Write streams and events as the rows people see."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from html import escape
from typing import TYPE_CHECKING, Any

from fleetbox.cli.output import size_text
from fleetbox.time import iso_time, show_duration

if TYPE_CHECKING:
    from fleetbox.events import Event
    from fleetbox_query.streams import Stream


LEAST_FIELDS = 10  # characters: "999 fields" is always said
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
        "held": " ".join(held.place if held.told_us is None else f"{held.place} (away)" for held in stream.held),
    }


def stream_line(stream: Stream) -> str:
    """Return a stream in a line, as one of them prints."""
    row = stream_row(stream)
    rates = [f"{row['Hz']} Hz"] if row["Hz"] else []
    more = [row["type"] or row["class"], *rates, *([row["fields"]] if row["fields"] else [])]
    return f"{stream.robot}/{stream.stream}: {', '.join(more)}; {row['first']} to {row['last']}, held by {row['held']}"


def fields_line(fields: Mapping[str, Any], most: int = 6) -> str:
    """Return a row's values on one line, shortened."""
    shown = [
        f"{name}={value:.6g}" if isinstance(value, float) else f"{name}={value!r}"[:60]
        for name, value in list(fields.items())[:most]
    ]
    return ", ".join(shown) + (f", +{len(fields) - most}" if len(fields) > most else "")


def html_table(columns: Sequence[str], rows: Iterable[Sequence[Any]], notes: Iterable[str] = ()) -> str:
    """Return rows as a table for notebooks, with lines below it."""

    def line(tag: str, cells: Iterable[Any]) -> str:
        shown = (escape("-" if one is None else str(one)) for one in cells)
        return f"<tr>{''.join(f'<{tag}>{one}</{tag}>' for one in shown)}</tr>"

    body = "".join([line("th", columns), *(line("td", row) for row in rows)])
    return f"<table>{body}</table>" + "".join(f"<p>{escape(text)}</p>" for text in notes)


def fitted_rows(streams: Sequence[Stream], width: int, now_us: int) -> list[dict[str, Any]]:
    """Return the rows of `ls` for a terminal: times to the second, today's without date, fields in what room is left.

    Other columns are never cut: a name that is shortened cannot be asked for.
    """
    rows = [
        stream_row(stream)
        | {"first": _brief_time(stream.first_us, now_us), "last": _brief_time(stream.last_us, now_us)}
        for stream in streams
    ]
    others = [name for name in STREAM_COLUMNS if name != "fields"]
    taken = sum(max(len(name), *(_width(row[name]) for row in rows)) + len("  ") for name in others)
    room = max(LEAST_FIELDS, width - taken)
    return [row | {"fields": _fields_within(stream, room)} for row, stream in zip(rows, streams, strict=True)]


def _width(cell: Any) -> int:
    return len(f"{cell:,}" if isinstance(cell, int) else str(cell or "-"))  # a table groups whole numbers


def _brief_time(time_us: int, now_us: int) -> str:
    day, clock = iso_time(time_us)[:10], iso_time(time_us)[11:19]
    return f"{clock}Z" if day == iso_time(now_us)[:10] else f"{day} {clock}Z"


def _fields_within(stream: Stream, room: int) -> str | None:
    """Return all fields with dtypes where they fit, else how many there are and as many names as fit."""
    whole, names = stream.fields_text(len(stream.fields)), list(stream.fields)
    if len(whole) <= room:
        return whole or None
    head = f"{len(names)} fields" if len(names) > 1 else "1 field"
    for count in range(len(names), 0, -1):
        text = f"{head}: {' '.join(names[:count])}" + (" ..." if count < len(names) else "")
        if len(text) <= room:
            return text
    return head


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


def event_lines(found: Event) -> list[str]:
    """Return what there is to say of an event besides its times and streams, for people."""
    small = "" if found.resolution == "original" else f"pictures as {found.resolution}s only"
    reach = {"robot": "stays on the robot", "edge": "travels to the edge site"}.get(found.to, "")
    raised = f"raised by trigger {found.trigger}" if found.trigger else f"marked by {found.by}" if found.by else ""
    kept = f"kept by policy {found.policy}" if found.policy else ""
    return [text for text in (found.note, small, reach, raised, kept) if text]


def event_dict(found: Event) -> dict[str, Any]:
    """Return an event as plain values."""
    return asdict(found)

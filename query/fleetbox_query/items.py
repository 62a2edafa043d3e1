"""Turn records into items: one per row of a chunk, one per blob, cut to what was asked for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from fleetbox import chunks, types
from fleetbox.errors import InputError
from fleetbox.records import Head
from fleetbox.selectors import matches_glob
from fleetbox_query.expressions import Expression
from fleetbox_query.plan import Source
from fleetbox_query.reading import Piece


@dataclass(frozen=True, slots=True)
class Item:
    """Hold one row (`fields`) or one blob (`data`); `time_us` is µs since the epoch, labels are the record's.

    Rows carry their exact clocks (`log_ns`, `publish_ns`, `header_ns`) among the fields where the source had them.
    """

    robot: str
    stream: str
    time_us: int
    type: str
    labels: Mapping[str, str]
    content_type: str
    fields: Mapping[str, Any] | None = None
    data: bytes | None = None

    @property
    def value(self) -> Any:
        """Return the row's fields, or the blob decoded by its type: a picture as an array, text, JSON, else bytes."""
        if self.data is None:
            return dict(self.fields or {})
        kind = types.ALL.get(self.type)
        return kind.decode(self.data) if kind else self.data


@dataclass(slots=True)
class Notes:
    """Count rows an expression was put to and those it could not decide; name records that would not open."""

    tested: int = 0
    undecided: int = 0
    unreadable: list[str] = field(default_factory=list)


def items_of(piece: Piece, expression: Expression, notes: Notes) -> Iterator[Item]:
    """Yield a record's items that lie in the wanted windows and pass the expression.

    A record that does not open is named in the notes: one bad chunk must not hide an hour of good ones.
    """
    try:
        items = _rows(piece) if is_chunk(piece.record) else _blob(piece)
    except InputError as error:
        notes.unreadable.append(
            f"{piece.record.bucket}/{piece.record.entry} at {piece.record.time_us}: {error.message}"
        )
        return
    for item in items:
        if expression.needs_rows:
            notes.tested += 1
            passed = expression.row_match(item.labels, _testable(item), stream=item.stream, time_us=item.time_us)
            notes.undecided += passed is None
            if not passed:
                continue
        yield item if item.fields is None else replace(item, fields=_chosen(item.fields, piece.source))


def is_chunk(record: Head) -> bool:
    """Tell whether a record holds rows."""
    return record.content_type == chunks.CONTENT_TYPE


def chosen_fields(names: Iterable[str], globs: tuple[str, ...] | None) -> list[str]:
    """Return the fields that globs choose, in order; `a.*` and plain `a` both choose what lies below a.

    The messages' own bytes (`cdr`) only when asked for by name.
    """
    if globs is None:
        return [name for name in names if name != chunks.CDR]
    return [
        name
        for name in names
        if any(matches_glob(glob, name) or name.startswith(f"{glob}.") for glob in globs)
        and (name != chunks.CDR or chunks.CDR in globs)
    ]


def _chosen(fields: Mapping[str, Any], source: Source) -> Mapping[str, Any]:
    names = chosen_fields((name for name in fields if name not in chunks.CLOCKS), source.fields)
    kept = {name: fields[name] for name in chunks.CLOCKS if name in fields}
    return {**kept, **{name: fields[name] for name in names}}


def _testable(item: Item) -> Mapping[str, Any]:
    """Return what an expression sees as fields: a row's, or those of a JSON object."""
    if item.fields is not None:
        return item.fields
    try:
        value = item.value if item.content_type == "application/json" else None
    except InputError:
        value = None
    return value if isinstance(value, dict) else {}


def _rows(piece: Piece) -> list[Item]:
    source, columns = piece.source, chunks.columns(piece.record.data)
    times = columns.pop(chunks.TIME)
    names, head = tuple(columns), _head(piece)
    rows = zip(times, zip(*columns.values(), strict=True) if columns else [()] * len(times), strict=True)
    return [
        Item(source.robot, source.stream, time_us, *head, fields=dict(zip(names, row, strict=True)))
        for time_us, row in rows
        if source.covers(time_us)
    ]


def _blob(piece: Piece) -> list[Item]:
    source, record = piece.source, piece.record
    if not source.covers(record.time_us):
        return []
    return [Item(source.robot, source.stream, record.time_us, *_head(piece), data=record.data)]


def _head(piece: Piece) -> tuple[str, Mapping[str, str], str]:
    record = piece.record
    kind = record.labels.get("type") or piece.source.schema.type or "file"
    return kind, record.labels, record.content_type

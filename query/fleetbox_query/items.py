"""Turn records into items: one per row of a chunk, one per blob, cut to what was asked for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from operator import attrgetter
from typing import Any

from fleetbox import chunks, types
from fleetbox.cli.output import size_text
from fleetbox.errors import InputError
from fleetbox.records import Head
from fleetbox.selectors import matches_glob
from fleetbox.time import iso_time
from fleetbox_query.episodes.computing import add_columns
from fleetbox_query.expressions import Expression
from fleetbox_query.films import JPEG, pictures_of
from fleetbox_query.plan import Source
from fleetbox_query.reading import Piece
from fleetbox_query.showing import fields_line
from fleetbox_query.veils import veils_over

BLOB = "value"  # what a stream without fields has instead: text and JSON decoded in a frame, other bytes as they are


@dataclass(frozen=True, slots=True)
class Item:
    """Hold one row (`fields`) or one blob (`data`); `time_us` is µs since the epoch, labels are the record's.

    place: the site or robot it was read from; "" where a program's own rows were heard.

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
    place: str = ""

    def __repr__(self) -> str:
        held = size_text(len(self.data)) if self.data is not None else fields_line(self.fields or {})
        return f"Item({self.robot}/{self.stream} at {iso_time(self.time_us)}: {self.type}, {held})"

    @property
    def value(self) -> Any:
        """Return the row's fields, or the blob decoded by its type: a picture as an array, text, JSON, else bytes.

        Raises InputError naming the record when its bytes do not decode; `data` still holds them, and the items
        after it can be read.
        """
        if self.data is None:
            return dict(self.fields or {})
        kind = types.ALL.get(self.type)
        try:
            return kind.decode(self.data) if kind else self.data
        except InputError as error:
            raise InputError(
                f"{self.robot}/{self.stream} at {iso_time(self.time_us)}: {error.message}",
                "its `data` holds the bytes; go on with the next item",
            ) from error


@dataclass(slots=True)
class Notes:
    """Count rows an expression was put to and those it could not decide; name records that would not open."""

    tested: int = 0
    undecided: int = 0
    unreadable: list[str] = field(default_factory=list)


def items_of(piece: Piece, expression: Expression, notes: Notes) -> list[Item]:
    """Return a record's items that lie in the wanted windows and pass the expression, in order of time.

    A record that does not open is named in the notes: one bad chunk must not hide an hour of good ones.
    """
    try:
        if piece.source.film:
            return [item for item in _frames(piece) if _passes(item, None, expression, notes)]
        if is_chunk(piece.record):
            return _rows(piece, expression, notes)
        return [item for item in _blob(piece) if _passes(item, item.fields, expression, notes)]
    except InputError as error:
        record = piece.record
        notes.unreadable.append(f"{record.bucket}/{record.entry} at {record.time_us}: {error.message}")
        return []


def is_chunk(record: Head) -> bool:
    """Tell whether a record holds rows."""
    return record.content_type == chunks.CONTENT_TYPE


def chosen_fields(names: Iterable[str], globs: tuple[str, ...] | None) -> list[str]:
    """Return the fields that globs choose, in order; `a.*` and plain `a` both choose what lies below a.

    The messages' own bytes (`cdr`) only when asked for by name. "!ax" is all but that one.
    """
    if globs is None:
        return [name for name in names if name != chunks.CDR]
    if refused := tuple(glob[1:] for glob in globs if glob[0] == "!"):
        taken = tuple(glob for glob in globs if glob[0] != "!") or None
        left = set(chosen_fields(names := list(names), refused))
        return [name for name in chosen_fields(names, taken) if name not in left]
    return [
        name
        for name in names
        if any(matches_glob(glob, name) or name.startswith(f"{glob}.") for glob in globs)
        and (name != chunks.CDR or chunks.CDR in globs)
    ]


def has_chosen(names: Iterable[str], source: Source) -> bool:
    """Tell whether a record holds a field asked for: `r1/**:ax` chooses streams without ax, and gives none of them."""
    return source.fields is None or bool(chosen_fields(names, source.fields))


def _rows(piece: Piece, expression: Expression, notes: Notes) -> list[Item]:
    source, columns = piece.source, chunks.columns(piece.record.data)
    times = columns.pop(chunks.TIME)
    if source.computed:
        add_columns(columns, source.computed)
    fields = [name for name in columns if name not in chunks.CLOCKS]
    if not has_chosen(columns, source):
        return []
    shown = [*(name for name in columns if name in chunks.CLOCKS), *chosen_fields(fields, source.fields)]
    # What is tested may be more than what is shown: `r1/imu:ax --when "ay > 1"`.
    names = list(columns) if expression.needs_rows else shown
    robot, stream, head = source.robot, source.stream, _head(piece)
    rows = zip(*(columns[name] for name in names), strict=True) if names else [()] * len(times)
    items = [
        Item(robot, stream, time_us, *head, dict(zip(names, row, strict=True)), place=piece.place)
        for time_us, row in zip(times, rows, strict=True)
    ]
    if not source.holds(min(times), max(times)):
        items = [item for item in items if source.covers(item.time_us)]
    if expression.needs_rows:
        passed = (item for item in items if _passes(item, item.fields, expression, notes))
        items = [replace(item, fields={name: (item.fields or {})[name] for name in shown}) for item in passed]
    items = [_veiled(item, source) for item in items] if source.veils else items
    return sorted(items, key=attrgetter("time_us"))


def _veiled(item: Item, source: Source) -> Item:
    """Return a row without the fields that are kept back at its time."""
    for veil in veils_over(source.veils, item.time_us, item.time_us):
        left = {*chunks.CLOCKS, *chosen_fields(item.fields or {}, veil.globs)}
        return replace(item, fields={name: value for name, value in (item.fields or {}).items() if name in left})
    return item


def _passes(item: Item, fields: Mapping[str, Any] | None, expression: Expression, notes: Notes) -> bool:
    if not expression.needs_rows:
        return True
    notes.tested += 1
    tested = _json_fields(item) if fields is None else fields
    passed = expression.row_match(item.labels, tested, stream=item.stream, time_us=item.time_us)
    notes.undecided += passed is None
    return passed is True


def _json_fields(item: Item) -> Mapping[str, Any]:
    """Return what an expression sees as a blob's fields: those of a JSON object."""
    try:
        value = item.value if item.content_type == "application/json" else None
    except InputError:
        value = None
    return value if isinstance(value, dict) else {}


def _frames(piece: Piece) -> Iterator[Item]:
    """Yield the pictures of a video."""
    source = piece.source
    for one in pictures_of(source, piece.record):
        yield Item(
            source.robot, source.stream, one.time_us, "images", one.labels, JPEG, data=one.data, place=piece.place
        )


def _blob(piece: Piece) -> list[Item]:
    source, record = piece.source, piece.record
    if not source.covers(record.time_us) or not has_chosen([BLOB], source):
        return []
    return [Item(source.robot, source.stream, record.time_us, *_head(piece), data=record.data, place=piece.place)]


def _head(piece: Piece) -> tuple[str, Mapping[str, str], str]:
    record = piece.record
    kind = record.labels.get("type") or piece.source.schema.type or "file"
    return kind, record.labels, record.content_type

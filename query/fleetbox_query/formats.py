"""Write items out as table, JSON, ndjson or CSV, each while it is being read."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import TextIO

from fleetbox.chunks import CLOCKS
from fleetbox.time import iso_time
from fleetbox_query.items import Item
from fleetbox_query.plain import cell, plain_item, plain_value, short

WIDTHS_FROM = 200  # rows that set a table's column widths; later longer cells stick out
MOST_COLUMNS = 12  # a row with more fields is written as name=value
CELL_CHARS = 60


@dataclass(frozen=True, slots=True)
class Shape:
    """Say which streams and fields an answer has, and which clock its times are shown in."""

    streams: tuple[str, ...]
    fields: tuple[str, ...] = ()
    clock: str = "record"


def write_ndjson(items: Iterable[Item], out: TextIO, _shape: Shape) -> int:
    """Write one JSON object per line; return how many."""
    count = 0
    for item in items:
        out.write(json.dumps(plain_item(item), allow_nan=False) + "\n")
        count += 1
    return count


def write_csv(items: Iterable[Item], out: TextIO, shape: Shape) -> int:
    """Write a line per item: robot, stream, time, then a column per field, or `value` for a stream without fields.

    Columns are those the schemas state and the first rows have; a field that turns up later has none and raises
    ValueError, so that nothing is left out in silence.
    """
    first, rest = _peek(items, WIDTHS_FROM)
    names = list(dict.fromkeys([*shape.fields, *(name for item in first for name in item.fields or {})]))
    blobs = not names or any(item.data is not None for item in first)
    head = ["robot", "stream", "time", "time_us", *names, *(["value"] if blobs else [])]
    writer = csv.DictWriter(out, head, restval="", extrasaction="raise")
    writer.writeheader()
    count = 0
    for item in chain(first, rest):
        row = {"robot": item.robot, "stream": item.stream, "time": time_text(item, shape.clock)}
        values = {name: plain_value(value) for name, value in (item.fields or {}).items()}
        texts = {name: json.dumps(value) if isinstance(value, list) else value for name, value in values.items()}
        writer.writerow({**row, "time_us": item.time_us, **texts, **({"value": cell(item)} if item.data else {})})
        count += 1
    return count


def write_table(items: Iterable[Item], out: TextIO, shape: Shape) -> int:
    """Write aligned columns: a column per field where one stream has few of them, else one cell of name=value."""
    first, rest = _peek(items, WIDTHS_FROM)
    if not first:
        return 0
    head, row_of = _layout(first, shape)
    shown = [row_of(item) for item in first]
    widths = [max(len(name), *(len(row[at]) for row in shown)) for at, name in enumerate(head)]
    out.write(_line(head, widths))
    count = 0
    for row in chain(shown, map(row_of, rest)):
        out.write(_line(row, widths))
        count += 1
    return count


def time_text(item: Item, clock: str) -> str:
    """Return an item's time in a clock, as RFC3339 in UTC; ns where the clock has them, empty where it is missing."""
    if clock == "record":
        return iso_time(item.time_us)
    held = (item.fields or {}).get(f"{clock}_ns", item.labels.get(f"{clock}_ns"))
    if held is None:
        return ""
    stamp_ns = int(held)
    return f"{iso_time(stamp_ns // 1000)[:-1]}{stamp_ns % 1000:03d}Z"


def _layout(first: Sequence[Item], shape: Shape) -> tuple[list[str], Callable[[Item], list[str]]]:
    names = [name for name in dict.fromkeys(name for item in first for name in item.fields or {}) if name not in CLOCKS]
    if len(shape.streams) == 1 and names and len(names) <= MOST_COLUMNS:
        return ["time", *names], lambda item: [
            time_text(item, shape.clock),
            *(_cut(short((item.fields or {}).get(name))) for name in names),
        ]
    return ["time", "stream", "value"], lambda item: [
        time_text(item, shape.clock),
        f"{item.robot}/{item.stream}",
        _cut(cell(item), 2 * CELL_CHARS),
    ]


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() + "\n"


def _cut(text: str, most: int = CELL_CHARS) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def _peek(items: Iterable[Item], count: int) -> tuple[list[Item], Iterator[Item]]:
    rest = iter(items)
    return list(islice(rest, count)), rest

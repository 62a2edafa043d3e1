"""Spell events and searches for their index: a row of each revision, a condition of each search."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from fleetbox.records import Record
from fleetbox_query.event_search import ON_EARTH, ON_PLANE, Box, Circle, Search

_quoted = json.encoder.encode_basestring_ascii  # a text as json.dumps writes it
_PLAIN_GLOB = re.compile(r"[\w*-]+")


@dataclass(frozen=True, slots=True)
class Bounds:
    """Say which kind (a glob) and which moments, in µs, [start, stop)."""

    kind: str | None = None
    start_us: int | None = None
    stop_us: int | None = None


def marks(items: Collection[Any]) -> str:
    """Return as many question marks."""
    return ", ".join("?" * len(items))


def rows(source: int, records: Sequence[Record]) -> list[tuple[Any, ...]]:
    """Return what is searched of each revision, without making an Event of it: there may be a million."""
    try:  # in one go: a third of what it takes one by one
        raws = json.loads(b"[%s]" % b",".join([record.data for record in records]))
    except ValueError:
        raws = [_parsed(record.data) for record in records]
    if len(raws) != len(records):  # a body that is two
        raws = [_parsed(record.data) for record in records]
    rows = (_row(source, record, raw) for record, raw in zip(records, raws, strict=True))
    return [row for row in rows if row is not None]


def _parsed(data: bytes) -> Any:
    try:
        return json.loads(data)
    except ValueError:
        return None


def _row(source: int, record: Record, raw: Any) -> tuple[Any, ...] | None:
    try:
        labels: dict[str, str] = raw.get("labels") or {}
        kind, name, of = raw["kind"], raw["id"], labels.get
        words = " ".join((kind, name, raw.get("note", ""), raw.get("trigger", ""), *labels.values()))
        marked = ", ".join([f"{_quoted(key)}: {_quoted(value)}" for key, value in labels.items()])
        return (
            source, name, record.time_us, int(raw.get("state") == "labelled"), kind, raw["time_us"], raw["start_us"],
            raw["stop_us"], words.casefold(), marked, _number(of("lat")), _number(of("lon")), _number(of("x")),
            _number(of("y")), record.data,
        )  # fmt: skip
    except (ValueError, TypeError, KeyError, AttributeError):  # no event
        return None


def conditions(sources: Sequence[int], search: Search, bounds: Bounds) -> tuple[str, list[Any]]:
    """Return the SQL and its values that let through what a search and its bounds choose, circles roughly."""
    parts, values = [f"source IN ({marks(sources)})"], list[Any](sources)

    def add(text: str, *given: Any) -> None:
        parts.append(text)
        values.extend(given)

    if bounds.kind is not None and _PLAIN_GLOB.fullmatch(bounds.kind):  # others are left to whoever asked
        add("kind GLOB ?", bounds.kind)
    if bounds.start_us is not None:
        add("time_us >= ?", bounds.start_us)
    if bounds.stop_us is not None:
        add("time_us < ?", bounds.stop_us)
    if search.shortest_us is not None:
        add("stop_us - start_us >= ?", search.shortest_us)
    if search.longest_us is not None:
        add("stop_us - start_us <= ?", search.longest_us)
    for word in search.words:
        add("instr(words, ?)", word.casefold())
    for name, value in search.labels.items():
        add("instr(labels, ?)", json.dumps({name: value})[1:-1])
    for name, low, high in _around(search.within):
        add(f"{name} BETWEEN ? AND ?", low, high)
    return " AND ".join(parts), values


def _around(within: Circle | Box | None) -> Iterator[tuple[str, float, float]]:
    """Yield bounds that hold every place of a circle or box; what they let through is tested exactly."""
    if within is None:
        return
    first, second = ON_PLANE if within.on_plane else ON_EARTH
    if isinstance(within, Box):
        yield first, within.first_low, within.first_high
        if within.second_low <= within.second_high:
            yield second, within.second_low, within.second_high
        return
    reach = within.radius_m if within.on_plane else within.radius_m / 110_000  # m a degree of latitude, at the least
    yield first, within.first - reach, within.first + reach
    if within.on_plane:
        yield second, within.second - reach, within.second + reach


def lies_in(within: Circle | Box, place: Sequence[float | None]) -> bool:
    """Tell whether a place, given as lat, lon, x and y, lies in a circle or box."""
    lat, lon, x, y = place
    first, second = (x, y) if within.on_plane else (lat, lon)
    return first is not None and second is not None and within.holds(first, second)


def _number(text: str | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        return None

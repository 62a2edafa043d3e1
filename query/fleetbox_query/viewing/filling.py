"""Read what a question chooses, stretch by stretch, into a recording's entities."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from fleetbox.background import ended
from fleetbox.errors import InputError
from fleetbox.time import iso_time
from fleetbox.types import images
from fleetbox_query.episodes.finding import find_episodes
from fleetbox_query.events import Where, find_events
from fleetbox_query.frames import tables_of
from fleetbox_query.items import Item, Notes, is_chunk, items_of
from fleetbox_query.live.samples import describe
from fleetbox_query.plan import FAR_US, Source, Window
from fleetbox_query.question import EpisodeQuestion, EventQuestion, Question
from fleetbox_query.reading import Piece, Prepared, Reading
from fleetbox_query.session import Session
from fleetbox_query.units import mixed_units
from fleetbox_query.viewing.entities import Entities

FILES = ("", "file")  # types of streams whose records may be messages as they came


@dataclass
class Filled:
    """Count what was put in: items by stream, events; say what could not be shown and what was not there."""

    items: Counter[str] = field(default_factory=Counter)
    events: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    missing: list[str] = field(default_factory=list)
    told: list[str] = field(default_factory=list)  # what to know of it, such as fields in several units


class Filling:
    """Put a prepared question's records, events and episodes into entities."""

    def __init__(self, session: Session, question: Question, prepared: Prepared, entities: Entities) -> None:
        self._session, self._question, self._prepared, self._entities = session, question, prepared, entities
        self._notes = Notes()
        self._schema_names: dict[str, str] = {}
        self.filled = Filled(told=mixed_units(prepared.sources))

    def put_intervals(self) -> None:
        """Log the events whose moment lies in the windows of their robot, and the episodes that reach into them."""
        session, question = self._session, self._question
        windows: dict[str, list[Window]] = {}
        for source in self._prepared.sources:
            windows.setdefault(source.robot, []).extend(source.windows)
        if not windows:
            return
        start = min(start for found in windows.values() for start, _ in found)
        stop = max(stop for found in windows.values() for _, stop in found)
        robots, where = tuple(sorted(windows)), Where(question.tier, question.site)
        asked = EventQuestion(robots=robots)
        found = session.run(find_events(session.stores, session.fleet, asked, where, (start, stop)))
        events = [one for one in found.events if _reaches((one.time_us, one.time_us + 1), windows.get(one.robot, ()))]
        self._entities.events(events)
        self.filled.events = len(events)
        known = session.run(find_episodes(session.stores, session.fleet, EpisodeQuestion(robots=robots), where))
        for one in known.episodes:
            spans = [span for span in one.intervals if _reaches(span, windows.get(one.robot, ()))]
            self._entities.episode(one.robot, one.name, spans)

    def put_records(self) -> Iterator[float]:
        """Log all records, stretch by stretch, and yield after each which part of the time is done."""
        session, prepared = self._session, self._prepared
        reading = Reading(session.stores, prepared)
        files = [source for source in prepared.sources if source.schema.type in FILES and not source.film]
        told = session.run(describe(session.stores, files)) if files else {}
        self._schema_names = {name: str(said.get("schema_name", "")) for name, said in told.items()}
        start = min((source.windows[0][0] for source in prepared.sources), default=0)
        stop = _last_us(prepared)
        ahead = session.loop.start(reading.next())
        try:
            while (stretch := ended(ahead)) is not None:
                ahead = session.loop.start(reading.next())
                pieces, reached_us = stretch
                start = start or (pieces[0].record.time_us if pieces else 0)
                self._put(pieces)
                yield min(1.0, max(0.0, (reached_us - start) / max(1, stop - start)))
        finally:
            ahead.cancel()
        self.filled.skipped.update(self._entities.left_out)
        self.filled.missing = replace(reading.provenance, unreadable=tuple(self._notes.unreadable)).lines()

    def _put(self, pieces: list[Piece]) -> None:
        expression, filled = self._prepared.expression, self.filled
        rows = [piece for piece in pieces if _has_rows(piece)]
        sources: dict[str, Source] = {piece.source.name: piece.source for piece in rows}
        for name, table in tables_of(rows, expression, self._notes.unreadable).items():
            source = sources[name]
            self._entities.rows(source.robot, source.stream, table, source.schema.fields)
            filled.items[name] += table.num_rows
        for piece in pieces:
            if _has_rows(piece):
                continue
            name = piece.source.name
            for item in items_of(piece, expression, self._notes):
                if why := _damage(item):
                    self._notes.unreadable.append(why)
                    continue
                try:
                    self._entities.item(item, self._schema_names.get(name, ""))
                    filled.items[name] += 1
                except InputError as error:
                    filled.skipped[f"{name}: {error.message}"] += 1


def _damage(item: Item) -> str:
    """Name a picture that was cut off: the viewer would show nothing of it, and not say so."""
    try:
        if item.type == "images":
            images.check_whole(item.data or b"")
    except InputError as error:
        return f"{item.robot}/{item.stream} at {iso_time(item.time_us)}: {error.message}"
    return ""


def _has_rows(piece: Piece) -> bool:
    return is_chunk(piece.record) and not piece.source.film


def _reaches(span: Window, windows: Sequence[Window]) -> bool:
    return any(span[0] < stop and start < span[1] for start, stop in windows)


def _last_us(prepared: Prepared) -> int:
    ends = [
        min(source.windows[-1][1], max(holding.entry.latest_us for holding in source.holdings))
        for source in prepared.sources
    ]
    return max(ends, default=FAR_US)

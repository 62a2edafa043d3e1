"""Read what a question chooses into a Rerun recording: into a file, whole or not at all, or into the viewer."""

from __future__ import annotations

import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from os import environ
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fleetbox.background import ended
from fleetbox.errors import FleetboxError, InputError
from fleetbox.extras import require
from fleetbox.time import iso_time
from fleetbox_query.events import Where, find_events
from fleetbox_query.frames import tables_of
from fleetbox_query.items import Notes, is_chunk, items_of
from fleetbox_query.plan import FAR_US
from fleetbox_query.provenance import PartialAnswer
from fleetbox_query.question import EventQuestion, Question
from fleetbox_query.reading import Piece, Prepared, Reading
from fleetbox_query.saving import written_whole
from fleetbox_query.session import Session
from fleetbox_query.viewing.entities import Entities
from fleetbox_query.viewing.pouring import poured
from fleetbox_query.viewing.subject import prepared_to_see

if TYPE_CHECKING:
    from fleetbox_query.selection import Selection

Advance = Callable[[float, str], None]  # the part done, 0 to 1, and words beside it
APPLICATION = "fleetbox"
DISPLAYS = ("DISPLAY", "WAYLAND_DISPLAY")


@dataclass
class Viewed:
    """Say what is shown: the file or None for the viewer, items by stream, events, and what is missing."""

    path: Path | None
    items: Counter[str] = field(default_factory=Counter)
    events: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    missing: list[str] = field(default_factory=list)
    file_bytes: int = 0

    @property
    def complete(self) -> bool:
        """Tell whether everything asked for is shown."""
        return not self.skipped and not self.missing

    def lines(self) -> list[str]:
        """Return what is not shown, a line each."""
        return [*self.missing, *(f"not shown: {text} ({count:,})" for text, count in sorted(self.skipped.items()))]

    def warn(self, stacklevel: int = 3) -> None:
        """Issue a PartialAnswer warning unless everything is shown."""
        if not self.complete:
            warnings.warn(PartialAnswer("; ".join(self.lines())), stacklevel=stacklevel)

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain values."""
        return {
            "path": str(self.path) if self.path else None,
            "file_bytes": self.file_bytes,
            "complete": self.complete,
            "streams": dict(sorted(self.items.items())),
            "events": self.events,
            "missing": self.lines(),
        }


def has_display(platform: str = sys.platform, variables: Mapping[str, str] = environ) -> bool:
    """Tell whether a window can be shown here."""
    return platform in ("win32", "darwin") or any(variables.get(name) for name in DISPLAYS)


def file_name(question: Question, now_us: int) -> Path:
    """Return a name for the file of somebody who gave none: robot, and where the time begins."""
    robot = question.selectors[0].robot.strip("*") or "fleet"
    start = question.start if isinstance(question.start, int) else now_us
    return Path(f"{robot}-{iso_time(start)[:19].replace(':', '').replace('-', '')}Z.rrd")


def view(selection: Selection, out: Path | None, advance: Advance = lambda done, text: None) -> Viewed:
    """Show a selection in the viewer, or write it into `out`; memory stays bounded.

    Raises FleetboxError when Rerun is not installed or a file cannot be written, InputError for a name of another kind.
    """
    require("view")
    session = selection.session
    viewed = Viewed(out)
    prepared = prepared_to_see(session, selection.question)
    with _sink(out) as (entities, drained):
        _put_events(session, selection.question, prepared, entities, viewed)
        for done in _put_records(session, prepared, entities, viewed):
            drained()
            advance(done, f"{viewed.items.total():,} items")
        drained()
    viewed.file_bytes = out.stat().st_size if out else 0
    return viewed


@contextmanager
def _sink(out: Path | None) -> Iterator[tuple[Entities, Callable[[], None]]]:
    """Yield what logs, and a call that empties what was logged into its place, so that memory stays bounded."""
    import rerun as rr

    recording: Any = rr.RecordingStream(APPLICATION)
    recording.set_log_tick_enabled(False)
    recording.set_log_time_enabled(False)
    if out is None:
        rr.spawn(recording=recording)
        yield Entities(recording), recording.flush
        return
    if out.suffix != ".rrd":
        raise InputError(f"{out} is no name for a recording of Rerun's", f"give -o {out.with_suffix('.rrd')}")
    try:
        with written_whole(out) as part:
            with poured(part) as (pipe, check):
                recording.save(str(pipe))  # a stream of bytes would be a file each time it is emptied, end to end
                try:
                    yield Entities(recording), lambda: _written(recording, check, out)
                finally:
                    recording.disconnect()
            _check_whole(part, out)
    finally:
        recording.disconnect()


def _written(recording: Any, check: Callable[[], None], out: Path) -> None:
    check()
    try:
        recording.flush()
    except (OSError, RuntimeError, ValueError) as error:
        raise FleetboxError(f"cannot write {out}: {error}", "make room or give another -o FILE") from error


def _check_whole(part: Path, out: Path) -> None:
    """Raise FleetboxError unless Rerun's own reader opens the file: of its end, written last, Rerun says nothing."""
    from rerun.chunk import RrdReader

    try:
        RrdReader(str(part)).stream()
    except (OSError, RuntimeError, ValueError) as error:
        raise FleetboxError(f"cannot write {out}: {error}", "make room or give another -o FILE") from error


def _put_events(session: Session, question: Question, prepared: Prepared, entities: Entities, viewed: Viewed) -> None:
    """Log the events whose moment lies in the windows of their robot."""
    windows: dict[str, list[tuple[int, int]]] = {}
    for source in prepared.sources:
        windows.setdefault(source.robot, []).extend(source.windows)
    if not windows:
        return
    start = min(start for found in windows.values() for start, _ in found)
    stop = max(stop for found in windows.values() for _, stop in found)
    asked = EventQuestion(robots=tuple(sorted(windows)))
    where = Where(question.tier, question.site)
    found = session.run(find_events(session.stores, session.fleet, asked, where, (start, stop)))
    for event in found.events:
        if any(start <= event.time_us < stop for start, stop in windows.get(event.robot, ())):
            entities.event(event)
            viewed.events += 1


def _put_records(session: Session, prepared: Prepared, entities: Entities, viewed: Viewed) -> Iterator[float]:
    """Log all records, stretch by stretch, and yield after each which part of the time is done."""
    reading, notes = Reading(session.stores, prepared), Notes()
    start = min((source.windows[0][0] for source in prepared.sources), default=0)
    stop = _last_us(prepared)
    ahead = session.loop.start(reading.next())
    try:
        while (stretch := ended(ahead)) is not None:
            ahead = session.loop.start(reading.next())
            pieces, reached_us = stretch
            start = start or (pieces[0].record.time_us if pieces else 0)
            _put(pieces, prepared, entities, viewed, notes)
            yield min(1.0, max(0.0, (reached_us - start) / max(1, stop - start)))
    finally:
        ahead.cancel()
    viewed.missing = replace(reading.provenance, unreadable=tuple(notes.unreadable)).lines()


def _last_us(prepared: Prepared) -> int:
    ends = [
        min(source.windows[-1][1], max(holding.entry.latest_us for holding in source.holdings))
        for source in prepared.sources
    ]
    return max(ends, default=FAR_US)


def _put(pieces: list[Piece], prepared: Prepared, entities: Entities, viewed: Viewed, notes: Notes) -> None:
    rows = [piece for piece in pieces if is_chunk(piece.record) and not piece.source.film]
    for name, table in tables_of(rows, prepared.expression, notes.unreadable).items():
        robot, _, stream = name.partition("/")
        entities.rows(robot, stream, table)
        viewed.items[name] += table.num_rows
    for piece in pieces:
        if is_chunk(piece.record) and not piece.source.film:
            continue
        for item in items_of(piece, prepared.expression, notes):
            try:
                entities.item(item)
                viewed.items[piece.source.name] += 1
            except InputError as error:
                viewed.skipped[f"{piece.source.name}: {error.message}"] += 1

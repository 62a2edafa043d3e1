"""Show the events of a selection in an MCAP file: as Foxglove's messages, and as metadata that programs read."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from fleetbox.events import Event
from fleetbox_query.events import Where, find_events
from fleetbox_query.exports.mcap.stamps import stamp
from fleetbox_query.plan import Source
from fleetbox_query.question import EventQuestion
from fleetbox_query.session import Session

TOPIC = "/events"
LONGEST_US = 86_400_000_000  # an event that began longer before the selection than a day is not looked for
_SHOWN = ("id", "kind", "robot", "note", "trigger", "by", "policy")
_UNTOLD = ("labelled", "oldest_us")  # the robot's own books


def events_of(session: Session, sources: Sequence[Source], where: Where) -> tuple[list[Event], list[str]]:
    """Return the events whose interval reaches into what is selected of their robot, and the places not asked."""
    if not sources:
        return [], []
    windows: dict[str, set[tuple[int, int]]] = {}
    for source in sources:
        windows.setdefault(source.robot, set()).update(source.windows)
    all_windows = [one for found in windows.values() for one in found]
    start, stop = min(one[0] for one in all_windows), max(one[1] for one in all_windows)
    question = EventQuestion(robots=tuple(sorted(windows)))
    times = (max(0, start - LONGEST_US), stop + LONGEST_US)
    found = session.run(find_events(session.stores, session.fleet, question, where, times))
    kept = [one for one in found.events if _reaches(one, windows.get(one.robot, ()))]
    return kept, [f"events: {one.place} could not be asked" for one in found.unreached]


def message_of(event: Event) -> bytes:
    """Return an event as foxglove.Event."""
    from foxglove import messages

    said = [(name, str(getattr(event, name))) for name in _SHOWN if getattr(event, name)]
    return messages.Event(
        start_time=stamp(event.start_us * 1000),
        end_time=stamp(event.stop_us * 1000),
        metadata=[messages.KeyValuePair(key=key, value=value) for key, value in [*said, *_labels(event, said)]],
    ).encode()


def metadata_of(event: Event) -> tuple[str, dict[str, str]]:
    """Return an event's name and what is said of it, all as text."""
    told = {name: value for name, value in asdict(event).items() if name not in _UNTOLD and value}
    return f"event {event.id}", {name: as_text(value) for name, value in told.items()}


def as_text(value: Any) -> str:
    """Return a value as metadata can hold it."""
    return value if isinstance(value, str) else json.dumps(value)


def _labels(event: Event, said: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    known = {name for name, _ in said}  # keys must be unique
    return [(f"label.{name}" if name in known else name, str(text)) for name, text in event.labels.items()]


def _reaches(event: Event, windows: Iterable[tuple[int, int]]) -> bool:
    return any(event.start_us < stop and event.stop_us >= start for start, stop in windows)

"""Times that hang on an event, `event:ID`, `event:ID-10s`: read them, and find the event they name."""

from __future__ import annotations

import re
from collections.abc import Sequence

from fleetbox.errors import InputError, NotFound
from fleetbox.events import Event
from fleetbox.time import parse_duration

PREFIX = "event:"
SHOWN = 5  # ids in a message: the newest, which people mean
_OFFSET = re.compile(r"(?P<id>.+?)(?P<sign>[+-])(?P<by>\d[\d.]*(?:us|µs|ms|min|s|m|h|d|w)[\w.]*)")


def split_event_time(text: str) -> tuple[str, int]:
    """Return (event id, offset in µs) of `event:ID`, `event:ID-10s` or `event:ID+2s`."""
    rest = text.strip().removeprefix(PREFIX)
    if match := _OFFSET.fullmatch(rest):
        try:
            by_us = parse_duration(match["by"])
        except InputError:
            return rest, 0  # not an offset after all: ids hold dashes and digits too
        return match["id"], by_us if match["sign"] == "+" else -by_us
    if not rest:
        step = "write event:ID or event:ID-10s; `fleetbox event ls` shows ids"
        raise InputError(f"time {text!r} names no event", step)
    return rest, 0


def pick(events: Sequence[Event], name: str, where: str) -> Event:
    """Return the event of this id, or of a beginning that only one id has; `where` says which were looked through."""
    likely = [event for event in events if event.id == name] or [e for e in events if e.id.startswith(name)]
    if len(likely) == 1:
        return likely[0]
    if likely:
        raise InputError(f"event {name!r} may be one of {len(likely)}", f"write more of it: {_some(likely)}")
    known = f"known there: {_some(events)}" if events else "no events are known there"
    raise NotFound(f"event {name!r} is not known at {where}", known)


def _some(events: Sequence[Event]) -> str:
    return ", ".join(event.id for event in events[-SHOWN:])

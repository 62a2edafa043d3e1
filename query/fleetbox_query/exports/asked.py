"""Say what an export was asked for, so that the same asking goes on and another one begins anew."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from fleetbox_query.question import Question
from fleetbox_query.session import Session

Window = tuple[int, int]


def as_plain(question: Question, said: Mapping[str, Any]) -> dict[str, Any]:
    """Return a question as plain values; `said` replaces some by the words people used ("-1h")."""
    plain = {
        "selectors": [str(selector) for selector in question.selectors],
        "start": question.start,
        "stop": question.stop,
        "events": asdict(question.events) if question.events else None,
        "episodes": asdict(question.episodes) if question.episodes else None,
        "computed": list(question.computed) or None,
        "labels": dict(question.labels),
        "when": question.when,
        "tier": question.tier,
        "site": question.site,
    }
    return {**{name: value for name, value in plain.items() if value not in (None, {}, "")}, **said}


def window_of(session: Session, question: Question) -> Window:
    """Return the bounds in µs that a question's own words mean now; an open end is now, an open start zero."""
    bounds = question.events or question
    where = session.where(question)
    start = 0 if bounds.start is None else session.run(session.resolve(bounds.start, where))
    return start, session.run(session.resolve(bounds.stop, where))  # None is now


def fixed(question: Question, window: Window) -> Question:
    """Return the question with its bounds fixed; of one about events, those that the events' moments lie in."""
    start, stop = window
    if question.events is not None:
        return replace(question, events=replace(question.events, start=start, stop=stop))
    return replace(question, start=start, stop=stop)

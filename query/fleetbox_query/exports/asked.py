"""Say what an export was asked for, so that the same asking goes on and another one begins anew."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from fleetbox.errors import NotFound
from fleetbox_query.episodes.finding import PREFIX as EPISODE
from fleetbox_query.episodes.finding import find_episodes
from fleetbox_query.question import Question
from fleetbox_query.session import Session

if TYPE_CHECKING:
    from fleetbox_query.fleet import Fleet

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


def question_of(fleet: Fleet, name: str) -> Question:
    """Return what `episode:NAME` shows, NAME being a name, glob, id or note, with @VERSION; raises NotFound."""
    episodes = fleet.episodes(name.removeprefix(EPISODE))
    if not episodes.list():
        raise NotFound(f"there are no episodes {name!r}", "`fleetbox episode ls` shows them")
    return episodes.select().question


def shown_by(session: Session, question: Question) -> dict[str, list[str]]:
    """Return the exact state of each episode that a question is about, for a manifest; empty for one about none."""
    if question.episodes is None:
        return {}
    work = find_episodes(session.stores, session.fleet, question.episodes, session.where(question))
    return {"episodes": [f"{one.name} {one.reference} {one.digest}" for one in session.run(work).episodes]}


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

"""Turn what people name to look at into a question: selectors, `event:ID` or `episode:NAME`, with times around it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from fleetbox.errors import InputError
from fleetbox.naming import VIDEO, parent_of
from fleetbox.settings import Tier
from fleetbox_query.asking import spans_of
from fleetbox_query.exports.choosing import Choice, chosen
from fleetbox_query.films import film_sources
from fleetbox_query.fleet import Fleet
from fleetbox_query.question import EVENT, Question
from fleetbox_query.reading import Prepared
from fleetbox_query.session import Session
from fleetbox_query.viewing.blueprint import Focus

FOCUS_US = 2_000_000  # before and after an event's moment: what somebody watches over and over


@dataclass(frozen=True, slots=True)
class Words:
    """Hold the words as given: what to look at, times, how much around an event, labels, an expression, a place."""

    names: Sequence[str] = ()
    start: str | None = None
    stop: str | None = None
    pre: str | None = None
    post: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    when: str = ""
    tier: Tier | None = None
    site: str | None = None


def subject_of(fleet: Fleet, words: Words) -> Question:
    """Return the question; raises InputError for words that do not go together, NotFound for an unknown event.

    `event:ID` takes its robot's streams in its own interval, or only those named beside it; `pre` and `post` count
    from its moment. `episode:NAME` takes what the episode shows, or of it the streams named beside it.
    """
    events = [name.removeprefix(EVENT) for name in words.names if name.startswith(EVENT)]
    streams = tuple(name for name in words.names if not name.startswith(EVENT))
    if len(events) > 1:
        raise InputError(f"{len(events)} events were given", "name one")
    given = {name: getattr(words, name) for name in Words.__slots__ if name != "names"}
    return chosen(fleet, Choice(selectors=streams, event=events[0] if events else None, **given))


def focus_of(fleet: Fleet, words: Words) -> Focus | None:
    """Return the stretch around the moment of the event that is named, or None where none is."""
    for name in words.names:
        if name.startswith(EVENT):
            moment_us = fleet.event(name.removeprefix(EVENT), tier=words.tier, site=words.site).time_us
            return Focus(moment_us, moment_us - FOCUS_US, moment_us + FOCUS_US)
    return None


def prepared_to_see(session: Session, question: Question) -> Prepared:
    """Return the question made ready; a glob that takes everything takes pictures that became video as pictures."""
    prepared = session.run(session.prepare(question, films=True))
    if not any(selector.stream.endswith("**") for selector in question.selectors):
        return prepared
    where = session.where(question)
    spans, _ = session.run(spans_of(session.stores, session.fleet, question, where))
    others = tuple(one for one in prepared.sources if parent_of(one.holdings[0].stream)[1] != VIDEO)
    return replace(prepared, sources=others + film_sources(prepared.inventory.holdings, spans))

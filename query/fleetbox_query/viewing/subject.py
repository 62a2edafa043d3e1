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

EPISODE = "episode:"


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
    from its moment.
    """
    events = [name.removeprefix(EVENT) for name in words.names if name.startswith(EVENT)]
    streams = tuple(name for name in words.names if not name.startswith(EVENT))
    if len(events) > 1:
        raise InputError(f"{len(events)} events were given", "name one")
    if any(name.startswith(EPISODE) for name in streams):
        return _episode(fleet, words, streams)
    given = {name: getattr(words, name) for name in Words.__slots__ if name != "names"}
    return chosen(fleet, Choice(selectors=streams, event=events[0] if events else None, **given))


def prepared_to_see(session: Session, question: Question) -> Prepared:
    """Return the question made ready; a glob that takes everything takes pictures that became video as pictures."""
    prepared = session.run(session.prepare(question, films=True))
    if not any(selector.stream.endswith("**") for selector in question.selectors):
        return prepared
    where = session.where(question)
    spans, _ = session.run(spans_of(session.stores, session.fleet, question, where))
    others = tuple(one for one in prepared.sources if parent_of(one.holdings[0].stream)[1] != VIDEO)
    return replace(prepared, sources=others + film_sources(prepared.inventory.holdings, spans))


def _episode(fleet: Fleet, words: Words, names: tuple[str, ...]) -> Question:
    """Return what an episode is a view of: the exports' own reading of such arguments."""
    from fleetbox_query.exports import asked

    if len(names) > 1 or len(words.names) > 1:
        raise InputError("an episode is given beside something else", "name the episode alone")
    read = getattr(asked, "question_of", None)
    if read is None:
        raise InputError(f"{names[0]}: episodes are not known here", "name streams, or event:ID")
    question: Question = read(fleet, names[0])
    return replace(question, tier=words.tier, site=words.site)

"""Say why an answer is empty: which names nothing has, and what there is instead."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from fleetbox.errors import FleetboxError
from fleetbox.time import iso_time
from fleetbox_query.absent import names_there, unknown_names
from fleetbox_query.events import Where, find_events, resolve
from fleetbox_query.inventory import Holding
from fleetbox_query.question import EventQuestion, Question
from fleetbox_query.reading import Prepared
from fleetbox_query.session import Session

NOTHING = "nothing lies in that time"
SHOWN = 3  # streams, or kinds of events, named in a line


class NothingFound(UserWarning):
    """Warn that an answer is empty, and say what there is instead."""


def warn_of_nothing(session: Session, question: Question, stacklevel: int = 3) -> None:
    """Warn with NothingFound."""
    warnings.warn(NothingFound(why_nothing(session, question)), stacklevel=stacklevel)


def why_nothing(session: Session, question: Question) -> str:
    """Return why a question has no answer, in a line; asks for heads and events alone."""
    try:
        return session.run(_why(session, question))
    except FleetboxError:  # a place that stopped answering meanwhile: that it is empty stands
        return NOTHING


def why_undecided(session: Session, question: Question, tested: int) -> str:
    """Return why an expression could not be decided on any row: which names there are instead."""
    line = f"{question.when!r} could not be decided on any of {tested:,} rows: a name or a type is wrong"
    try:
        return f"{line}; {session.run(_names(session, question))}"
    except FleetboxError:  # a place that stopped answering meanwhile
        return line


async def _names(session: Session, question: Question) -> str:
    return await names_there(session.stores, (await session.prepare(question, films=True)).sources)


async def _why(session: Session, question: Question) -> str:
    prepared = await session.prepare(question, films=True)
    holdings = prepared.inventory.holdings
    if question.events is not None and not holdings:
        return await _no_event(session, question.events, session.where(question))
    if names := await unknown_names(session.stores, prepared.sources, prepared.expression):
        return "; ".join(names)
    return f"{NOTHING}{_conditions(prepared)}{_there(holdings)}"


def _conditions(prepared: Prepared) -> str:
    given = prepared.expression.label_tests or prepared.expression.needs_rows
    return " and passes those conditions" if given else ""


def _there(holdings: Sequence[Holding]) -> str:
    """Say from when to when there are records of the first few streams."""
    by_name: dict[str, tuple[int, int]] = {}
    for one in holdings:
        name, first, last = f"{one.robot}/{one.stream}", one.entry.oldest_us, one.entry.latest_us
        before = by_name.get(name, (first, last))
        by_name[name] = (min(before[0], first), max(before[1], last))
    told = [f"{name} from {iso_time(a)} to {iso_time(b)}" for name, (a, b) in list(by_name.items())[:SHOWN]]
    more = f" and {len(by_name) - SHOWN:,} more streams" if len(by_name) > SHOWN else ""
    return f"; there are records of {', '.join(told)}{more}" if told else ""


def why_no_event(session: Session, asked: EventQuestion, where: Where) -> str:
    """Return which kinds of events lie in the time asked about, in a line."""
    return session.run(_no_event(session, asked, where))


async def _no_event(session: Session, asked: EventQuestion, where: Where) -> str:
    bounds = [await resolve(session.stores, session.fleet, where, at) for at in (asked.start, asked.stop)]
    of_any = replace(asked, kind=None, search=None)
    found = await find_events(session.stores, session.fleet, of_any, where, (bounds[0], bounds[1]))
    kinds = Counter(event.kind for event in found.events)
    if not kinds:
        return "no event lies in that time; `fleetbox event ls` shows what there is"
    shown = ", ".join(f"{kind} ({count:,})" for kind, count in kinds.most_common(SHOWN))
    more = f" and {len(kinds) - SHOWN:,} more kinds" if len(kinds) > SHOWN else ""
    wanted = f"of kind {asked.kind!r} " if asked.kind else ""
    return f"no event {wanted}is like that; in that time there are {shown}{more}"

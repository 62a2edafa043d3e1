"""Make a question ready to read: resolve its times, ask the places what they hold, split its expression."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from fleetbox.settings import FleetSettings
from fleetbox_query.absent import check_fields, no_stream
from fleetbox_query.episodes.finding import spans_of_episodes
from fleetbox_query.events import Where, find_events, resolve, spans_around
from fleetbox_query.expressions import Expression, both, compile_expression, from_labels
from fleetbox_query.films import film_sources, film_spans
from fleetbox_query.inventory import Unreached, take_inventory
from fleetbox_query.moments import check_order
from fleetbox_query.plan import make_sources
from fleetbox_query.question import Question, Span
from fleetbox_query.reading import Prepared
from fleetbox_query.schemas import CHUNKED, Schema, read_schemas
from fleetbox_query.stores import Stores, places_for


async def prepare(stores: Stores, fleet: FleetSettings, question: Question, *, films: bool = False) -> Prepared:
    """Return the question made ready; raises NotFound when no reached place holds any such stream.

    films: read pictures from the videos made of them, too.
    """
    split(question, ())  # text that is no CEL is told before any place is asked
    where = Where(question.tier, question.site)
    spans, seen = await spans_of(stores, fleet, question, where)
    filmed = film_spans(spans) if films else ()
    selectors = list(dict.fromkeys(span.selector for span in (*spans, *filmed)))
    places = places_for(fleet, selectors, where.tier, where.site)
    inventory = await take_inventory(stores, places, selectors)
    if spans and not inventory.holdings:  # on a busy machine a listing was seen without what had just been written
        again = await take_inventory(stores, inventory.reached, selectors)
        inventory = replace(inventory, holdings=again.holdings)
    inventory = replace(inventory, unreached=_each_once((*inventory.unreached, *seen)))
    if spans and not inventory.holdings:
        raise await no_stream(stores, places, question, inventory)
    schemas = await read_schemas(stores, inventory.holdings)
    chosen = [any(span.selector.matches(one.robot, one.stream) for span in spans) for one in inventory.holdings]
    plain = [one for one, is_asked in zip(inventory.holdings, chosen, strict=True) if is_asked]
    film = [one for one, is_asked in zip(inventory.holdings, chosen, strict=True) if not is_asked]
    sources = make_sources(plain, spans, schemas) + film_sources(film, filmed)
    await check_fields(stores, sources)
    return Prepared(inventory, sources, split(question, list(schemas.values())))


def split(question: Question, schemas: Sequence[Schema]) -> Expression:
    """Split the question's labels and expression into what the store and what the client filters."""
    parts = [from_labels(question.labels)]
    if question.when:
        parts.append(compile_expression(question.when, fields_among(schemas)))
    return both(parts)


def fields_among(schemas: Sequence[Schema]) -> Callable[[str], bool]:
    """Return a test for names of fields: those the schemas state, and all where some stream states none."""
    unsaid = any(not schema.type or (schema.type == CHUNKED and not schema.fields) for schema in schemas)
    json = any(schema.type in ("json", "event") for schema in schemas)
    known = {part for schema in schemas for name in schema.fields for part in (name, name.partition(".")[0])}
    return lambda name: unsaid or json or name in known


async def spans_of(
    stores: Stores, fleet: FleetSettings, question: Question, where: Where
) -> tuple[tuple[Span, ...], tuple[Unreached, ...]]:
    """Return which streams are asked for in which time, its events looked up, and places that could not be asked."""
    if question.episodes is not None:
        return await _of_episodes(stores, fleet, question, where)
    if question.events is None:
        start = await resolve(stores, fleet, where, question.start)
        stop = await resolve(stores, fleet, where, question.stop)
        check_order(start, stop)
        return tuple(Span(selector, start, stop, question.computed) for selector in question.selectors), ()
    events = question.events
    times = (await resolve(stores, fleet, where, events.start), await resolve(stores, fleet, where, events.stop))
    found = await find_events(stores, fleet, events, where, times)
    return spans_around(found.events, question.selectors, events), found.inventory.unreached


async def _of_episodes(
    stores: Stores, fleet: FleetSettings, question: Question, where: Where
) -> tuple[tuple[Span, ...], tuple[Unreached, ...]]:
    assert question.episodes is not None
    start = None if question.start is None else await resolve(stores, fleet, where, question.start)
    stop = None if question.stop is None else await resolve(stores, fleet, where, question.stop)
    check_order(start, stop)
    spans, unreached = await spans_of_episodes(stores, fleet, question.episodes, where, question.selectors)
    return tuple(part for span in spans if (part := span.within(start, stop)) is not None), unreached


def _each_once(unreached: tuple[Unreached, ...]) -> tuple[Unreached, ...]:
    return tuple({(one.tier, one.place): one for one in unreached}.values())

"""Find events across places, and turn them into the spans of time around them."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace

from fleetbox.errors import InputError, NotFound
from fleetbox.event_times import split_event_time as split_event_time
from fleetbox.events import LONGEST_US, STREAM, Event, fold, read_events
from fleetbox.selectors import Selector, matches_glob
from fleetbox.settings import FleetSettings, Tier
from fleetbox_query.bars import Advance, bar
from fleetbox_query.event_columns import Bounds
from fleetbox_query.event_index import EventIndex, Tell, index_path
from fleetbox_query.inventory import Holding, Inventory, Unreached, take_inventory
from fleetbox_query.moments import check_order
from fleetbox_query.question import EventQuestion, Moment, Span
from fleetbox_query.stores import Stores, places_for

META = "meta"


@dataclass(frozen=True, slots=True)
class Found:
    """Hold events in order of time, with the inventory that says which places were asked."""

    events: tuple[Event, ...]
    inventory: Inventory

    def __repr__(self) -> str:
        lacks = [f"not asked: {one}" for one in self.unreached]
        return "\n".join([*(map(repr, self.events) if self.events else ["no events"]), *lacks])

    @property
    def unreached(self) -> tuple[Unreached, ...]:
        """Return the places that could not be asked."""
        return self.inventory.unreached


@dataclass(frozen=True, slots=True)
class Where:
    """Say which places are asked: a tier, a site, or both None for all."""

    tier: Tier | None = None
    site: str | None = None


async def find_events(
    stores: Stores, fleet: FleetSettings, question: EventQuestion, where: Where, times: tuple[int | None, int | None]
) -> Found:
    """Return the events asked for, each once: every tier holds its revisions, and the furthest along stands.

    times: bounds in µs that the event's own moment must lie in, [start, stop).
    """
    start_us, stop_us = times
    check_order(start_us, stop_us)
    selectors = [Selector(robot, f"{STREAM}/**") for robot in question.robots]
    places = places_for(fleet, selectors, where.tier, where.site)
    inventory = await take_inventory(stores, places, selectors, only=META)
    buckets = {(holding.place.url, holding.bucket): holding for holding in inventory.holdings}
    if question.search is None:
        read = await asyncio.gather(*(_read(stores, holding, start_us or 0, stop_us) for holding in buckets.values()))
    else:
        read = await _searched(stores, inventory, question, times)
    chosen = [
        event
        for event in merge_events(event for part in read for event in part)
        if (question.kind is None or matches_glob(question.kind, event.kind))
        and any(matches_glob(robot, event.robot) for robot in question.robots)
        and (start_us is None or event.time_us >= start_us)
        and (stop_us is None or event.time_us < stop_us)
    ]
    return Found(tuple(chosen), inventory)


def merge_events(events: Iterable[Event]) -> list[Event]:
    """Join what several places say of the same event: a labelled revision before an open one, counts at their most."""
    merged: dict[str, Event] = {}
    for event in events:
        merged[event.id] = _joined(merged[event.id], event) if event.id in merged else event
    return sorted(merged.values(), key=lambda event: (event.time_us, event.id))


def spans_around(events: Iterable[Event], selectors: Sequence[Selector], question: EventQuestion) -> tuple[Span, ...]:
    """Return a span per event and selector: its own interval, or `pre` and `post` around its moment."""
    spans = []
    for event in events:
        start = event.start_us if question.pre_us is None else event.time_us - question.pre_us
        stop = event.stop_us if question.post_us is None else event.time_us + question.post_us
        for selector in selectors:
            if matches_glob(selector.robot, event.robot):
                spans.append(Span(replace(selector, robot=event.robot), max(0, start), stop + 1))
    return tuple(spans)


async def resolve(stores: Stores, fleet: FleetSettings, where: Where, moment: Moment) -> int | None:
    """Return a moment as µs; an `event:` time asks the places for the event. Raises NotFound for an unknown id."""
    if moment is None or isinstance(moment, int):
        return moment
    name, offset_us = split_event_time(moment)
    return (await find_event(stores, fleet, where, name)).time_us + offset_us


async def find_event(stores: Stores, fleet: FleetSettings, where: Where, name: str) -> Event:
    """Return the event of this id, or of a beginning that only one id has."""
    found = await find_events(stores, fleet, EventQuestion(), where, (None, None))
    exact = [event for event in found.events if event.id == name]
    likely = exact or [event for event in found.events if event.id.startswith(name)]
    if len(likely) == 1:
        return likely[0]
    if likely:
        raise InputError(f"event {name!r} may be one of {len(likely)}", f"write more of it: {_some(likely)}")
    unasked = "".join(f"; {one.place} could not be asked" for one in found.inventory.unreached)
    known = (
        f"known: {_some(found.events)}" if found.events else "no events are known here; raise one with `fleetbox mark`"
    )
    raise NotFound(f"event {name!r} is not known{unasked}", known)


async def _searched(
    stores: Stores, inventory: Inventory, question: EventQuestion, times: tuple[int | None, int | None]
) -> list[list[Event]]:
    """Return the events a search finds, by bucket: from an index per store, brought up to date first."""
    by_store: dict[str, dict[str, list[Holding]]] = {}
    for holding in inventory.holdings:
        by_store.setdefault(holding.place.url, {}).setdefault(holding.bucket, []).append(holding)
    assert question.search is not None
    bounds, out = Bounds(question.kind, *times), []
    since_us = max(0, (times[0] or 0) - LONGEST_US)  # a revision is written after the moment it tells of
    for url, buckets in by_store.items():
        place = next(iter(buckets.values()))[0].place
        entries = {bucket: [holding.entry for holding in holdings] for bucket, holdings in buckets.items()}
        with closing(EventIndex(index_path(url))) as index:
            with bar("reading events, once", _told()) as advance:
                tell = _telling(advance)
                await index.bring_up(await stores.at(place), entries, since_us, tell)
            for bucket in buckets:
                out.append(fold(index.find(bucket, question.search, bounds)))
    return out


def _telling(advance: Advance) -> Tell:
    return lambda count, whole: advance(count / max(1, whole), f"{count:,} of {whole:,}")


def _told() -> Advance | None:
    """Return what says on a terminal how far the first look at many events has come; a notebook has its own."""
    if "IPython" in sys.modules or not sys.stderr.isatty():
        return None

    def line(done: float, text: str) -> None:
        sys.stderr.write("\r\033[K" if done >= 1.0 else f"\rreading events, once: {done:4.0%}, {text} ")
        sys.stderr.flush()

    return line


async def _read(stores: Stores, holding: Holding, start_us: int, stop_us: int | None) -> list[Event]:
    return await read_events(await stores.at(holding.place), [holding.bucket], start_us=start_us, stop_us=stop_us)


def _joined(one: Event, other: Event) -> Event:
    base, more = (one, other) if one.state == "labelled" or other.state != "labelled" else (other, one)
    streams = {*base.labelled, *more.labelled}
    counts = {name: max(base.labelled.get(name, 0), more.labelled.get(name, 0)) for name in sorted(streams)}
    return replace(base, labelled=counts, oldest_us={**more.oldest_us, **base.oldest_us})


def _some(events: Sequence[Event]) -> str:
    return ", ".join(event.id for event in events[-5:])

"""Turn a question into the intervals that become episodes: one for each event, or one for each robot."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from fleetbox.episodes import Episode
from fleetbox.errors import NotFound
from fleetbox.events import Event
from fleetbox.naming import VIDEO, parent_of
from fleetbox.selectors import Selector, matches_glob
from fleetbox.time import iso_time
from fleetbox_query.episodes.finding import computed_of, find_episodes
from fleetbox_query.events import find_events
from fleetbox_query.films import BOUND_US as FILM_US
from fleetbox_query.films import film_spans
from fleetbox_query.inventory import Inventory, Unreached, take_inventory
from fleetbox_query.moments import check_order
from fleetbox_query.question import EpisodeQuestion, EventQuestion, Question, Span
from fleetbox_query.session import Session
from fleetbox_query.stores import places_for


@dataclass(frozen=True, slots=True)
class Interval:
    """Hold one stretch of one robot's time, [start_us, stop_us) in µs of its records, and what is said of it."""

    robot: str
    start_us: int
    stop_us: int
    note: str = ""
    kind: str = ""
    source: str = ""  # "event:ID", "episode:NAME@VERSION", or the times as they were asked for
    computed: tuple[tuple[str, str, str], ...] = ()  # fields to make of a stream's own: stream, name, expression
    labels: tuple[tuple[str, str], ...] = ()  # of the episode

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain values."""
        own = {**asdict(self), "computed": [list(one) for one in self.computed], "labels": dict(self.labels)}
        return {name: value for name, value in own.items() if value or name not in ("computed", "labels")}

    def __str__(self) -> str:
        return self.source or f"{self.robot} from {iso_time(self.start_us)} to {iso_time(self.stop_us)}"


@dataclass(frozen=True, slots=True)
class Intervals:
    """Hold intervals in order of time, and which places could not be asked for them."""

    found: tuple[Interval, ...]
    unreached: tuple[Unreached, ...] = ()


def intervals_of(session: Session, question: Question, streams: Sequence[Selector]) -> Intervals:
    """Return the intervals a question means; raises NotFound when there is none.

    Events: each its own interval, or what `pre` and `post` say around its moment. Else the times asked for, of every
    robot that holds one of `streams`, as far as its records reach.
    """
    if question.episodes is not None:
        return session.run(_of_episodes(session, question.episodes, question))
    if question.events is not None:
        return session.run(_of_events(session, question.events, question))
    return session.run(_of_robots(session, question, streams))


def cut(interval: Interval, longest_us: int) -> Iterator[Interval]:
    """Yield an interval in pieces of at most so many µs."""
    start = interval.start_us
    while start < interval.stop_us:
        stop = min(start + longest_us, interval.stop_us)
        yield replace(interval, start_us=start, stop_us=stop)
        start = stop


def of_episodes(episodes: Sequence[Episode], now_us: int) -> Iterator[Interval]:
    """Yield each interval of each episode, in the order given; the episode's note is its task."""
    for one in episodes:
        computed = computed_of(one)
        for start, stop in one.until(now_us).intervals:
            source, labels = f"episode:{one.name}@{one.version}", tuple(sorted(one.labels.items()))
            yield Interval(one.robot, start, stop, one.note, "", source, computed, labels)


async def _of_episodes(session: Session, episodes: EpisodeQuestion, question: Question) -> Intervals:
    where = session.where(question)
    found = await find_episodes(session.stores, session.fleet, episodes, where)
    start = 0 if question.start is None else await session.resolve(question.start, where)
    stop = await session.resolve(question.stop, where)
    all_of = of_episodes(found.episodes, session.now_us())
    cut_to = (replace(one, start_us=max(one.start_us, start), stop_us=min(one.stop_us, stop)) for one in all_of)
    chosen = tuple(one for one in cut_to if one.start_us < one.stop_us)
    if not chosen:
        raise NotFound("there are no such episodes", "`fleetbox episode ls` shows them")
    return Intervals(chosen, found.unreached)


async def _of_events(session: Session, events: EventQuestion, question: Question) -> Intervals:
    where = session.where(question)
    times = [None if moment is None else await session.resolve(moment, where) for moment in (events.start, events.stop)]
    found = await find_events(session.stores, session.fleet, events, where, (times[0], times[1]))
    robots = [selector.robot for selector in question.selectors]
    chosen = [
        _around(event, events) for event in found.events if any(matches_glob(glob, event.robot) for glob in robots)
    ]
    if not chosen:
        asked = f"of kind {events.kind}" if events.kind else "at all"
        raise NotFound(f"there are no such events ({asked}) to make episodes of", "`fleetbox event ls` shows them")
    return Intervals(tuple(chosen), found.unreached)


def _around(event: Event, events: EventQuestion) -> Interval:
    start = event.start_us if events.pre_us is None else event.time_us - events.pre_us
    stop = event.stop_us if events.post_us is None else event.time_us + events.post_us
    return Interval(event.robot, max(0, start), stop + 1, event.note, event.kind, f"event:{event.id}")


async def _of_robots(session: Session, question: Question, streams: Sequence[Selector]) -> Intervals:
    where = session.where(question)
    ends = [
        None if moment is None else await session.resolve(moment, where) for moment in (question.start, question.stop)
    ]
    start, stop = ends
    check_order(start, stop)
    wanted = [replace(one, robot=selector.robot) for selector in question.selectors for one in streams]
    places = places_for(session.fleet, wanted, where.tier, where.site)
    films = [span.selector for span in film_spans(map(Span, wanted))]  # a camera all of whose pictures became video
    inventory = await take_inventory(session.stores, places, [*wanted, *films])
    found = [
        Interval(robot, max(low, start or 0), high + 1 if stop is None else min(high + 1, stop))
        for robot, (low, high) in sorted(_extents(inventory).items())
    ]
    found = [one for one in found if one.start_us < one.stop_us]
    if not found:
        names = ", ".join(sorted({one.stream for one in streams}))
        robots = ", ".join(sorted({one.robot for one in wanted}))
        raise NotFound(f"no robot {robots} holds any of {names} in that time", "`fleetbox ls` shows what there is")
    return Intervals(tuple(found), inventory.unreached)


def _extents(inventory: Inventory) -> dict[str, tuple[int, int]]:
    """Return each robot's oldest and newest record of the chosen streams; chunks and videos reach a bound further."""
    from fleetbox.chunks import BOUND_US

    found: dict[str, tuple[int, int]] = {}
    for one in inventory.holdings:
        bound_us = FILM_US if parent_of(one.stream)[1] == VIDEO else BOUND_US
        low, high = found.get(one.robot, (one.entry.oldest_us, 0))
        found[one.robot] = (min(low, one.entry.oldest_us), max(high, one.entry.latest_us + bound_us))
    return found

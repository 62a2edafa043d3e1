"""Turn what people name on the command line into a question: streams, times, an event, labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from fleetbox.errors import InputError, NotFound
from fleetbox.events import Event
from fleetbox.selectors import Selector, matches_glob
from fleetbox.settings import Tier
from fleetbox_query.episodes.finding import PREFIX as EPISODE
from fleetbox_query.fleet import Fleet
from fleetbox_query.moments import duration_us
from fleetbox_query.question import Question, parse_selectors


@dataclass(frozen=True, slots=True)
class Choice:
    """Hold the words: selectors, times, an event with how much around it, labels, an expression, a place."""

    selectors: tuple[str, ...] = ()
    start: str | None = None
    stop: str | None = None
    event: str | None = None
    pre: str | None = None
    post: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    when: str = ""
    tier: Tier | None = None
    site: str | None = None

    @property
    def said(self) -> dict[str, str]:
        """Return the words for times, by which the same export is known again."""
        words = {"start": self.start, "stop": self.stop, "event": self.event, "pre": self.pre, "post": self.post}
        return {name: word for name, word in words.items() if word}


def chosen(fleet: Fleet, choice: Choice) -> Question:
    """Return the question; raises InputError for words that do not go together, NotFound for an unknown event.

    With an event, selectors name streams of its robot: `cam/front`, or `r1/cam/front` as elsewhere. `episode:NAME`
    among them is what that episode shows, or the streams named beside it, in its intervals.
    """
    names = tuple(text.removeprefix(EPISODE) for text in choice.selectors if text.startswith(EPISODE))
    if names:
        return _of_episodes(fleet, choice, names)
    rest = {"labels": dict(choice.labels), "when": choice.when, "tier": choice.tier, "site": choice.site}
    if choice.event is None:
        if choice.pre or choice.post:
            raise InputError("--pre and --post go with --event ID", "or give --start and --stop")
        start, stop = fleet.session.moment(choice.start), fleet.session.moment(choice.stop)
        return Question(parse_selectors(choice.selectors), start, stop, **rest)  # type: ignore[arg-type]
    if choice.start or choice.stop:
        raise InputError("--start or --stop beside --event", "use --pre and --post: how much before and after it")
    event = fleet.event(choice.event, tier=choice.tier, site=choice.site)
    start_us, stop_us = _around(event, choice)
    selectors = streams_of(event.robot, choice.selectors or ("**",))
    return Question(selectors, start_us, stop_us, **rest)  # type: ignore[arg-type]


def streams_of(robot: str, texts: Sequence[str]) -> tuple[Selector, ...]:
    """Return selectors of one robot's streams, named with the robot or without."""
    found = []
    for text in texts:
        first, _, rest = text.partition("/")
        named = bool(rest) and matches_glob(first, robot)
        found.append(replace(Selector.parse(text if named else f"{robot}/{text}"), robot=robot))
    return tuple(found)


def _of_episodes(fleet: Fleet, choice: Choice, names: tuple[str, ...]) -> Question:
    if choice.event or choice.pre or choice.post:
        raise InputError("an episode beside an event", "an episode has its own intervals: name one of them")
    streams = tuple(text for text in choice.selectors if not text.startswith(EPISODE))
    episodes = fleet.episodes(*names).at(tier=choice.tier, site=choice.site)
    if not episodes.list():
        raise NotFound(f"there are no episodes {', '.join(names)}", "`fleetbox episode ls` shows them")
    start, stop = fleet.session.moment(choice.start), fleet.session.moment(choice.stop)
    question = episodes.select(*streams).question
    return replace(question, labels=dict(choice.labels), when=choice.when, start=start, stop=stop)


def _around(event: Event, choice: Choice) -> tuple[int, int]:
    start_us = event.start_us if choice.pre is None else event.time_us - duration_us(choice.pre)
    stop_us = event.stop_us if choice.post is None else event.time_us + duration_us(choice.post)
    return max(0, start_us), stop_us + 1

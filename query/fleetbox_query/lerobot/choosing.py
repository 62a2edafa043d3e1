"""Turn what people name on the command line into the intervals that become episodes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from fleetbox.errors import InputError
from fleetbox.settings import Tier
from fleetbox_query.episodes.finding import PREFIX as EPISODE
from fleetbox_query.fleet import Fleet
from fleetbox_query.lerobot.intervals import Interval
from fleetbox_query.moments import duration_us
from fleetbox_query.question import EVENT, EventQuestion, Question, parse_selectors


@dataclass(frozen=True, slots=True)
class Choice:
    """Hold the words: robots by selectors, times, events by id or kind with how much around them, labels, a place."""

    selectors: tuple[str, ...] = ()
    start: str | None = None
    stop: str | None = None
    event: tuple[str, ...] = ()
    kind: str | None = None
    pre: str | None = None
    post: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    tier: Tier | None = None
    site: str | None = None

    @property
    def said(self) -> dict[str, str]:
        """Return the words for times, by which the same export is known again."""
        words = {"start": self.start, "stop": self.stop, "pre": self.pre, "post": self.post}
        return {name: word for name, word in words.items() if word}

    @property
    def ids(self) -> tuple[str, ...]:
        """Return the events named one by one, as `--event ID` or as `event:ID` in place of a selector."""
        return (*self.event, *(text.removeprefix(EVENT) for text in self.selectors if text.startswith(EVENT)))

    @property
    def robots(self) -> tuple[str, ...]:
        """Return the selectors that are no events."""
        return tuple(text for text in self.selectors if not text.startswith(EVENT))


def chosen(fleet: Fleet, choice: Choice) -> tuple[Question, tuple[Interval, ...] | None]:
    """Return the question, and the intervals where events were named one by one; `episode:NAME` names episodes.

    Raises InputError for words that do not go together, NotFound for an unknown event.
    """
    names = tuple(text.removeprefix(EPISODE) for text in choice.selectors if text.startswith(EPISODE))
    if names:
        if len(names) < len(choice.selectors) or choice.event or choice.kind or choice.pre or choice.post:
            raise InputError("episodes beside events or selectors", "name episodes alone: an episode has its own times")
        found = fleet.episodes(*names).at(tier=choice.tier, site=choice.site).select().question
        return _timed(fleet, replace(found, labels=dict(choice.labels)), choice), None
    around = bool(choice.pre or choice.post)
    if around and not (choice.ids or choice.kind):
        raise InputError(
            "--pre and --post go with events", "name some: --event ID, --events KIND; or --start and --stop"
        )
    if choice.ids and (choice.kind or choice.start or choice.stop or choice.robots):
        raise InputError("--event ID beside other times, kinds or selectors", "an event has its own robot and time")
    if choice.ids:
        intervals = tuple(_interval(fleet, name, choice) for name in choice.ids)
        return _question(fleet, replace(choice, selectors=())), intervals
    return _question(fleet, choice), None


def _timed(fleet: Fleet, question: Question, choice: Choice) -> Question:
    return replace(question, start=fleet.session.moment(choice.start), stop=fleet.session.moment(choice.stop))


def _question(fleet: Fleet, choice: Choice) -> Question:
    everything = bool(choice.kind or choice.ids) and not choice.robots
    selectors = parse_selectors(("*",) if everything else choice.robots)
    start, stop = fleet.session.moment(choice.start), fleet.session.moment(choice.stop)
    question = Question(selectors, start, stop, labels=dict(choice.labels), tier=choice.tier, site=choice.site)
    if choice.kind is None:
        return question
    pre, post = (None if text is None else duration_us(text) for text in (choice.pre, choice.post))
    robots = tuple(dict.fromkeys(one.robot for one in selectors))
    return replace(question, start=None, stop=None, events=EventQuestion(choice.kind, start, stop, robots, pre, post))


def _interval(fleet: Fleet, name: str, choice: Choice) -> Interval:
    event = fleet.event(name, tier=choice.tier, site=choice.site)
    start = event.start_us if choice.pre is None else event.time_us - duration_us(choice.pre)
    stop = event.stop_us if choice.post is None else event.time_us + duration_us(choice.post)
    return Interval(event.robot, max(0, start), stop + 1, event.note, event.kind, f"{EVENT}{event.id}")

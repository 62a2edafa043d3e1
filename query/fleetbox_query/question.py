"""Hold what is asked for: which streams, which time, which labels, which places."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from fleetbox.episodes import STREAM as EPISODES
from fleetbox.errors import InputError
from fleetbox.events import STREAM as EVENTS
from fleetbox.labels import Labels
from fleetbox.measurements import HEALTH_GLOB, HEALTH_STREAMS
from fleetbox.selectors import Selector, is_glob
from fleetbox.settings import Tier
from fleetbox_query.event_search import Search

EVENT = "event:"  # how a time that hangs on an event starts; resolved when the question is asked

Moment = int | str | None  # µs since the epoch, an `event:` time still to be resolved, or no bound


@dataclass(frozen=True, slots=True)
class Span:
    """Choose streams within [start_us, stop_us); None leaves an end open.

    computed: fields to make from a stream's own, each (stream, name, expression).
    """

    selector: Selector
    start_us: int | None = None
    stop_us: int | None = None
    computed: tuple[tuple[str, str, str], ...] = ()

    def within(self, start_us: int | None, stop_us: int | None) -> Span | None:
        """Return the part of this span that lies in the given bounds, or None."""
        starts = [at for at in (self.start_us, start_us) if at is not None]
        stops = [at for at in (self.stop_us, stop_us) if at is not None]
        start, stop = max(starts, default=None), min(stops, default=None)
        if start is not None and stop is not None and start >= stop:
            return None
        return replace(self, start_us=start, stop_us=stop)


@dataclass(frozen=True, slots=True)
class EventQuestion:
    """Choose events, and how much around each one to take; None takes the event's own interval."""

    kind: str | None = None
    start: Moment = None
    stop: Moment = None
    robots: tuple[str, ...] = ("*",)
    pre_us: int | None = None
    post_us: int | None = None
    search: Search | None = None


@dataclass(frozen=True, slots=True)
class EpisodeQuestion:
    """Choose episodes: by name (a glob), id or note, each with `@VERSION`; by CEL, labels, robots and success."""

    names: tuple[str, ...] = ()
    robots: tuple[str, ...] = ("*",)
    when: str = ""
    labels: Labels = field(default_factory=dict)
    success: bool | None = None
    start: Moment = None  # those that begin in [start, stop)
    stop: Moment = None
    dropped: bool = False  # those that were dropped instead


@dataclass(frozen=True, slots=True)
class Question:
    """Hold a whole question; it is a plain value, so that asking it twice asks the same.

    `events` replaces start and stop: the selectors' streams are taken around each event of its robot. With `episodes`
    those of each episode are taken, in its intervals, as far as they lie within start and stop.
    """

    selectors: tuple[Selector, ...]
    start: Moment = None
    stop: Moment = None
    events: EventQuestion | None = None
    episodes: EpisodeQuestion | None = None
    labels: Labels = field(default_factory=dict)
    when: str = ""
    tier: Tier | None = None
    site: str | None = None
    computed: tuple[tuple[str, str, str], ...] = ()  # fields to make of a stream's own: stream, name, expression


def parse_selectors(texts: tuple[str, ...]) -> tuple[Selector, ...]:
    """Read selectors; raise InputError when there is none."""
    if not texts:
        raise InputError("no selector was given", "name streams, such as 'r1/imu' or 'r*/cam/*'; '*' is everything")
    for text in texts:
        if not isinstance(text, str):
            raise InputError(f"selector {text!r} is no text", "give each as text: select('r1/imu', 'r*/cam/*')")
        _refuse_view(text)
    return tuple(Selector.typed(text) for text in texts)


def _refuse_view(text: str) -> None:
    """Raise InputError for what names an event or an episode where streams are chosen."""
    kind, colon, name = text.strip().partition(":")
    kind = kind.lower().removesuffix("s")
    if colon and kind == "episode":
        step = f"in Python fleet.episodes({name!r}).select('imu', ...); on the command line write it episode:{name}"
        raise InputError(f"{text!r} names an episode, and streams are chosen here", step)
    if colon and kind == "event":
        step = f"name streams, from event:{name}-10s to event:{name}+5s: --start, --stop, in Python between(...)"
        raise InputError(f"{text!r} names an event, and streams are chosen here", step)


def wants(selector: Selector, robot: str, cls: str, stream: str) -> bool:
    """Tell whether a selector chooses a stream; `meta` (events, later the books) only when named, not by a glob."""
    if not means_health(selector, stream):
        return False
    if cls == "meta" and is_glob(selector.stream.partition("/")[0]):
        return False
    return selector.matches(robot, stream)


def is_own(cls: str, stream: str) -> bool:
    """Tell whether a stream is fleetbox's own book-keeping: nobody recorded it, and lists leave it out."""
    return stream in HEALTH_STREAMS or (cls == "meta" and stream not in (EVENTS, EPISODES))


def means_own(selector: Selector, stream: str) -> bool:
    """Tell whether a selector names streams of fleetbox's own, as `r1/ledger` and `r1/fleetbox/*` do, and no glob."""
    first = selector.stream.partition("/")[0]
    return not is_glob(first) and first == stream.partition("/")[0]


def means_health(selector: Selector, stream: str) -> bool:
    """Tell whether a selector means a stream, where that is the agent's own: a glob does when it names `fleetbox`."""
    return stream not in HEALTH_STREAMS or selector.stream.startswith(HEALTH_GLOB)

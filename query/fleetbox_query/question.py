"""Hold what is asked for: which streams, which time, which labels, which places."""

from __future__ import annotations

from dataclasses import dataclass, field

from fleetbox.errors import InputError
from fleetbox.labels import Labels
from fleetbox.selectors import Selector, is_glob
from fleetbox.settings import Tier
from fleetbox_query.event_search import Search

EVENT = "event:"  # how a time that hangs on an event starts; resolved when the question is asked

Moment = int | str | None  # µs since the epoch, an `event:` time still to be resolved, or no bound


@dataclass(frozen=True, slots=True)
class Span:
    """Choose streams within [start_us, stop_us); None leaves an end open."""

    selector: Selector
    start_us: int | None = None
    stop_us: int | None = None

    def within(self, start_us: int | None, stop_us: int | None) -> Span | None:
        """Return the part of this span that lies in the given bounds, or None."""
        starts = [at for at in (self.start_us, start_us) if at is not None]
        stops = [at for at in (self.stop_us, stop_us) if at is not None]
        start, stop = max(starts, default=None), min(stops, default=None)
        return None if start is not None and stop is not None and start >= stop else Span(self.selector, start, stop)


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
class Question:
    """Hold a whole question; it is a plain value, so that asking it twice asks the same.

    `events` replaces start and stop: the selectors' streams are taken around each event of its robot.
    """

    selectors: tuple[Selector, ...]
    start: Moment = None
    stop: Moment = None
    events: EventQuestion | None = None
    labels: Labels = field(default_factory=dict)
    when: str = ""
    tier: Tier | None = None
    site: str | None = None


def parse_selectors(texts: tuple[str, ...]) -> tuple[Selector, ...]:
    """Read selectors; raise InputError when there is none."""
    if not texts:
        raise InputError("no selector was given", "name streams, such as 'r1/imu' or 'r*/cam/*'; '*' is everything")
    for text in texts:
        if not isinstance(text, str):
            raise InputError(f"selector {text!r} is no text", "give each as text: select('r1/imu', 'r*/cam/*')")
    return tuple(Selector.parse(text) for text in texts)


def wants(selector: Selector, robot: str, cls: str, stream: str) -> bool:
    """Tell whether a selector chooses a stream; `meta` (events, later the books) only when named, not by a glob."""
    if cls == "meta" and is_glob(selector.stream.partition("/")[0]):
        return False
    return selector.matches(robot, stream)

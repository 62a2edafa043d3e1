"""Choose events step by step, then list them, look at the streams around them, or make episodes of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from fleetbox.errors import InputError
from fleetbox.events import Event
from fleetbox.selectors import Selector
from fleetbox_query.episodes.chosen import Episodes
from fleetbox_query.episodes.making import from_events, make_episodes
from fleetbox_query.event_search import SEVERITY, Box, Circle, Search, checked_box, checked_circle, metres
from fleetbox_query.events import Found, Where, find_events, resolve
from fleetbox_query.moments import DurationLike, TimeLike, duration_us
from fleetbox_query.provenance import Provenance
from fleetbox_query.question import EpisodeQuestion, EventQuestion, Question
from fleetbox_query.selection import Selection
from fleetbox_query.session import Session
from fleetbox_query.stream_choice import label_text
from fleetbox_query.wording import events_words


@dataclass(frozen=True, repr=False)
class Events:
    """Hold a question about events; every step returns a new one, nothing is read before `list`, `len` or a loop.

    Each of these asks the places anew, and Python's own list(events) does both: `events.list()` asks once.
    """

    session: Session
    question: EventQuestion
    places: Where = field(default_factory=Where)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({events_words(self.question)})"

    def last(self, duration: DurationLike) -> Events:
        """Keep events whose moment is at most this old now, such as "30d".

        Example:
            fleet.events("hard_brake").last("30d").list()
        """
        return replace(self, question=replace(self.question, start=self.session.since(duration), stop=None))

    def between(self, start: TimeLike | None, stop: TimeLike | None) -> Events:
        """Keep events whose moment lies in [start, stop); None leaves an end open.

        Example:
            fleet.events().between("now-1d", "now").list()
        """
        moments = {"start": self.session.moment(start), "stop": self.session.moment(stop)}
        return replace(self, question=replace(self.question, **moments))  # type: ignore[arg-type]

    def robots(self, *globs: str) -> Events:
        """Keep events of these robots.

        Example:
            fleet.events("hard_brake").robots("r1", "wh1-*").list()
        """
        return replace(self, question=replace(self.question, robots=globs))

    def search(
        self,
        text: str = "",
        *,
        labels: Mapping[str, object] | None = None,
        severity: str | None = None,
        longer: DurationLike | None = None,
        shorter: DurationLike | None = None,
        near: tuple[float, float, str | float] | None = None,
        box: tuple[float, float, float, float] | None = None,
        plane: bool = False,
    ) -> Events:
        """Keep events that are like this; calls add up, and all of it must hold.

        text: words that all stand in the kind, id, note, trigger or a label, whatever their case. labels: exact texts;
        severity: the label of that name. longer, shorter: the event's whole interval. near: (lat, lon, "200m"), box:
        (lat, lon, lat, lon), by the event's labels `lat` and `lon`; plane: by `x` and `y` in metres instead.
        The first search of a store reads all its events into an index under ~/.cache/fleetbox, later ones what came
        since. Raises InputError.

        Example:
            fleet.events("*brake*").last("30d").search("pallet", severity="high", near=(48.137, 11.575, "200m"))
        """
        known = self.question.search or Search()
        given = {name: label_text(name, value) for name, value in (labels or {}).items()}
        given |= {} if severity is None else {SEVERITY: severity}
        within: Circle | Box | None = known.within
        if near is not None:
            within = checked_circle(near[0], near[1], metres(near[2]), plane)
        if box is not None:
            within = checked_box(*box, plane)
        if near is not None and box is not None:
            raise InputError("near and box are both given", "use one of them")
        found = Search(
            (*known.words, *text.split()),
            known.with_labels(given),
            known.shortest_us if longer is None else duration_us(longer),
            known.longest_us if shorter is None else duration_us(shorter),
            within,
        )
        return replace(self, question=replace(self.question, search=found))

    def at(self, *, tier: str | None = None, site: str | None = None) -> Events:
        """Ask one tier or site only.

        Example:
            fleet.events().at(site="edge-1").list()
        """
        return replace(self, places=Where(tier, site))  # type: ignore[arg-type]

    def select(self, *streams: str, pre: DurationLike | None = None, post: DurationLike | None = None) -> Selection:
        """Choose streams (STREAM[:FIELD]) around the events, each at the event's own robot.

        pre, post: how much before and after the event's moment; without them, the event's own interval.

        Example:
            fleet.events("hard_brake").last("30d").select("imu", "cam/front", pre="5s", post="2s").frames()
        """
        selectors = tuple(replace(Selector.parse(f"*/{stream}"), robot="*") for stream in streams or ("**",))
        question = replace(
            self.question,
            pre_us=None if pre is None else duration_us(pre),
            post_us=None if post is None else duration_us(post),
        )
        where = self.places
        return Selection(self.session, Question(selectors, events=question, tier=where.tier, site=where.site))

    def __iter__(self) -> Iterator[Event]:
        return iter(self.list())

    def __len__(self) -> int:
        return len(self.list())

    def __bool__(self) -> bool:
        return True  # a question, as a Selection is: `if events:` must not ask the places

    def list(self) -> list[Event]:
        """Return the events in order of time; a PartialAnswer warning names places that could not be asked.

        Example:
            print([event.id for event in fleet.events("hard_*").list()])
        """
        found = self.find()
        Provenance(unreachable=found.inventory.unreached).warn()
        return list(found.events)

    def find(self) -> Found:
        """Return the events with the inventory that says which places were asked.

        Example:
            print(fleet.events().find().unreached)
        """
        return self.session.run(self._find())

    def episodes(self, name: str, *streams: str, note: str | None = None) -> Episodes:
        """Make an episode NAME/000000 on of each event, in order of time, and return them; no record is copied.

        Its interval and robot are the event's, its labels too; note: the task, by default the event's note or kind.

        Example:
            fleet.events("*brake*").last("1h").episodes("brakes", "imu", "cam/front")
        """
        make_episodes(self.session, from_events(name, self.list(), streams, note), self.places)
        return Episodes(self.session, EpisodeQuestion((f"{name}/*",)), self.places)

    async def _find(self) -> Found:
        session = self.session
        start = await resolve(session.stores, session.fleet, self.places, self.question.start)
        stop = await resolve(session.stores, session.fleet, self.places, self.question.stop)
        return await find_events(session.stores, session.fleet, self.question, self.places, (start, stop))

"""The researcher's door: connect to a fleet, look at what there is, select, ask."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

from fleetbox.clock import Clock
from fleetbox.episodes import Episode
from fleetbox.errors import InputError, NotFound
from fleetbox.events import Event
from fleetbox.selectors import Selector
from fleetbox.settings import FleetSettings, find_fleet
from fleetbox_query.chosen_events import Events
from fleetbox_query.episodes.chosen import Episodes
from fleetbox_query.episodes.making import make_episodes
from fleetbox_query.events import Where, find_event
from fleetbox_query.inventory import take_inventory
from fleetbox_query.means import Mean, scalar_mean
from fleetbox_query.moments import TimeLike
from fleetbox_query.provenance import Provenance
from fleetbox_query.question import EpisodeQuestion, EventQuestion, Question, parse_selectors
from fleetbox_query.selection import Selection
from fleetbox_query.session import Session
from fleetbox_query.stores import places_for
from fleetbox_query.stream_choice import label_text
from fleetbox_query.streams import Streams, list_streams

__all__ = ["Events", "Fleet", "connect"]


def connect(where: Path | str | FleetSettings | None = None, *, clock: Clock | None = None) -> Fleet:
    """Connect to a fleet.

    where: its fleet.toml (or a robot.toml), settings already read, or None to look as the command line does:
    FLEETBOX_FLEET, ./fleet.toml, /etc/fleetbox/robot.toml. Nothing is contacted before the first question.

    Example:
        fleet = fb.connect("fleet.toml")
        fleet.streams("r1/**")
        fleet.events("hard_brake").last("30d").select("cam/front", pre="5s", post="2s").frames()
    """
    return Fleet(Session(where if isinstance(where, FleetSettings) else find_fleet(where), clock))


class Fleet:
    """Ask a fleet; close it when done, or use it as a context manager. Works inside a running event loop."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def __repr__(self) -> str:
        return f"Fleet({self.settings.fleet}: {', '.join(place.name for place in self.settings.places())})"

    def __enter__(self) -> Fleet:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def session(self) -> Session:
        """Return what its questions run on."""
        return self._session

    @property
    def settings(self) -> FleetSettings:
        """Return the settings in force."""
        return self._session.fleet

    def robots(self) -> list[str]:
        """Return the robots that the settings name or that have records at a reached place.

        Example:
            print(fleet.robots())
        """
        return self._session.run(self._robots())

    def streams(
        self, selector: str = "*", *, tier: str | None = None, site: str | None = None, all: bool = False
    ) -> Streams:
        """Return what streams there are, with type, fields, rates, first and last record and where they are held.

        Those that fleetbox keeps for itself (books, policies, what agents measure) are there when they are named, as
        "r1/ledger" or "r1/fleetbox/*", or with `all`.

        Example:
            for stream in fleet.streams("r1/**"):
                print(stream.stream, stream.hz, stream.fields_text(), [held.place for held in stream.held])
        """
        question = Question(parse_selectors((selector,)))
        where = Where(tier, site)  # type: ignore[arg-type]
        return self._session.run(list_streams(self._session.stores, self.settings, question, where, every=all))

    def select(self, *selectors: str) -> Selection:
        """Choose streams by ROBOT/STREAM[:FIELD] with globs, such as "r*/imu:ax"; nothing is read yet.

        Example:
            fleet.select("r1/imu:ax", "r1/joints").last("1h").frames()
        """
        return Selection(self._session, Question(parse_selectors(selectors)))

    def events(self, kind: str | None = None) -> Events:
        """Choose events by kind (a glob), such as "hard_brake"; nothing is read yet.

        Example:
            for event in fleet.events("hard_brake").last("30d"):
                print(event.id, event.note)
        """
        if kind is not None and not isinstance(kind, str):
            raise InputError(f"a kind of event is text, not {kind!r}", 'name one, such as events("hard_brake")')
        return Events(self._session, EventQuestion(kind))

    def event(self, name: str, *, tier: str | None = None, site: str | None = None) -> Event:
        """Return one event by its id, or by a beginning only it has; raises NotFound.

        Example:
            name = fleet.events("hard_brake").list()[-1].id
            print(fleet.event(name).start_us)
        """
        where = Where(tier, site)  # type: ignore[arg-type]
        return self._session.run(find_event(self._session.stores, self.settings, where, name))

    def episodes(self, *names: str) -> Episodes:
        """Choose episodes by name (a glob), id or note, each with @VERSION for how it was; nothing is read yet.

        Example:
            fleet.episodes("pick cup").where("success").select("imu").frames()
        """
        for name in names:
            if not isinstance(name, str):
                raise InputError(f"an episode's name is text, not {name!r}", 'name one, such as episodes("picks/*")')
        return Episodes(self._session, EpisodeQuestion(names))

    def episode(self, name: str, *, tier: str | None = None, site: str | None = None) -> Episode:
        """Return one episode by its name, id, or note; raises NotFound, InputError where several have it.

        Example:
            fleet.episode("picks/0001").intervals
        """
        found = self.episodes(name).at(tier=tier, site=site).list()
        if len(found) == 1:
            return found[0]
        shown = ", ".join(one.id for one in found[-5:])
        raise InputError(f"{len(found)} episodes are meant by {name!r}", f"name one: {shown}" if shown else None)

    def new_episode(
        self,
        name: str,
        robot: str,
        start: TimeLike,
        stop: TimeLike,
        *,
        streams: Sequence[str] = ("**",),
        note: str = "",
        success: bool | None = None,
        labels: Mapping[str, object] | None = None,
        fps: float | None = None,
        robot_type: str = "",
    ) -> Episode:
        """Make an episode of what a robot recorded in [start, stop), and return it; no record is read or copied.

        streams: STREAM[:FIELD] globs. note: the task in words. Raises InputError where one has that name.

        Example:
            fleet.new_episode("picks/a", "r1", "-10s", "now", streams=["imu", "cam/*"], note="pick cup", success=True)
        """
        given = {key: label_text(key, value) for key, value in (labels or {}).items()}
        bounds = [self._session.run(self._session.resolve(self._session.moment(at), Where())) for at in (start, stop)]
        wish = Episode(
            "",
            name,
            robot,
            ((bounds[0], bounds[1]),),
            tuple(streams),
            note,
            success,
            given,
            fps=fps,
            robot_type=robot_type,
        )
        return make_episodes(self._session, [wish])[0]

    def scalar_mean(self, selector: str, start: TimeLike, stop: TimeLike) -> Mean:
        """Return (mean, "influx" or "chunks") of one scalar such as "r1/imu:ax" over [start, stop).

        InfluxDB is asked where a site has one; without an answer the same numbers come from the chunks.

        Example:
            mean, source = fleet.scalar_mean("r1/imu:ax", "now-1h", "now")
        """
        return self._session.run(self._mean(Selector.parse(selector), start, stop))

    def close(self) -> None:
        """Close every connection.

        Example:
            fleet.close()
        """
        self._session.close()

    async def _robots(self) -> list[str]:
        everything = [Selector()]
        places = places_for(self.settings, everything, None, None)
        try:
            inventory = await take_inventory(self._session.stores, places, everything, meta=True)
        except NotFound:
            return sorted(self.settings.known_robots)
        Provenance(unreachable=inventory.unreached).warn()
        return sorted({*self.settings.known_robots, *(holding.robot for holding in inventory.holdings)})

    async def _mean(self, selector: Selector, start: TimeLike, stop: TimeLike) -> Mean:
        session = self._session
        times = [await session.resolve(session.moment(time), Where()) for time in (start, stop)]
        return await scalar_mean(session, selector, *times)

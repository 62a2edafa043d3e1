"""Choose episodes step by step, then look at them, change them, or take them home."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fleetbox.episodes import Episode, Revision, change, first
from fleetbox.errors import InputError
from fleetbox.selectors import Selector, matches_glob
from fleetbox_query.episodes import editing
from fleetbox_query.episodes.features import features_known
from fleetbox_query.episodes.finding import Found, find_episodes
from fleetbox_query.episodes.horizon import Standing, standings
from fleetbox_query.episodes.pinning import Pinned
from fleetbox_query.episodes.pins import pin_all, unpin_all
from fleetbox_query.episodes.writing import Tell, Written, write_all, writer_here
from fleetbox_query.events import Where
from fleetbox_query.expressions import compile_expression
from fleetbox_query.moments import DurationLike, TimeLike
from fleetbox_query.provenance import Provenance
from fleetbox_query.question import EpisodeQuestion, Question
from fleetbox_query.selection import Selection, label_text
from fleetbox_query.session import Session

if TYPE_CHECKING:
    import pandas as pd

    from fleetbox.settings.lerobot import LerobotMap
    from fleetbox_query.exports.job import Exported
    from fleetbox_query.lerobot.exported import Exported as LerobotExported
    from fleetbox_query.sizing import Size


def _quiet(done: int, total: int) -> None:
    """Tell nobody."""


@dataclass(frozen=True)
class Episodes:
    """Hold a question about episodes; every step returns a new one, nothing is read before a verb.

    Changes are revisions beside the records: no verb but pin() copies a byte of data.

    Example:
        picks = fleet.episodes("pick cup").where("success && operator == 'ann'")
        picks.select("cam/front", "joints").size()
    """

    session: Session
    question: EpisodeQuestion
    places: Where = field(default_factory=Where)

    def where(self, when: str | None = None, /, **labels: object) -> Episodes:
        """Keep episodes that pass a CEL expression over their labels, success, note, robot, seconds, or have labels.

        Example:
            fleet.episodes().where("success && seconds > 0.5").where(operator="ann")
        """
        question = self.question
        if when is not None:
            compile_expression(when)
            question = replace(question, when=f"({question.when}) && ({when})" if question.when else when)
        given = {name: label_text(name, value) for name, value in labels.items()}
        return replace(self, question=replace(question, labels={**question.labels, **given}))

    def robots(self, *globs: str) -> Episodes:
        """Keep episodes of these robots.

        Example:
            fleet.episodes().robots("r*").list()
        """
        return replace(self, question=replace(self.question, robots=globs))

    def last(self, duration: DurationLike) -> Episodes:
        """Keep episodes that began at most so long ago, such as "30d".

        Example:
            fleet.episodes().last("30d").list()
        """
        return replace(self, question=replace(self.question, start=self.session.since(duration), stop=None))

    def between(self, start: TimeLike | None, stop: TimeLike | None) -> Episodes:
        """Keep episodes that began in [start, stop); None leaves an end open.

        Example:
            fleet.episodes().between("-1d", "now").list()
        """
        moments = {"start": self.session.moment(start), "stop": self.session.moment(stop)}
        return replace(self, question=replace(self.question, **moments))  # type: ignore[arg-type]

    def at(self, *, tier: str | None = None, site: str | None = None) -> Episodes:
        """Ask, and write at, one tier or site only.

        Example:
            fleet.episodes().at(site="edge-1").list()
        """
        return replace(self, places=Where(tier, site))  # type: ignore[arg-type]

    # -- looking -------------------------------------------------------------------------------------------------

    def select(self, *streams: str) -> Selection:
        """Choose streams (STREAM[:FIELD]) within the episodes; without any, all that each of them shows.

        Example:
            fleet.episodes("pick cup").select("imu").frames()
        """
        selectors = tuple(replace(Selector.parse(f"*/{stream}"), robot="*") for stream in streams or ("**",))
        where = self.places
        return Selection(self.session, Question(selectors, episodes=self.question, tier=where.tier, site=where.site))

    def frames(self, **options: Any) -> pd.DataFrame:
        """Return a pandas frame of what the episodes show, computed fields too; as Selection.frames.

        Example:
            fleet.episodes("pick cup").frames()
        """
        return self.select().frames(**options)

    def size(self) -> Size:
        """Return records, rows and bytes of what the episodes show; moves nothing.

        Example:
            print(fleet.episodes("pick cup").size())
        """
        return self.select().size()

    def export(self, format: str, out: Path | str, **options: Any) -> Exported:
        """Write what the episodes show into files, as Selection.export does.

        Example:
            fleet.episodes("pick cup").export("mcap", "picks.mcap")
        """
        return self.select().export(format, out, **options)

    def lerobot(
        self,
        out: Path | str,
        map: LerobotMap | Path | str | None = None,
        *,
        advance: Callable[[float, str], None] | None = None,
    ) -> LerobotExported:
        """Write a LeRobot v3.0 dataset: each interval of each episode, its note the task; as Selection.lerobot.

        Example:
            fleet.episodes("picks/*").lerobot("picks", map="lerobot.toml")
        """
        return self.select().lerobot(out, map, advance=advance)

    def standings(self) -> dict[str, Standing]:
        """Return by id when each loses data to the rings that hold it, and what is lost already.

        Example:
            fleet.episodes("pick cup").standings()
        """
        return self.session.run(standings(self.session, self.list(), self.places))

    def __iter__(self) -> Iterator[Episode]:
        return iter(self.list())

    def __len__(self) -> int:
        return len(self.list())

    def __bool__(self) -> bool:
        return True  # a question, as a Selection is

    def list(self) -> list[Episode]:
        """Return the episodes in order of their names; a PartialAnswer warning names places that could not be asked.

        Example:
            [(one.name, one.version) for one in fleet.episodes("pick cup").list()]
        """
        found = self.find()
        Provenance(unreachable=found.unreached).warn()
        return list(found.episodes)

    def find(self) -> Found:
        """Return the episodes with their revisions and the inventory that says which places were asked.

        Example:
            fleet.episodes("pick cup").find().unreached
        """
        session = self.session
        return session.run(find_episodes(session.stores, session.fleet, self.question, self.places))

    # -- changing ------------------------------------------------------------------------------------------------

    def label(
        self,
        labels: Mapping[str, object | None] | None = None,
        /,
        *,
        note: str | None = None,
        success: bool | None = None,
        fps: float | None = None,
        robot_type: str | None = None,
        **more: object | None,
    ) -> Written:
        """Give the episodes labels (None takes one away), a note, whether they succeeded, a frame rate, a robot type.

        Example:
            fleet.episodes("pick cup").label(operator="ann", success=True)
        """
        given = {**(labels or {}), **more}
        texts = {name: None if value is None else label_text(name, value) for name, value in given.items()}
        own = {"note": note, "success": success, "fps": fps, "robot_type": robot_type}
        to: dict[str, Any] = {name: value for name, value in own.items() if value is not None}
        if not texts and not to:
            raise InputError("nothing to change", "give labels, a note, success, fps or robot_type")
        return self._change("label", lambda one: {"labels": texts, **to})

    def drop(self) -> Written:
        """Hide the episodes; their records, and what was made of them, stay. `restore` brings them back.

        Example:
            fleet.episodes("pick cup").where("!success").drop()
        """
        return self._change("drop", lambda one: {"state": "dropped"})

    def restore(self) -> Written:
        """Bring dropped episodes back.

        Example:
            fleet.episodes("place cup").drop()
            fleet.episodes("place cup").restore()
        """
        dropped = replace(self, question=replace(self.question, dropped=True))
        return dropped._change("restore", lambda one: {"state": "closed"})

    def add_feature(self, name: str, expression: str) -> Written:
        """Add a field "STREAM:NAME" computed from that stream's fields.

        Example:
            fleet.episodes("pick cup").add_feature("imu:twice", "2 * ax")
        """
        known = self._known()
        return self._change("add", lambda one: editing.with_computed(one, name, expression, known[one.id]))

    def remove_feature(self, name: str) -> Written:
        """Take a stream ("cam/back"), a field ("imu:temp") or a computed field out of the episodes' view.

        Example:
            fleet.episodes("pick cup").remove_feature("cam/front")
        """
        known = self._known()
        return self._change("remove", lambda one: editing.without(one, name, known[one.id]))

    def bring_back(self, name: str) -> Written:
        """Put a removed stream or field back.

        Example:
            fleet.episodes("place cup").remove_feature("imu")
            fleet.episodes("place cup").bring_back("imu")
        """
        return self._change("bring back", lambda one: editing.brought_back(one, name))

    def features(self) -> Mapping[str, Sequence[str]]:
        """Return by id the features that the episodes have: "STREAM" and "STREAM:FIELD".

        Example:
            fleet.episodes("pick cup").features()
        """
        return self._known()

    # -- making others -------------------------------------------------------------------------------------------

    def save(self, name: str, *, pin: bool = False, tell: Tell = _quiet) -> Episodes:
        """Make a set NAME/000000 on of episodes that show what these show now, whatever becomes of these.

        Example:
            fleet.episodes("pick cup").where("success").save("picks-v1")
        """
        made = self._numbered(name, self._some(), "save", tell)
        if pin:
            made.pin()
        return made

    def split(self, parts: Mapping[str, float | Sequence[int]], *, tell: Tell = _quiet) -> dict[str, Episodes]:
        """Make a set of episodes for each part, by fractions in order, or by indexes; these stay as they are.

        Fractions add up to at most 1; the last part takes the remainder when they add up to 1.

        Example:
            fleet.episodes("pick cup").split({"train": 0.5, "val": 0.5})
        """
        some = self._some()
        chosen = editing.split_parts(len(some), parts)
        made = {name: self._copies(name, [some[at] for at in found], "split") for name, found in chosen.items()}
        self._check_free(*(f"{part}/**" for part in parts))
        self._write([first(one) for part in made.values() for one in part], tell)
        return {name: self._set(name) for name in parts}

    def merge(self, name: str, *others: Episodes, tell: Tell = _quiet) -> Episodes:
        """Make one set of these and others, in order; raises InputError unless fps, robot type and features agree.

        Example:
            fleet.episodes("pick cup").merge("all", fleet.episodes("place cup"))
        """
        some = [*self._some(), *(one for other in others for one in other._some())]
        editing.check_alike(some)
        return self._numbered(name, some, "merge", tell)

    def join(self, name: str) -> Episode:
        """Make one episode of the intervals of these, all of the same robot and alike.

        Example:
            fleet.episodes("pick cup").join("both")
        """
        made = editing.joined(name, self._some(), writer_here(), self.session.now_us())
        self._check_free(name)
        self._write([first(made)])
        return made

    def cut(self, *times: TimeLike) -> Episodes:
        """Make episodes NAME/000000 on of the pieces of one, cut at moments; it stays as it is.

        Example:
            one = fleet.episode("picks/0001")
            fleet.episodes(one.id).cut(one.start_us + 1_000_000)
        """
        some = self._some()
        if len(some) != 1:
            raise InputError(f"{len(some)} episodes would be cut", "name one")
        where = self.places
        points = [self.session.run(self.session.resolve(self.session.moment(time), where)) for time in times]
        made = editing.cut_at(some[0], points, writer_here(), self.session.now_us())
        self._check_free(f"{some[0].name}/*")
        self._write([first(one) for one in made])
        return self._set(some[0].name)

    def pin(self, *, tier: str | None = None, site: str | None = None, tell: Tell = _quiet) -> Sequence[Pinned]:
        """Copy what the episodes show into `kept`, so that no ring takes it; raises Incomplete when it has no room.

        At the last site that holds them, or the one that tier or site names.

        Example:
            fleet.episodes("pick cup").pin()
        """
        return pin_all(self.session, self._some(), Where(tier, site), tell)  # type: ignore[arg-type]

    def unpin(self) -> Sequence[Pinned]:
        """Take the pins' copies out of `kept`, but for those that another pinned episode shows.

        Example:
            fleet.episodes("place cup").pin()
            fleet.episodes("place cup").unpin()
        """
        return unpin_all(self.session, self._some())

    # -- inside --------------------------------------------------------------------------------------------------

    def _some(self) -> Sequence[Episode]:
        found = self.list()
        if not found:
            raise InputError("no episode is chosen", "`fleetbox episode ls` shows them")
        return found

    def _change(self, did: str, to: Callable[[Episode], Mapping[str, Any]]) -> Written:
        by, now_us = writer_here(), self.session.now_us()
        return self._write([change(one, did, by, now_us, **to(one)) for one in self._some()])

    def _write(self, revisions: Sequence[Revision], tell: Tell = _quiet) -> Written:
        session = self.session
        work = write_all(session.stores, session.fleet, revisions, self.places, session.now_us(), tell)
        return session.run(work)

    def _numbered(self, name: str, some: Sequence[Episode], did: str, tell: Tell) -> Episodes:
        made = self._copies(name, some, did)
        self._check_free(f"{name}/**")
        self._write([first(one) for one in made], tell)
        return self._set(name)

    def _copies(self, name: str, some: Sequence[Episode], did: str) -> Sequence[Episode]:
        by, now_us = writer_here(), self.session.now_us()
        return editing.numbered(name, some, lambda one: editing.copy_of(one, did, by, now_us))

    def _set(self, name: str) -> Episodes:
        return replace(self, question=EpisodeQuestion((f"{name}/*",)))

    def _check_free(self, *globs: str) -> None:
        known = replace(self, question=EpisodeQuestion()).list()
        if taken := [one for one in known if any(matches_glob(glob, one.name) for glob in globs)]:
            raise InputError(f"there is an episode {taken[0].name} already", "choose another name, or drop them first")

    def _known(self) -> Mapping[str, Sequence[str]]:
        return features_known(self.session, self._some(), self.places)

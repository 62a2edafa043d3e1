"""Look at the episodes that were chosen, change them, make others of them, take them home."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fleetbox.episodes import Episode, change
from fleetbox.errors import InputError
from fleetbox.person import person_here
from fleetbox.selectors import Selector, matches_glob
from fleetbox_query.episodes import editing
from fleetbox_query.episodes.choice import EpisodeChoice
from fleetbox_query.episodes.features import features_known
from fleetbox_query.episodes.horizon import Standing, standings
from fleetbox_query.episodes.making import copy_sets, write_new
from fleetbox_query.episodes.pinning import Pinned
from fleetbox_query.episodes.pins import pin_all, unpin_all
from fleetbox_query.episodes.writing import Tell, Written, untold, write_all
from fleetbox_query.events import Where
from fleetbox_query.moments import TimeLike
from fleetbox_query.question import EpisodeQuestion, Question
from fleetbox_query.selection import Selection
from fleetbox_query.stream_choice import label_text

if TYPE_CHECKING:
    import pandas as pd

    from fleetbox.settings.lerobot import LerobotMap
    from fleetbox_query.exports.job import Exported
    from fleetbox_query.lerobot.exported import Exported as LerobotExported
    from fleetbox_query.sizing import Size


@dataclass(frozen=True, repr=False)
class Episodes(EpisodeChoice):
    """Hold a question about episodes; every step returns a new one, nothing is read before a verb.

    Changes are revisions beside the records: no verb but pin() copies a byte of data.

    Example:
        picks = fleet.episodes("pick cup").where("success && operator == 'ann'")
        picks.select("cam/front", "joints").size()
    """

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

    def save(self, name: str, *, pin: bool = False, tell: Tell = untold) -> Episodes:
        """Make a set NAME/000000 on of episodes that show what these show now, whatever becomes of these.

        Example:
            fleet.episodes("pick cup").where("success").save("picks-v1")
        """
        copy_sets(self.session, {name: self._some()}, "save", self.places, tell)
        made = self._set(name)
        if pin:
            made.pin()
        return made

    def split(self, parts: Mapping[str, float | Sequence[int]], *, tell: Tell = untold) -> dict[str, Episodes]:
        """Make a set of episodes for each part, by fractions in order, or by indexes; these stay as they are.

        Fractions add up to at most 1; the last part takes the remainder when they add up to 1.

        Example:
            fleet.episodes("pick cup").split({"train": 0.5, "val": 0.5})
        """
        some = self._some()
        chosen = editing.split_parts(len(some), parts)
        sets = {name: [some[at] for at in found] for name, found in chosen.items()}
        copy_sets(self.session, sets, "split", self.places, tell)
        return {name: self._set(name) for name in parts}

    def merge(self, name: str, *others: Episodes, tell: Tell = untold) -> Episodes:
        """Make one set of these and others, in order; raises InputError unless fps, robot type and features agree.

        Example:
            fleet.episodes("pick cup").merge("all", fleet.episodes("place cup"))
        """
        some = [*self._some(), *(one for other in others for one in other._some())]
        editing.check_alike(some)
        copy_sets(self.session, {name: some}, "merge", self.places, tell)
        return self._set(name)

    def join(self, name: str) -> Episode:
        """Make one episode of the intervals of these, all of the same robot and alike.

        Example:
            fleet.episodes("pick cup").join("both")
        """
        made = editing.joined(name, self._some(), person_here(), self.session.now_us())
        write_new(self.session, [made], self.places, lambda known: matches_glob(name, known))
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
        made = editing.cut_at(some[0], points, person_here(), self.session.now_us())
        write_new(self.session, made, self.places, lambda known: matches_glob(f"{some[0].name}/*", known))
        return self._set(some[0].name)

    def pin(self, *, tier: str | None = None, site: str | None = None, tell: Tell = untold) -> Sequence[Pinned]:
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

    def _change(self, did: str, to: Callable[[Episode], Mapping[str, Any]]) -> Written:
        session, by, now_us = self.session, person_here(), self.session.now_us()
        revisions = [change(one, did, by, now_us, **to(one)) for one in self._some()]
        return session.run(write_all(session.stores, session.fleet, revisions, self.places, now_us))

    def _set(self, name: str) -> Episodes:
        return replace(self, question=EpisodeQuestion((f"{name}/*",)))

    def _known(self) -> Mapping[str, Sequence[str]]:
        return features_known(self.session, self._some(), self.places)

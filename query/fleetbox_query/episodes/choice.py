"""Choose episodes step by step; nothing is read before they are listed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Self

from fleetbox.episodes import Episode
from fleetbox.errors import InputError
from fleetbox_query.episodes.finding import Found, find_episodes
from fleetbox_query.events import Where
from fleetbox_query.expressions import compile_expression
from fleetbox_query.moments import DurationLike, TimeLike
from fleetbox_query.provenance import Provenance
from fleetbox_query.question import EpisodeQuestion
from fleetbox_query.session import Session
from fleetbox_query.stream_choice import label_text
from fleetbox_query.wording import episodes_words


@dataclass(frozen=True, repr=False)
class EpisodeChoice:
    """Hold a question about episodes, and where it is asked; every step returns a new one."""

    session: Session
    question: EpisodeQuestion
    places: Where = field(default_factory=Where)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({episodes_words(self.question)})"

    def where(self, when: str | None = None, /, **labels: object) -> Self:
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

    def robots(self, *globs: str) -> Self:
        """Keep episodes of these robots.

        Example:
            fleet.episodes().robots("r*").list()
        """
        return replace(self, question=replace(self.question, robots=globs))

    def last(self, duration: DurationLike) -> Self:
        """Keep episodes that began at most so long ago, such as "30d".

        Example:
            fleet.episodes().last("30d").list()
        """
        return replace(self, question=replace(self.question, start=self.session.since(duration), stop=None))

    def between(self, start: TimeLike | None, stop: TimeLike | None) -> Self:
        """Keep episodes that began in [start, stop); None leaves an end open.

        Example:
            fleet.episodes().between("-1d", "now").list()
        """
        moments = {"start": self.session.moment(start), "stop": self.session.moment(stop)}
        return replace(self, question=replace(self.question, **moments))  # type: ignore[arg-type]

    def at(self, *, tier: str | None = None, site: str | None = None) -> Self:
        """Ask, and write at, one tier or site only.

        Example:
            fleet.episodes().at(site="edge-1").list()
        """
        return replace(self, places=Where(tier, site))  # type: ignore[arg-type]

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

    def _some(self) -> Sequence[Episode]:
        found = self.list()
        if not found:
            raise InputError("no episode is chosen", "`fleetbox episode ls` shows them")
        return found

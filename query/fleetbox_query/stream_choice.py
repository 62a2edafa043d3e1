"""Choose streams, time, labels and places step by step; nothing is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Self

from fleetbox.errors import InputError
from fleetbox.settings import Tier
from fleetbox.settings.places import TIERS
from fleetbox_query.expressions import compile_expression
from fleetbox_query.moments import DurationLike, TimeLike
from fleetbox_query.question import Question
from fleetbox_query.session import Session
from fleetbox_query.wording import streams_words


@dataclass(frozen=True, repr=False)
class StreamChoice:
    """Hold a question about streams; every step returns a new one."""

    session: Session
    question: Question

    def __repr__(self) -> str:
        return f"{type(self).__name__}({streams_words(self.question)})"

    def where(self, labels: Mapping[str, object] | str | None = None, /, **more: object) -> Self:
        """Keep what passes a CEL expression, or records whose labels have exactly these values (compared as text).

        An expression is what `--when` takes: a bare name is a field where a chosen stream has one, else a label;
        `explain()` says what of it the stores decide. Several calls must all hold. Raises InputError on what is no CEL.

        Example:
            fleet.select("r1/imu:ax").where("ax > 5 && site == 'edge-1'")
            fleet.select("r1/cam/front").where(site="edge-1")
        """
        if isinstance(labels, str):
            return self._when(labels).where(more) if more else self._when(labels)
        given = {name: label_text(name, value) for name, value in {**(labels or {}), **more}.items()}
        for name, value in given.items():
            if self.question.labels.get(name, value) != value:
                raise InputError(f"label {name!r} is asked to be two things at once", "use a selection for each")
        return self._with(labels={**self.question.labels, **given})

    def last(self, duration: DurationLike) -> Self:
        """Keep what is at most this old now, such as "1h".

        Example:
            fleet.select("r1/imu").last("1h").frames()
        """
        return self._timed(self.session.since(duration), None)

    def between(self, start: TimeLike | None, stop: TimeLike | None) -> Self:
        """Keep [start, stop): any time people write, a datetime, a date (its midnight here), numpy's datetime64 (UTC),
        an epoch, `event:ID-10s`; None leaves an end open.

        Example:
            fleet.select("r1/imu").between("now-10m", "now").frames()
        """
        return self._timed(self.session.moment(start), self.session.moment(stop))

    def tier(self, tier: Tier) -> Self:
        """Ask one tier only: "robot", "edge" or "cloud".

        Example:
            fleet.select("r1/imu").tier("edge").frames()
        """
        if tier not in TIERS:
            raise InputError(f"tier {tier!r} is not known", f"use one of {', '.join(TIERS)}")
        return self._with(tier=tier)

    def site(self, name: str) -> Self:
        """Ask one site only.

        Example:
            fleet.select("r1/imu").site("edge-1").frames()
        """
        return self._with(site=name)

    def _when(self, text: str) -> Self:
        compile_expression(text)
        before = self.question.when
        return self._with(when=f"({before}) && ({text})" if before else text)

    def _with(self, **changes: object) -> Self:
        return replace(self, question=replace(self.question, **changes))  # type: ignore[arg-type]

    def _timed(self, start: int | str | None, stop: int | str | None) -> Self:
        if self.question.events is not None:
            events = replace(self.question.events, start=start, stop=stop)
            return self._with(events=events)
        return self._with(start=start, stop=stop)


def label_text(name: str, value: object) -> str:
    """Return a label's value as the text it is compared as; raises InputError for what is none."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return str(value)
    raise InputError(f"label {name!r} is compared with a {type(value).__name__}", "use text, a number or a truth value")

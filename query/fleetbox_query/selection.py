"""Choose streams, time, labels and places step by step, then ask with one verb."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from fleetbox.errors import InputError
from fleetbox.settings import Tier
from fleetbox.settings.places import TIERS
from fleetbox.time import parse_duration
from fleetbox_query.counting import Count, count
from fleetbox_query.expressions import Expression
from fleetbox_query.frames import ClockName, Tables, aligned, frame_of, tables_of
from fleetbox_query.moments import DurationLike, TimeLike, duration_us
from fleetbox_query.nearest import Nearest, nearest
from fleetbox_query.question import Question
from fleetbox_query.reading import Prepared, Reading
from fleetbox_query.session import Session
from fleetbox_query.streaming import Records

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Selection:
    """Hold a question about streams; every step returns a new one, nothing is read before a verb.

    Verbs: frames() pandas, arrow() tables, records() an iterator, count(), at(time) the nearest record.

    Example:
        fleet.select("r*/imu:ax").where(site="edge-1").last("1h").frames()
    """

    session: Session
    question: Question

    def where(self, labels: Mapping[str, object] | None = None, /, **more: object) -> Selection:
        """Keep records whose labels have exactly these values (str, bool, int or float, compared as text).

        Labels only: conditions on fields are for `fleetbox query --when`, for now.
        """
        if isinstance(labels, str):
            raise InputError(
                f"where({labels!r}): expressions are not taken here yet",
                "give labels, such as where(site='edge-1'), or use `fleetbox query --when EXPRESSION`",
            )
        given = {name: _text(name, value) for name, value in {**(labels or {}), **more}.items()}
        for name, value in given.items():
            if self.question.labels.get(name, value) != value:
                raise InputError(f"label {name!r} is asked to be two things at once", "use a selection for each")
        return self._with(labels={**self.question.labels, **given})

    def last(self, duration: DurationLike) -> Selection:
        """Keep what is at most this old now, such as "1h"."""
        return self._timed(self.session.since(duration), None)

    def between(self, start: TimeLike | None, stop: TimeLike | None) -> Selection:
        """Keep [start, stop): any time people write, a datetime, a date (its midnight here), numpy's datetime64 (UTC),
        an epoch, `event:ID-10s`; None leaves an end open.
        """
        return self._timed(self.session.moment(start), self.session.moment(stop))

    def tier(self, tier: Tier) -> Selection:
        """Ask one tier only: "robot", "edge" or "cloud"."""
        if tier not in TIERS:
            raise InputError(f"tier {tier!r} is not known", f"use one of {', '.join(TIERS)}")
        return self._with(tier=tier)

    def site(self, name: str) -> Selection:
        """Ask one site only."""
        return self._with(site=name)

    def frames(
        self,
        *,
        align: str | None = None,
        max_age: str | None = None,
        clock: ClockName = "record",
        clocks: bool = False,
    ) -> pd.DataFrame:
        """Return a pandas frame over time (UTC): "robot/stream:field" columns, plain field names for one stream.

        Streams are outer-joined on time. align: a rate ("30 Hz") or period ("100ms") to put every column on, each
        time with the previous value, none older than max_age. clock: which clock is the index; clocks: keep the
        exact ns clocks as columns. Blobs stand in a column `value`, undecoded. `frame.attrs["places_read"]`
        counts records by place, `frame.attrs["missing"]` names what could not be read; a PartialAnswer warns of it.
        """
        every_us, age_us = _period_us(align), None if max_age is None else duration_us(max_age)
        tables = self.arrow()
        frame = frame_of(tables, clock, clocks)
        frame = frame if every_us is None else aligned(frame, every_us, age_us)
        # Plain values only: pandas copies attrs deeply at every step.
        frame.attrs |= {
            "places_read": dict(tables.provenance.places_read),
            "missing": tables.provenance.lines(),
        }
        return frame

    def arrow(self, *, warn: bool = True) -> Tables:
        """Return one pyarrow.Table per stream, by "robot/stream", with exact clocks as columns."""
        tables = self.session.run(self._tables())
        if warn:
            tables.provenance.warn()
        return tables

    def records(self, *, warn: bool = True) -> Records:
        """Return an iterator over rows and blobs in order of time; memory stays bounded.

        Pictures that became video are read from it, with a label `made_from`.
        A blob is decoded by its item's `value`, which alone raises when the bytes do not decode: iteration goes on.
        """
        return Records(self.session.loop, self.session.run(self._reading(films=True)), warn=warn)

    def count(self, *, warn: bool = True) -> Count:
        """Return how many records, rows and bytes there are, from heads; only chunks at a border are read."""
        counted = self.session.run(self._count())
        if warn:
            counted.provenance.warn()
        return counted

    def at(self, time: TimeLike) -> Nearest:
        """Return the row or blob nearest to a time; raises NotFound when there is none."""
        return self.session.run(self._at(time))

    def explain(self) -> Expression:
        """Return how the conditions are split between the stores and this program; reads schemas only."""
        return self.session.run(self._prepared()).expression

    def _with(self, **changes: object) -> Selection:
        return replace(self, question=replace(self.question, **changes))  # type: ignore[arg-type]

    def _timed(self, start: int | str | None, stop: int | str | None) -> Selection:
        if self.question.events is not None:
            events = replace(self.question.events, start=start, stop=stop)
            return self._with(events=events)
        return self._with(start=start, stop=stop)

    async def _prepared(self) -> Prepared:
        return await self.session.prepare(self.question)

    async def _reading(self, *, films: bool = False) -> Reading:
        return Reading(self.session.stores, await self.session.prepare(self.question, films=films))

    async def _tables(self) -> Tables:
        reading = await self._reading()
        unreadable: list[str] = []
        tables = tables_of(await reading.all(), reading.prepared.expression, unreadable)
        return Tables(tables, replace(reading.provenance, unreadable=tuple(unreadable)))

    async def _count(self) -> Count:
        return await count(self.session.stores, await self._reading())

    async def _at(self, time: TimeLike) -> Nearest:
        where = self.session.where(self.question)
        time_us = await self.session.resolve(self.session.moment(time), where)
        prepared = await self.session.prepare(self.question, films=True)
        return await nearest(self.session.stores, prepared, time_us)


def _text(name: str, value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return str(value)
    raise InputError(f"label {name!r} is compared with a {type(value).__name__}", "use text, a number or a truth value")


def _period_us(align: str | None) -> int | None:
    """Return the grid's period in µs of "30 Hz" or "100ms"."""
    if align is None:
        return None
    rate = re.fullmatch(r"(\d+(?:\.\d+)?)\s*Hz", align.strip())
    period_us = round(1e6 / float(rate[1])) if rate and float(rate[1]) else 0 if rate else parse_duration(align)
    if period_us < 1:
        raise InputError(f"align={align!r} is no rate or period", 'write it like "30 Hz" or "100ms"')
    return period_us

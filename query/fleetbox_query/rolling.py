"""Roll a selection's numbers up into steps of time, from a site's InfluxDB where it has them, else from the chunks."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from fleetbox import chunks
from fleetbox.errors import FleetboxError, InputError
from fleetbox.points import Points
from fleetbox.rollups import SECOND_US, Rolled, fold, named, rolled
from fleetbox.scalars import ScalarStore
from fleetbox.selectors import matches_glob
from fleetbox_query.batches import Batches
from fleetbox_query.frames import times_of
from fleetbox_query.moments import DurationLike, duration_us
from fleetbox_query.plan import Source, Window
from fleetbox_query.provenance import Provenance
from fleetbox_query.question import Question
from fleetbox_query.reading import Prepared, Reading
from fleetbox_query.session import Session

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from fleetbox.settings import Place

PATIENCE_S = 15.0  # for an InfluxDB, which may be busy: a day of chunks takes longer than a day of its seconds
MOST_WINDOWS = 20  # each is a question to InfluxDB; more of them are read from the chunks at once
LATEST_US = 9_200_000_000_000_000  # year 2261: InfluxDB knows no later time, and who asks for all asks for ever
GATHERED = 200  # parts of a field joined at a time: so memory holds the steps, not one part per batch

Fields = dict[str, Rolled]


@dataclass
class Gathered:
    """Gather the steps of each stream's fields, part by part in order of time."""

    step_us: int
    streams: dict[str, dict[str, list[tuple[int, Rolled]]]] = field(default_factory=dict)  # with the part's first row
    sources: dict[str, str] = field(default_factory=dict)  # where each stream's numbers came from
    edges: dict[str, list[Window]] = field(default_factory=dict)  # of streams from InfluxDB: what the chunks add

    def add(self, name: str, fields: Mapping[str, Rolled], first_us: int, source: str) -> None:
        """Take a part of a stream whose rows begin at a time."""
        known = self.streams.setdefault(name, {})
        for one, steps in fields.items():
            parts = known.setdefault(one, [])
            parts.append((first_us, steps))
            if len(parts) == GATHERED:
                parts[:] = [(min(parts[0][0], first_us), self._joined(parts))]
        if "chunks" not in self.sources.get(name, "chunks"):
            return  # edges of the window are read from the chunks; the name of the InfluxDB stays
        self.sources[name] = source

    def fields(self, name: str) -> Fields:
        """Return a stream's fields, whole, in the same order wherever they were read: q2 before q10."""
        known = self.streams[name]
        return {one: self._joined(known[one]) for one in sorted(known, key=_natural)}

    def _joined(self, parts: Sequence[tuple[int, Rolled]]) -> Rolled:
        return fold([steps for _, steps in sorted(parts, key=lambda part: part[0])], self.step_us)


def _natural(name: str) -> list[int | str]:
    return [int(part) if part.isdecimal() else part for part in re.split(r"([0-9]+)", name)]


def step_of(step: DurationLike) -> int:
    """Return a step in µs; raises InputError for one that is none."""
    found = duration_us(step)
    if found <= 0:
        raise InputError(f"step {step!r} is no length of time", 'give one such as "1s" or "1m"')
    return found


def roll_up(session: Session, question: Question, step_us: int) -> tuple[Gathered, Provenance]:
    """Return the steps of all streams chosen, and what was read from the chunks."""
    prepared = session.run(session.prepare(question))
    gathered, left = Gathered(step_us), list[Source]()
    by_name: dict[str, list[Source]] = {}
    for source in prepared.sources:
        by_name.setdefault(source.name, []).append(source)
    for sources in by_name.values():
        left += session.run(_from_influx(sources, prepared, question, gathered))
    provenance = _from_chunks(session, Prepared(prepared.inventory, tuple(left), prepared.expression), gathered)
    return gathered, provenance


def frame_of(gathered: Gathered) -> pd.DataFrame:
    """Return a frame over the steps' starts (UTC): `ax.min`, `ax.mean`, `ax.max`, `ax.last`, `ax.count`."""
    import numpy as np
    import pandas as pd

    columns = {}
    for name in sorted(gathered.streams):
        prefix = f"{name}:" if len(gathered.streams) > 1 else ""
        for column, at_us, values in named(gathered.fields(name)):
            columns[prefix + column] = pd.Series(values, pd.DatetimeIndex(at_us.view("datetime64[us]"), tz="UTC"))
    if not columns:
        return pd.DataFrame(index=pd.DatetimeIndex([], tz="UTC", name="time"))
    frame = pd.concat(columns, axis=1, sort=False).sort_index()
    counts = [name for name in frame.columns if name.endswith(".count")]
    frame[counts] = frame[counts].fillna(0).astype(np.int64)
    frame.index.name = "time"
    frame.attrs["sources"] = dict(gathered.sources)
    return frame


async def _from_influx(
    sources: Sequence[Source], prepared: Prepared, question: Question, gathered: Gathered
) -> list[Source]:
    """Take what an InfluxDB has of a stream; return what is left for the chunks: all of it, or the windows' edges.

    sources: the stream's classes, its ring and `kept`, whose rows are one series in InfluxDB.
    """
    source = sources[0]
    places = (holding.place for one in sources for holding in one.holdings)
    place = next((place for place in places if place.influx is not None), None)
    plain = not (question.labels or prepared.expression.text or source.computed or source.veils)
    whole, edges = _whole([(start, min(stop, LATEST_US)) for start, stop in source.windows])
    if place is None or not plain or gathered.step_us % SECOND_US or not whole or len(whole) > MOST_WINDOWS:
        return list(sources)
    try:
        found = await _asked(place, source, whole, gathered.step_us)
    except FleetboxError:
        return list(sources)  # the chunks hold the same numbers
    if not found:
        return list(sources)
    for start_us, fields in found:
        gathered.add(source.name, fields, start_us, f"influx at {place.name}")
    gathered.edges[source.name] = edges
    return [replace(one, windows=tuple(edges)) for one in sources] if edges else []


async def _asked(place: Place, source: Source, windows: Sequence[Window], step_us: int) -> list[tuple[int, Fields]]:
    """Return what each window holds, with its start."""
    assert place.influx is not None, "these places have one"
    found = []
    async with ScalarStore(place.influx, timeout_s=PATIENCE_S) as scalars:
        for start_us, stop_us in windows:
            ask = scalars.rolled(source.stream, source.robot, start_us, stop_us, place.name)
            wanted = [name for name in await ask.fields() if _chosen(name, source)]
            found.append((start_us, await ask.steps(wanted, step_us)))
    return [one for one in found if one[1]]


def _from_chunks(session: Session, prepared: Prepared, gathered: Gathered) -> Provenance:
    batches = Batches(session.loop, Reading(session.stores, prepared), warn=False)
    try:
        for batch in batches:
            for table in _apart(batch.table, gathered.edges.get(batch.name)):
                first_us, numbers = int(times_of(table)[0]), _numbers(table)
                gathered.add(batch.name, rolled([numbers], gathered.step_us), first_us, "chunks")
    finally:
        batches.close()
    return batches.provenance


def _apart(table: pa.Table, windows: Sequence[Window] | None) -> list[pa.Table]:
    """Cut a table into what lies in each window, so that what lies between can be put in order with it."""
    times = times_of(table)
    cut = [table] if windows is None else [table.filter((times >= a) & (times < b)) for a, b in windows]
    return [one for one in cut if one.num_rows]


def _numbers(table: pa.Table) -> Points:
    """Return a table's columns of numbers and truth values, the exact clocks left out."""
    import pyarrow as pa

    fields = {}
    for name in table.column_names:
        column, kind = table[name], table[name].type
        if pa.types.is_boolean(kind):
            column = column.cast(pa.int8())
        elif not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
            continue
        if name not in chunks.RESERVED_COLUMNS:
            fields[name] = column.cast(pa.float64(), safe=False)
    return Points("", "", "", times_of(table), fields)


def _chosen(name: str, source: Source) -> bool:
    return source.fields is None or any(matches_glob(glob, name) for glob in source.fields)


def _whole(windows: Sequence[Window]) -> tuple[list[Window], list[Window]]:
    """Return the whole seconds of windows, and what is left of them at their edges."""
    whole, edges = [], []
    for start_us, stop_us in windows:
        first_us, last_us = -(-start_us // SECOND_US) * SECOND_US, stop_us // SECOND_US * SECOND_US
        if first_us >= last_us:
            edges.append((start_us, stop_us))
            continue
        whole.append((first_us, last_us))
        edges += [(a, b) for a, b in ((start_us, first_us), (last_us, stop_us)) if a < b]
    return whole, edges

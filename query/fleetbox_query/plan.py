"""Decide which records are read from where; all of it is plain values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from fleetbox.naming import parent_of
from fleetbox_query.inventory import Holding
from fleetbox_query.question import Span, wants
from fleetbox_query.schemas import UNSAID, Schema, fields_told
from fleetbox_query.stores import reading_order
from fleetbox_query.veils import Veil, lay_veils

FAR_US = 2**62  # later than any record: an open end, within what the engine's u64 and our int64 both hold

Window = tuple[int, int]  # [start, stop) in µs since the epoch


@dataclass(frozen=True, slots=True)
class Source:
    """Hold one stream of one class with the places that have it, nearest first, and what is wanted of it.

    windows: in row time, in order, apart from each other. fields: globs, or None for all.
    """

    holdings: tuple[Holding, ...]
    windows: tuple[Window, ...]
    fields: tuple[str, ...] | None = None
    schema: Schema = UNSAID
    film: bool = False  # videos, read as the pictures they were made of
    computed: tuple[tuple[str, str], ...] = ()  # fields made of the stream's own: name, expression
    veils: tuple[Veil, ...] = ()  # where not all of `fields` are shown

    def __repr__(self) -> str:
        return f"Source({self.name} from {', '.join(holding.place.name for holding in self.holdings)})"

    @property
    def robot(self) -> str:
        """Return the robot it comes from."""
        return self.holdings[0].robot

    @property
    def cls(self) -> str:
        """Return its class."""
        return self.holdings[0].cls

    @property
    def stream(self) -> str:
        """Return the stream's name: of a film, that of its pictures."""
        stream = self.holdings[0].stream
        return parent_of(stream)[0] if self.film else stream

    @property
    def name(self) -> str:
        """Return "robot/stream"."""
        return f"{self.robot}/{self.stream}"

    def record_windows(self, start_us: int, stop_us: int) -> tuple[Window, ...]:
        """Return where in [start_us, stop_us) records lie that reach into the windows: one chunk further back."""
        bound = self.schema.bound_us
        reached = merged((max(0, start - bound), stop) for start, stop in self.windows)
        cut = ((max(start, start_us), min(stop, stop_us)) for start, stop in reached)
        return tuple((start, stop) for start, stop in cut if start < stop)

    def covers(self, time_us: int) -> bool:
        """Tell whether a point in time is wanted."""
        return any(start <= time_us < stop for start, stop in self.windows)

    def holds(self, first_us: int, last_us: int) -> bool:
        """Tell whether an interval, its last point included, lies in one window."""
        return any(start <= first_us and last_us < stop for start, stop in self.windows)

    def overlaps(self, first_us: int, last_us: int) -> bool:
        """Tell whether an interval, its last point included, reaches into a window."""
        return any(start <= last_us and first_us < stop for start, stop in self.windows)


@dataclass(frozen=True, slots=True)
class Run:
    """Take the records of [start_us, stop_us) from one holding."""

    source: Source
    holding: Holding
    start_us: int
    stop_us: int


@dataclass(frozen=True, slots=True)
class Fetch:
    """Read several entries of one bucket over the same stretch in one query."""

    runs: tuple[Run, ...]

    @property
    def holding(self) -> Holding:
        """Return one of the holdings: they share place and bucket."""
        return self.runs[0].holding

    @property
    def sources(self) -> dict[str, Source]:
        """Return entry -> source."""
        return {run.holding.stream: run.source for run in self.runs}


def make_sources(
    holdings: Iterable[Holding], spans: Sequence[Span], schemas: Mapping[tuple[str, str, str], Schema]
) -> tuple[Source, ...]:
    """Group what the places hold into sources, without those that cannot reach into the spans."""
    grouped: dict[tuple[str, str, str], list[Holding]] = {}
    for holding in holdings:
        grouped.setdefault((holding.robot, holding.stream, holding.cls), []).append(holding)
    made = (_source(group, spans, schemas) for _, group in sorted(grouped.items()))
    return tuple(source for source in made if source is not None)


def merged(windows: Iterable[Window]) -> tuple[Window, ...]:
    """Return windows in order, with those that touch or overlap joined."""
    out: list[Window] = []
    for start, stop in sorted(windows):
        if out and start <= out[-1][1]:
            out[-1] = (out[-1][0], max(out[-1][1], stop))
        else:
            out.append((start, stop))
    return tuple(out)


def share(source: Source, window: Window, times: Sequence[Sequence[int]]) -> list[Run]:
    """Divide a window among a source's holdings, given the record times of each: every time once, nearest first.

    Times that follow one another at the same holding make one run.
    """
    owner: dict[int, int] = {}
    for at, found in enumerate(times):
        for time_us in found:
            owner.setdefault(time_us, at)
    if not owner:
        return []
    if len(set(owner.values())) == 1:
        return [Run(source, source.holdings[next(iter(owner.values()))], *window)]
    runs: list[Run] = []
    for time_us in sorted(owner):
        holding = source.holdings[owner[time_us]]
        if runs and runs[-1].holding is holding:
            runs[-1] = Run(source, holding, runs[-1].start_us, time_us + 1)
        else:
            runs.append(Run(source, holding, time_us, time_us + 1))
    return runs


def fetches(runs: Iterable[Run]) -> list[Fetch]:
    """Join runs over the same stretch of the same bucket into one query each."""
    grouped: dict[tuple[str, str, int, int], list[Run]] = {}
    for run in runs:
        key = (run.holding.place.url, run.holding.bucket, run.start_us, run.stop_us)
        grouped.setdefault(key, []).append(run)
    return [Fetch(tuple(group)) for group in grouped.values()]


def _source(
    group: list[Holding], spans: Sequence[Span], schemas: Mapping[tuple[str, str, str], Schema]
) -> Source | None:
    near = tuple(sorted(group, key=lambda holding: reading_order(holding.place)))
    first = near[0]
    chosen = [span for span in spans if wants(span.selector, first.robot, first.cls, first.stream)]
    windows = merged((span.start_us or 0, FAR_US if span.stop_us is None else span.stop_us) for span in chosen)
    schema = _schema(near, schemas)
    fields, veils = lay_veils(
        ((span.start_us or 0, FAR_US if span.stop_us is None else span.stop_us), span.selector.field) for span in chosen
    )
    computed = dict.fromkeys(made[1:] for span in chosen for made in span.computed if made[0] == first.stream)
    source = Source(near, windows, fields, schema, computed=tuple(computed), veils=veils)
    held = tuple(holding for holding in near if _reaches(source, holding))
    return replace(source, holdings=held) if held else None


def _reaches(source: Source, holding: Holding) -> bool:
    return source.overlaps(holding.entry.oldest_us, holding.entry.latest_us + source.schema.bound_us)


def _schema(near: Sequence[Holding], schemas: Mapping[tuple[str, str, str], Schema]) -> Schema:
    """Take the nearest schema there is, with the longest bound any place states: a bound may only grow."""
    found = [schemas[holding.key] for holding in near if holding.key in schemas]
    said = [schema for schema in found if schema.type] or [Schema()]
    bounds = [schema.chunk_bound_us for schema in said if schema.chunk_bound_us is not None]
    best = said[0]
    fields = fields_told(best, said)
    return Schema(best.type, fields, best.rate_hz, max(bounds, default=best.chunk_bound_us), best.content_type)

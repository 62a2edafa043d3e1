"""Find out what is covered: list heads place by place, and read what absent robots told in their ledgers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from fleetbox.errors import NotFound
from fleetbox.records import Head
from fleetbox_query.asking import spans_of
from fleetbox_query.coverage import Cover, Coverage, cut, joined, usual_gap
from fleetbox_query.plan import Window, merged
from fleetbox_query.provenance import Provenance
from fleetbox_query.question import Question, Span
from fleetbox_query.reading import Prepared, Reading, narrowed
from fleetbox_query.session import Session
from fleetbox_query.sizing import share_parts
from fleetbox_query.told import Key, Told, read_told, windows_of

AT_ONCE = 50_000  # heads held at a time: 1.5 s of listing, 25 MB


@dataclass
class _Seen:
    """Gather one stream's stretches by place, joined as they come so that a year of them stays small."""

    windows: tuple[Window, ...]
    gap_us: int | None
    parts: dict[str, list[Window]] = field(default_factory=dict)
    distances: list[int] = field(default_factory=list)
    last_us: int | None = None

    def add(self, found: Iterable[tuple[str, int, int]]) -> None:
        """Take records in order of time, as (place, first µs, last µs)."""
        for place, first, last in found:
            if self.last_us is not None and len(self.distances) < AT_ONCE:
                self.distances.append(max(0, first - self.last_us))
            self.last_us = max(last, self.last_us or 0)
            self.parts.setdefault(place, []).append((first, last))
        self.parts = {place: list(joined(parts, self.gap)) for place, parts in self.parts.items()}

    @property
    def gap(self) -> int:
        """Return how long a silence must be to be a hole."""
        return usual_gap(self.distances) if self.gap_us is None else self.gap_us


async def cover(session: Session, question: Question, gap_us: int | None) -> Coverage:
    """Return the coverage of what a question chooses; raises NotFound when nobody holds, or told of, such streams."""
    where = session.where(question)
    spans, _ = await spans_of(session.stores, session.fleet, question, where)
    try:
        prepared = await session.prepare(question, films=True)
    except NotFound:
        tales = await read_told(session.stores, session.fleet, where, spans)
        if not tales.found:
            raise
        return Coverage(_covers({}, tales.found, spans), Provenance(unreachable=tales.asked.unreached))
    seen = await _listed(session, prepared, gap_us)
    told = (await read_told(session.stores, session.fleet, where, spans)).found
    provenance = Provenance({place.name: 0 for place in prepared.inventory.reached}, prepared.inventory.unreached)
    return Coverage(_covers(seen, told, spans), provenance)


async def _listed(session: Session, prepared: Prepared, gap_us: int | None) -> dict[Key, _Seen]:
    seen: dict[Key, _Seen] = {}
    for source in prepared.sources:
        one = seen.setdefault((source.robot, source.stream), _Seen((), gap_us))
        one.windows = merged((*one.windows, *source.windows))
    for start, stop in _slices(prepared):
        heads = await Reading(session.stores, narrowed(prepared, start, stop)).heads()
        by_stream: dict[Key, list[tuple[str, int, int]]] = {}
        for run, head in sorted(heads, key=lambda pair: pair[1].time_us):
            interval = (run.holding.place.name, head.time_us, _end(head))
            by_stream.setdefault((run.source.robot, run.source.stream), []).append(interval)
        for key, found in by_stream.items():
            seen[key].add(found)
    return seen


def _slices(prepared: Prepared) -> list[Window]:
    """Divide the time that is held into stretches of so many records each."""
    records = sum(part.records for part in share_parts(prepared.sources))
    entries = [holding.entry for source in prepared.sources for holding in source.holdings]
    if not entries:
        return []
    wanted = [window for source in prepared.sources for window in source.windows]
    first = max(min(entry.oldest_us for entry in entries), min(start for start, _ in wanted))
    last = min(max(entry.latest_us for entry in entries) + 1, max(stop for _, stop in wanted))
    count = max(1, min(int(records / AT_ONCE) + 1, last - first))
    step = max(1, -(-(last - first) // count))
    return [(first + at * step, first + (at + 1) * step) for at in range(count)]


def _covers(seen: Mapping[Key, _Seen], told: Mapping[Key, Told], spans: Sequence[Span]) -> list[Cover]:
    covers = []
    for robot, stream in sorted({*seen, *told}):
        one = seen.get((robot, stream)) or _Seen(windows_of(robot, stream, spans), None)
        parts = {place: cut(found, one.windows) for place, found in one.parts.items()}
        tale = told.get((robot, stream))
        held = joined(tale.parts if tale else (), max(one.gap, 2 * usual_gap([])))
        ends = [edge for found in (*parts.values(), held) for part in found for edge in part]
        asked = cut([(min(ends), max(ends))], one.windows) if ends else ()
        covers.append(Cover(robot, stream, asked, one.gap, parts, held, tale.until_us if tale else 0))
    return [cover for cover in covers if cover.asked]


def _end(head: Head) -> int:
    last = head.labels.get("t_end", "")
    return max(head.time_us, int(last)) if last.isdecimal() else head.time_us

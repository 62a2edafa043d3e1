"""Find out what is covered: list heads place by place, and read what absent robots told in their ledgers."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from fleetbox.errors import AccessDenied, NotFound
from fleetbox.ledger import STREAM as LEDGER
from fleetbox.ledger import Ledger, read_ledger
from fleetbox.naming import RING_CLASSES
from fleetbox.records import Head
from fleetbox.selectors import Selector
from fleetbox_query.asking import spans_of
from fleetbox_query.coverage import Cover, Coverage, cut, joined, usual_gap
from fleetbox_query.inventory import Holding, Inventory, take_inventory
from fleetbox_query.plan import FAR_US, Window, merged
from fleetbox_query.provenance import Provenance
from fleetbox_query.question import Question, Span, wants
from fleetbox_query.reading import Prepared, Reading, narrowed
from fleetbox_query.session import Session
from fleetbox_query.sizing import share_parts
from fleetbox_query.stores import places_for, reading_order

AT_ONCE = 50_000  # heads held at a time: 1.5 s of listing, 25 MB
Key = tuple[str, str]  # robot, stream


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
        told, asked = await _absent(session, question, spans)
        if not told:
            raise
        return Coverage(_covers({}, told, spans), Provenance(unreachable=asked.unreached))
    seen = await _listed(session, prepared, gap_us)
    told, _ = await _absent(session, question, spans)
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


async def _absent(
    session: Session, question: Question, spans: Sequence[Span]
) -> tuple[dict[Key, tuple[tuple[Window, ...], int]], Inventory]:
    """Return what robots that do not answer told of the chosen streams: stretches and until when they told."""
    selectors = [Selector(robot, LEDGER) for robot in dict.fromkeys(span.selector.robot for span in spans)]
    places = places_for(session.fleet, selectors, question.tier, question.site)
    inventory = await take_inventory(session.stores, places, selectors)
    here = {place.name for place in inventory.reached if place.tier == "robot"}
    near: dict[str, Holding] = {}
    for holding in sorted(inventory.holdings, key=lambda one: reading_order(one.place)):
        if holding.robot not in here and holding.place.tier != "robot":
            near.setdefault(holding.robot, holding)
    ledgers = await asyncio.gather(*(_ledger(session, holding) for holding in near.values()))
    told: dict[Key, tuple[tuple[Window, ...], int]] = {}
    for ledger in ledgers:
        until_us = ledger.until_us.get(ledger.robot, 0)
        told |= {(ledger.robot, name): (parts, until_us) for name, parts in _told(ledger, spans).items()}
    return told, inventory


async def _ledger(session: Session, holding: Holding) -> Ledger:
    try:
        return await read_ledger(await session.stores.at(holding.place), holding.bucket, holding.robot)
    except (NotFound, AccessDenied):
        return Ledger(holding.robot)


def _told(ledger: Ledger, spans: Sequence[Span]) -> dict[str, tuple[Window, ...]]:
    """Return the stretches a robot last said it holds, per chosen stream, minute by minute."""
    found: dict[str, list[Window]] = {}
    for (cls, stream, _), folded in ledger.of(ledger.robot).items():
        line = folded.line
        if cls in RING_CLASSES and line.held.records and any(_is_of(span, ledger.robot, cls, stream) for span in spans):
            found.setdefault(stream, []).append((line.first_us, line.last_us + 1))
    out = {}
    for stream, parts in found.items():
        windows = _windows(ledger.robot, stream, spans)
        if kept := cut(sorted(parts), windows):
            out[stream] = kept
    return out


def _covers(
    seen: Mapping[Key, _Seen], told: Mapping[Key, tuple[tuple[Window, ...], int]], spans: Sequence[Span]
) -> list[Cover]:
    covers = []
    for robot, stream in sorted({*seen, *told}):
        one = seen.get((robot, stream)) or _Seen(_windows(robot, stream, spans), None)
        parts = {place: cut(found, one.windows) for place, found in one.parts.items()}
        held, until_us = told.get((robot, stream), ((), 0))
        held = joined(held, max(one.gap, 2 * usual_gap([])))
        ends = [edge for found in (*parts.values(), held) for part in found for edge in part]
        asked = cut([(min(ends), max(ends))], one.windows) if ends else ()
        covers.append(Cover(robot, stream, asked, one.gap, parts, held, until_us))
    return [cover for cover in covers if cover.asked]


def _windows(robot: str, stream: str, spans: Sequence[Span]) -> tuple[Window, ...]:
    chosen = [span for span in spans if span.selector.matches(robot, stream)]
    return merged((span.start_us or 0, FAR_US if span.stop_us is None else span.stop_us) for span in chosen)


def _is_of(span: Span, robot: str, cls: str, stream: str) -> bool:
    return wants(span.selector, robot, cls, stream)


def _end(head: Head) -> int:
    last = head.labels.get("t_end", "")
    return max(head.time_us, int(last)) if last.isdecimal() else head.time_us

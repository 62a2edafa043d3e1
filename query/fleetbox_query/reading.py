"""Read records of many streams from many buckets and places side by side."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Coroutine, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from fleetbox.blobs import Gap
from fleetbox.errors import NotFound
from fleetbox.records import Head, Record
from fleetbox.settings import Place
from fleetbox_query.expressions import Expression
from fleetbox_query.inventory import Inventory
from fleetbox_query.plan import FAR_US, Fetch, Run, Source, Window, fetches, share
from fleetbox_query.provenance import LostWhileReading, Provenance
from fleetbox_query.rings import Rings
from fleetbox_query.slices import CAP_BYTES, Progress, extent, next_slice
from fleetbox_query.stores import Stores

T = TypeVar("T")

QUERIES = 8  # in flight at once: with two, one store's core already waits for ours; each holds at most 8 MB


@dataclass(frozen=True, slots=True)
class Piece:
    """Hold a record with the source it belongs to, and the name of the place it was read from."""

    source: Source
    record: Record
    place: str = ""


@dataclass(frozen=True, slots=True)
class Prepared:
    """Hold a question made ready: what the places hold of it and what is to be filtered."""

    inventory: Inventory
    sources: tuple[Source, ...]
    expression: Expression

    def __repr__(self) -> str:
        return f"Prepared({', '.join(map(repr, self.sources)) or 'nothing'})"


def narrowed(prepared: Prepared, start_us: int, stop_us: int) -> Prepared:
    """Return the question with its windows cut to [start_us, stop_us)."""
    cut = []
    for source in prepared.sources:
        windows = tuple((max(a, start_us), min(b, stop_us)) for a, b in source.windows)
        if kept := tuple((a, b) for a, b in windows if a < b):
            cut.append(replace(source, windows=kept))
    return replace(prepared, sources=tuple(cut))


@dataclass
class _State:
    """Count what one stretch of reading has taken, and how far each query has come."""

    cap_bytes: int | None
    taken_bytes: int = 0
    taken_from: dict[str, tuple[Place, int, int]] = field(default_factory=dict)  # records and bytes by place
    pieces: list[Piece] = field(default_factory=list)
    reached: dict[int, int] = field(default_factory=dict)

    @property
    def full(self) -> bool:
        return self.cap_bytes is not None and self.taken_bytes > self.cap_bytes


class Reading:
    """Read what was prepared, once; `provenance` says afterwards where it came from."""

    def __init__(self, stores: Stores, prepared: Prepared) -> None:
        self._stores = stores
        self._prepared = prepared
        self._read: Counter[str] = Counter()
        self._gaps: list[LostWhileReading] = []
        self._room = asyncio.Semaphore(QUERIES)
        self._progress = Progress(0)
        self._stretches = extent(prepared.sources)
        self._rings = Rings(stores, prepared.sources)

    @property
    def prepared(self) -> Prepared:
        """Return what is being read."""
        return self._prepared

    @property
    def provenance(self) -> Provenance:
        """Return what has been read so far, from where, and what is missing."""
        return Provenance(dict(self._read), self._prepared.inventory.unreached, tuple(self._gaps))

    async def all(self) -> list[Piece]:
        """Return every record, by time and then stream."""
        pieces, _ = await self._stretch((0, FAR_US), None)
        return pieces

    async def next(self) -> tuple[list[Piece], int] | None:
        """Return the records of the next stretch of time and where it ended; None after the last one."""
        window = next_slice(self._stretches, self._progress)
        if window is None:
            return None
        start, stop = window
        self._gaps += await self._rings.check(self._progress.at_us)
        pieces, reached = await self._stretch(window, CAP_BYTES)
        while reached <= start:  # too much at once, and not every query has begun: a shorter stretch
            stop = start + max(1, (min(stop, self._end()) - start) // 8)
            pieces, reached = await self._stretch((start, stop), None if stop == start + 1 else CAP_BYTES)
        self._progress = self._progress.after(reached)
        return pieces, reached

    async def heads(self) -> list[tuple[Run, Head]]:
        """Return what the stores say of every wanted record, without payloads."""
        runs = await self._runs((0, FAR_US))
        listed = await side_by_side(self._list(fetch) for fetch in fetches(runs))
        found: dict[tuple[str, int, str], tuple[Run, Head]] = {}
        for run, head in (item for part in listed for item in part):
            if _reaches_in(run.source, head) and self._prepared.expression.labels_match(head.labels):
                found.setdefault((run.source.name, head.time_us, _mark(head)), (run, head))
        return list(found.values())

    def _end(self) -> int:
        return max(stop for _, stop, _ in self._stretches)

    async def _stretch(self, window: Window, cap_bytes: int | None) -> tuple[list[Piece], int]:
        state = _State(cap_bytes)
        wanted = fetches(await self._runs(window))
        begun_s = asyncio.get_running_loop().time()
        await side_by_side(self._take(at, fetch, state) for at, fetch in enumerate(wanted))
        self._note_speeds(state, asyncio.get_running_loop().time() - begun_s)
        reached = min(state.reached.values(), default=window[1])
        pieces = [piece for piece in state.pieces if piece.record.time_us < reached]
        return _once(pieces), reached

    def _note_speeds(self, state: _State, seconds: float) -> None:
        if self._prepared.expression.label_tests:  # most of that time went into what did not pass
            return
        for place, records, size_bytes in state.taken_from.values():
            self._stores.note_speed(place, records, size_bytes, seconds)

    async def _take(self, at: int, fetch: Fetch, state: _State) -> None:
        state.reached[at] = fetch.runs[0].start_us
        async with self._room:
            if state.full:
                return
            store = await self._stores.at(fetch.holding.place)
            sources = fetch.sources
            query = store.query(
                fetch.holding.bucket,
                tuple(sources),
                start_us=fetch.runs[0].start_us,
                stop_us=fetch.runs[0].stop_us,
                when=self._prepared.expression.engine_when,
                on_gap=lambda gap: self._note(fetch.holding.place.name, gap),
            )
            seen = dict.fromkeys(sources, fetch.runs[0].start_us)
            async with aclosing(query) as records:
                async for record in records:
                    if state.full:  # in order of time within an entry only, so the slowest entry says how far we are
                        state.reached[at] = min(seen.values())
                        return
                    seen[record.entry] = record.time_us + 1
                    self._keep(fetch, sources, record, state)
        del state.reached[at]

    def _keep(self, fetch: Fetch, sources: dict[str, Source], record: Head, state: _State) -> None:
        if not isinstance(record, Record) or (source := sources.get(record.entry)) is None:
            return
        if _reaches_in(source, record) and self._prepared.expression.labels_match(record.labels):
            state.taken_bytes += record.size
            place = fetch.holding.place
            state.pieces.append(Piece(source, record, place.name))
            self._read[place.name] += 1
            _, records, size_bytes = state.taken_from.get(place.url, (place, 0, 0))
            state.taken_from[place.url] = (place, records + 1, size_bytes + record.size)

    async def _runs(self, window: Window) -> list[Run]:
        """Say what to read from where; where several places hold a stream, list their heads first."""
        alone = [source for source in self._prepared.sources if len(source.holdings) == 1]
        runs = [Run(source, source.holdings[0], *part) for source in alone for part in source.record_windows(*window)]
        contested = [
            (source, part)
            for source in self._prepared.sources
            if len(source.holdings) > 1
            for part in source.record_windows(*window)
        ]
        looks = [Run(source, holding, *part) for source, part in contested for holding in source.holdings]
        times = await self._times(looks)
        for source, part in contested:
            listings = [times.get((*holding.key, *part), []) for holding in source.holdings]
            runs += share(source, part, listings)
        return runs

    async def _times(self, looks: Iterable[Run]) -> dict[tuple[str, str, str, int, int], list[int]]:
        listed = await side_by_side(self._list(fetch) for fetch in fetches(looks))
        times: dict[tuple[str, str, str, int, int], list[int]] = {}
        for run, head in (item for part in listed for item in part):
            times.setdefault((*run.holding.key, run.start_us, run.stop_us), []).append(head.time_us)
        return times

    async def _list(self, fetch: Fetch) -> list[tuple[Run, Head]]:
        runs = {run.holding.stream: run for run in fetch.runs}
        first = fetch.runs[0]
        async with self._room:
            store = await self._stores.at(fetch.holding.place)
            query = store.query(
                fetch.holding.bucket,
                tuple(runs),
                start_us=first.start_us,
                stop_us=first.stop_us,
                when=self._prepared.expression.engine_when,
                head=True,
            )
            try:
                return [(runs[head.entry], head) async for head in query if head.entry in runs]
            except NotFound:
                return []

    def _note(self, place: str, gap: Gap) -> None:
        self._gaps.append(LostWhileReading(place, gap))


async def side_by_side(work: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """Return all results in order; the first failure stops the rest, since half an answer is none."""
    tasks = [asyncio.ensure_future(one) for one in work]
    try:
        return await asyncio.gather(*tasks)
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise


def _once(pieces: Sequence[Piece]) -> list[Piece]:
    """Return pieces in order, each once: what the guard rescued into `kept` may still be in its ring as well."""
    found: dict[tuple[str, int, str], Piece] = {}
    for piece in pieces:
        key = (piece.source.name, piece.record.time_us, _mark(piece.record))
        if key not in found or piece.source.cls != "kept":
            found[key] = piece
    return sorted(found.values(), key=lambda piece: (piece.record.time_us, piece.source.name, piece.source.cls))


def _mark(head: Head) -> str:
    return head.labels.get("xxh") or f"{head.size} {head.bucket}"


def _reaches_in(source: Source, head: Head) -> bool:
    """Tell whether a record reaches into the wanted windows: a chunk up to its last row."""
    last = head.labels.get("t_end", "")
    return source.overlaps(head.time_us, max(head.time_us, int(last)) if last.isdecimal() else head.time_us)

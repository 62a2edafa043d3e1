"""Follow streams in the stores that hold them: what came since the last look, of those that somebody watches."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import aclosing
from dataclasses import replace

from fleetbox.errors import FleetboxError, InputError, NotFound
from fleetbox.records import Record
from fleetbox_query.inventory import Holding
from fleetbox_query.items import Item, Notes, items_of
from fleetbox_query.live.hearing import Hearing
from fleetbox_query.live.sinks import Sink
from fleetbox_query.plan import FAR_US, Source
from fleetbox_query.reading import Piece, Prepared
from fleetbox_query.session import Session

LOOK_S = 0.1  # between two looks at what a bucket holds: about a millisecond of the engine's time each
HEAR_S = 0.02  # between two looks at what robots' programs on this machine said
AGAIN_S = 2.0  # after a place did not answer
MOST_US = 10_000_000  # who falls further behind, or comes back after an outage, goes on from here: it is live


class Tail:
    """Pass on what is new in the streams that `wanted` names (None: all), from the place that has it first."""

    def __init__(self, session: Session, sink: Sink, wanted: Callable[[], frozenset[str] | None]) -> None:
        self._session = session
        self._sink = sink
        self._wanted = wanted
        self._sources: dict[str, Source] = {}
        self._prepared: Prepared | None = None
        self._seen: dict[tuple[str, str, str], int] = {}  # the last record passed on, by store, bucket and entry
        self._heard_us: dict[str, int] = {}  # the last row that came from the robot's own programs, by stream
        self._passed_us: dict[str, int] = {}  # the last row that came in a record: it may be heard after its chunk
        self._hearing = Hearing(session.fleet)
        self.notes = Notes()
        self.skipped: Counter[str] = Counter()

    def learn(self, prepared: Prepared) -> None:
        """Follow these streams from now on."""
        self._prepared = prepared
        self._sources = {source.name: source for source in prepared.sources if not source.film}

    async def run(self) -> None:
        """Follow until cancelled; a place that does not answer is told once and asked again."""
        listening = asyncio.ensure_future(self._listen())
        try:
            await self._follow()
        finally:
            listening.cancel()
            self._hearing.close()

    async def _listen(self) -> None:
        """Pass on what robots' programs on this machine say, long before it is a chunk in the store."""
        while True:
            if self._prepared is not None:
                wanted = self._wanted()
                self._hearing.want(one for one in self._sources.values() if wanted is None or one.name in wanted)
                for item in self._hearing.items(self._prepared.expression):
                    name = f"{item.robot}/{item.stream}"
                    if item.time_us > max(self._heard_us.get(name, -1), self._passed_us.get(name, -1)):
                        self._heard_us[name] = item.time_us
                        self._send(item)
            await asyncio.sleep(HEAR_S)

    async def _follow(self) -> None:
        silent: set[str] = set()
        while True:
            groups = self._groups()
            answers = await asyncio.gather(*map(self._look, groups), return_exceptions=True)
            for group, answer in zip(groups, answers, strict=True):
                place = group[0][1].place.name
                if answer is None or isinstance(answer, NotFound):
                    silent.discard(place)
                elif not isinstance(answer, FleetboxError):
                    raise answer
                elif place not in silent:
                    silent.add(place)
                    self._sink.trouble(str(answer))
            await asyncio.sleep(AGAIN_S if silent else LOOK_S)

    def _groups(self) -> list[list[tuple[Source, Holding]]]:
        """Return what is watched by the bucket it is followed in; who is watched no longer begins anew later."""
        wanted = self._wanted()
        groups: dict[tuple[str, str], list[tuple[Source, Holding]]] = {}
        for name, source in self._sources.items():
            if wanted is None or name in wanted:
                holding = nearest_to_it(source.holdings)
                groups.setdefault(holding.key[:2], []).append((source, holding))
        followed = {holding.key for group in groups.values() for _, holding in group}
        self._seen = {key: at for key, at in self._seen.items() if key in followed}
        return list(groups.values())

    async def _look(self, group: list[tuple[Source, Holding]]) -> None:
        first = group[0][1]
        store = await self._session.stores.at(first.place)
        latest = {entry.name: entry.latest_us for entry in await store.entries(first.bucket)}
        sources: dict[str, tuple[Source, Holding]] = {}
        for source, holding in group:
            newest = latest.get(holding.stream, -1)
            since = self._seen.setdefault(holding.key, newest - 1)  # the last one, to begin with
            if newest > since:
                self._seen[holding.key] = max(since, newest - MOST_US)
                sources[holding.stream] = source, holding
        if not sources:
            return
        start_us = 1 + min(self._seen[holding.key] for _, holding in sources.values())
        assert self._prepared is not None
        when = self._prepared.expression.engine_when
        query = store.query(first.bucket, tuple(sources), start_us=start_us, when=when)
        async with aclosing(query) as records:
            async for record in records:
                if isinstance(record, Record) and record.entry in sources:
                    source, holding = sources[record.entry]
                    if record.time_us > self._seen[holding.key]:
                        self._seen[holding.key] = record.time_us
                        self._pass(Piece(source, record))

    def _pass(self, piece: Piece) -> None:
        assert self._prepared is not None
        expression = self._prepared.expression
        if not expression.labels_match(piece.record.labels):
            return
        name = piece.source.name
        heard_us = self._heard_us.get(name, -1)
        for item in items_of(piece, expression, self.notes):
            self._passed_us[name] = max(item.time_us, self._passed_us.get(name, -1))
            if item.time_us > heard_us:
                self._send(item)
        for line in self.notes.unreadable:
            self._sink.trouble(f"unreadable: {line}")
        self.notes.unreadable.clear()

    def _send(self, item: Item) -> None:
        try:
            for time_ns, message in self._sink.expand(item):
                self._sink.send(time_ns, message)
        except (InputError, ValueError, KeyError) as error:
            text = error.message if isinstance(error, InputError) else str(error)
            line = f"{item.robot}/{item.stream}: {text}"
            self.skipped[line] += 1
            if self.skipped[line] == 1:  # a stream that cannot be shown would say so at every record
                self._sink.trouble(f"not shown: {line}")


def nearest_to_it(holdings: Iterable[Holding]) -> Holding:
    """Return the holding where new records come first: the robot's own, else the one that is furthest along."""
    return max(holdings, key=lambda one: (one.place.tier == "robot", one.entry.latest_us))


def without_end(prepared: Prepared) -> Prepared:
    """Return the question for all time: what comes lies in no window yet."""
    sources = tuple(replace(source, windows=((0, FAR_US),)) for source in prepared.sources)
    return replace(prepared, sources=sources)

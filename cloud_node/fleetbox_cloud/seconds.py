"""Make whole seconds of chunks: a second that several chunks have rows in becomes one roll-up of all of them.

Where chunks follow one another, which is nearly always, it is enough to know what the last second of a stream holds so
far (`Tail`); its roll-up and that of the next chunk's part make the whole. Chunks that come late, or lie across others,
have their seconds made anew from all chunks the store holds there, each row counted once. Either way the result follows
from the chunks alone, so that loading twice, in any order, or after kill -9 gives the same.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fleetbox.errors import NotFound
from fleetbox.measurements import ROLLUPS
from fleetbox.naming import split_bucket
from fleetbox.points import Points
from fleetbox.records import Record
from fleetbox.rollups import SECOND_US, Rolled, fold, rolled
from fleetbox_cloud.extract import Chunk, opened, points, within
from fleetbox_cloud.sources import buckets_of

if TYPE_CHECKING:
    from fleetbox_cloud.loader import Loader

TAIL_VALUES = 8_000_000  # 64 MB: 100,000 streams of 16 fields; a stream more costs reading its last chunk again

Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Tail:
    """Say up to which row, in µs, a stream is rolled up, and what its last second holds: five numbers a field."""

    latest_us: int
    names: tuple[str, ...] = ()
    values: Any = None

    @property
    def second_us(self) -> int:
        """Return the start of the last second."""
        return second_of(self.latest_us)

    def fields(self) -> dict[str, Rolled]:
        """Return the last second's roll-ups."""
        import numpy as np

        at_us = np.array([self.second_us], np.int64)
        return {name: Rolled(at_us, *self.values[:, [at]]) for at, name in enumerate(self.names)}


@dataclass(frozen=True, slots=True)
class Whole:
    """Hold whole seconds ready to be written, and the stream's tail once they are; None: it has to be found anew."""

    fields: Mapping[str, Rolled]
    tail: Tail | None


@dataclass(slots=True)
class Stored:
    """Hold chunks read from the store, those that do not open, and (bucket, time) of those that it holds no more."""

    chunks: list[Chunk] = field(default_factory=list)
    broken: list[Record] = field(default_factory=list)
    gone: set[tuple[str, int]] = field(default_factory=set)


class Seconds:
    """Make whole seconds for one loader; whoever asks holds the stream's turn."""

    def __init__(self, loader: Loader) -> None:
        self._loader = loader
        self._tails: OrderedDict[tuple[str, str], Tail] = OrderedDict()
        self._held = 0

    async def whole(self, bucket: str, stream: str, chunks: Sequence[Chunk], found: Sequence[Points]) -> Whole:
        """Return the seconds that chunks newly come touch, from all chunks; `found` are the same chunks' points."""
        robot, _ = split_bucket(bucket) or (bucket, "")
        chunks = sorted(chunks, key=lambda one: one.first_us)
        tail = await self._tail(robot, stream, chunks[0].first_us)
        if in_order(tail.latest_us, chunks):
            return await asyncio.to_thread(follow, tail, chunks, found)
        fields = await self._anew(robot, bucket, stream, chunks)
        return Whole(fields, tail if chunks[-1].last_us < tail.second_us else None)

    def keep(self, robot: str, stream: str, tail: Tail | None) -> None:
        """Remember a stream's tail: what it tells is written and in the books."""
        old = self._tails.pop((robot, stream), None)
        self._held -= _size(old)
        if tail is not None:
            self._tails[robot, stream] = tail
            self._held += _size(tail)
        while self._held > TAIL_VALUES and len(self._tails) > 1:
            self._held -= _size(self._tails.popitem(last=False)[1])

    async def _tail(self, robot: str, stream: str, first_us: int) -> Tail:
        """Return what is known, else what the last chunks in the store tell."""
        if (known := self._tails.get((robot, stream))) is not None:
            self._tails.move_to_end((robot, stream))
            return known
        reach_us = self.longest_us(robot, stream)
        times_us = [self._loader.cursor.newest_us(bucket, stream) for bucket in buckets_of(robot)]
        newest_us = max((one for one in times_us if one is not None), default=-reach_us - SECOND_US)
        unclear = Tail(second_of(newest_us + reach_us) + SECOND_US - 1)  # rows up to there are looked at closely
        if first_us > unclear.latest_us:
            return unclear
        window = (second_of(newest_us) - reach_us, newest_us + 1)  # the last row is in or behind that second
        stored = await self.stored(robot, stream, window)
        if stored.gone or not stored.chunks:
            return unclear
        latest_us = max(one.last_us for one in stored.chunks)
        span = (second_of(latest_us), latest_us + 1)
        parts = await asyncio.to_thread(singly, stored.chunks, robot, self._loader.site, [span])
        return _tail_of(latest_us, rolled(parts, overlapping=True))

    def longest_us(self, robot: str, stream: str) -> int:
        """Return the length of a stream's longest chunk."""
        return max(self._loader.cursor.longest_us(bucket, stream) for bucket in buckets_of(robot))

    async def _anew(self, robot: str, bucket: str, stream: str, fresh: Sequence[Chunk]) -> dict[str, Rolled]:
        """Roll up the seconds of chunks that came late, with the rows that other chunks have there."""
        spans = touched(fresh)
        reach_us = max(0, *(one.last_us - one.record.time_us for one in fresh), self.longest_us(robot, stream))
        every, at_hand = list(fresh), {(bucket, one.record.time_us) for one in fresh}
        for start_us, stop_us in joined([(start_us - reach_us, stop_us) for start_us, stop_us in spans]):
            every += (await self.stored(robot, stream, (start_us, stop_us), at_hand)).chunks
        every.sort(key=lambda one: (one.record.bucket, one.record.time_us))
        parts = await asyncio.to_thread(singly, every, robot, self._loader.site, spans)
        fields = await asyncio.to_thread(lambda: rolled(parts, overlapping=True))
        return await self.more(robot, stream, fields)

    async def more(self, robot: str, stream: str, fields: Mapping[str, Rolled]) -> dict[str, Rolled]:
        """Return the steps that count more values than InfluxDB holds there.

        It may hold more than the store: what chunks told that the ring has taken since. That must not be written over.
        """
        import numpy as np

        if not fields:
            return {}
        start_us = min(int(one.at_us[0]) for one in fields.values())
        stop_us = max(int(one.at_us[-1]) for one in fields.values()) + 1
        ask = self._loader.scalars.rolled(stream, robot, start_us, stop_us, self._loader.site)
        held = await ask.counts(fields)
        found = {}
        for name, steps in fields.items():
            there = held[name]
            fresh = np.array([n > there.get(at, 0) for at, n in zip(steps.at_us.tolist(), steps.count, strict=True)])
            if fresh.any():
                found[name] = steps.of(fresh)
        return found

    async def stored(self, robot: str, stream: str, window: Span, but: Collection[tuple[str, int]] = ()) -> Stored:
        """Read the loaded chunks of a stream that begin in a window of time, but those that are at hand."""
        found = Stored()
        for bucket in buckets_of(robot):
            known = self._loader.cursor.loaded(bucket, stream, *window)
            known -= {time_us for name, time_us in but if name == bucket}
            records = await self._records(bucket, stream, known)
            chunks, broken = await asyncio.to_thread(opened, records)
            found.chunks += chunks
            found.broken += broken
            found.gone |= {(bucket, time_us) for time_us in known - {one.time_us for one in records}}
        return found

    async def _records(self, bucket: str, stream: str, times_us: set[int]) -> list[Record]:
        if not times_us:
            return []
        first_us, last_us = min(times_us), max(times_us)
        try:
            found = [one async for one in self._loader.chunks(bucket, stream, first_us, last_us + 1)]
        except NotFound:
            return []
        return [one for one in found if one.time_us in times_us]


def second_of(time_us: int) -> int:
    """Return the start of the second that a time lies in."""
    return time_us // SECOND_US * SECOND_US


def in_order(latest_us: int, chunks: Sequence[Chunk]) -> bool:
    """Tell whether every chunk begins behind the last row of the one before, the first behind a time."""
    for one in chunks:
        if one.first_us <= latest_us:
            return False
        latest_us = one.last_us
    return True


def follow(tail: Tail, chunks: Sequence[Chunk], found: Sequence[Points]) -> Whole:
    """Return the seconds of chunks that follow a tail, its own last second with them if they share it."""
    fields = rolled(found)
    if tail.names and second_of(chunks[0].first_us) == tail.second_us:
        for name, before in tail.fields().items():
            if name in fields and fields[name].at_us[0] == tail.second_us:
                fields[name] = fold([before, fields[name]])
            elif second_of(chunks[-1].last_us) == tail.second_us:
                fields[name] = before  # written again, unchanged: so it stays a part of the tail
    return Whole(fields, _tail_of(chunks[-1].last_us, fields))


def touched(chunks: Sequence[Chunk]) -> list[Span]:
    """Return the whole seconds that chunks have rows in, as spans in order and apart."""
    return joined([(second_of(one.first_us), second_of(one.last_us) + SECOND_US) for one in chunks])


def joined(spans: Sequence[Span]) -> list[Span]:
    """Join spans that touch or overlap."""
    found: list[Span] = []
    for start_us, stop_us in sorted(spans):
        if found and start_us <= found[-1][1]:
            found[-1] = (found[-1][0], max(stop_us, found[-1][1]))
        else:
            found.append((start_us, stop_us))
    return found


def singly(chunks: Sequence[Chunk], robot: str, site: str, spans: Sequence[Span]) -> list[Points]:
    """Return the points of chunks one by one, cut to spans of time."""
    return within([part for chunk in chunks for part in points([chunk], robot, site)], spans)


def _tail_of(latest_us: int, fields: Mapping[str, Rolled]) -> Tail:
    import numpy as np

    last = {name: one for name, one in fields.items() if one.at_us[-1] == second_of(latest_us)}
    values = np.array([[getattr(one, kind)[-1] for one in last.values()] for kind in ROLLUPS], np.float64)
    return Tail(latest_us, tuple(last), values)


def _size(tail: Tail | None) -> int:
    return 0 if tail is None else 10 + len(tail.names) * len(ROLLUPS)

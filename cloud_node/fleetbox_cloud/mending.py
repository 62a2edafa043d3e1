"""Give InfluxDB a stretch of one stream again, from the chunks, and write the books of those minutes anew.

The chunks are the truth: what they make in a minute replaces what the books said. So a point that InfluxDB takes no
longer (its retention became shorter, a field's type changed) moves to its reason, and a value that two chunks hold at
the same µs counts once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace

from fleetbox.ledger import MINUTE_US, minute_of
from fleetbox.points import Points
from fleetbox.rollups import rolled
from fleetbox.tallies import Minutes, merge
from fleetbox_cloud.comparison import Stretch, distinct
from fleetbox_cloud.extract import unopened
from fleetbox_cloud.loader import Loader
from fleetbox_cloud.seconds import Stored, singly
from fleetbox_cloud.sources import buckets_of
from fleetbox_cloud.tallying import Turned, taken, tallied


async def mend(loader: Loader, robot: str, stream: str, stretch: Stretch) -> set[int]:
    """Write a stretch again from the store's chunks; return the minutes whose chunks are no longer all there.

    Those keep their books: they tell what cannot be written again. Raises what ScalarStore.write and the store raise.
    """
    async with loader.turn(robot, stream):
        reach_us = loader.seconds.longest_us(robot, stream)
        stored = await loader.seconds.stored(robot, stream, (stretch.start_us - reach_us, stretch.stop_us))
        gone = {at for _, time_us in stored.gone for at in _minutes(time_us, time_us + reach_us)}
        parts = await asyncio.to_thread(_parts, loader, robot, stored, stretch)
        turned = await _written(loader, robot, stream, [one for some in parts.values() for one in some])
        raw = loader.raw(robot, stream)
        books = await asyncio.to_thread(_books, parts, stored, turned, raw)
        for bucket, minutes in books.items():
            wanted = {at: tally for at, tally in minutes.items() if at in stretch.wanted and at not in gone}
            loader.cursor.put(bucket, stream, wanted, turned.words)
        return gone & set(stretch.wanted)


async def _written(loader: Loader, robot: str, stream: str, parts: Sequence[Points]) -> Turned:
    fields = await asyncio.to_thread(lambda: rolled(parts, overlapping=True))
    return await loader.write(robot, stream, await loader.seconds.more(robot, stream, fields), parts)


def _parts(loader: Loader, robot: str, stored: Stored, stretch: Stretch) -> dict[str, list[Points]]:
    """Return by bucket what the chunks make of a stretch, each chunk by itself."""
    stored.chunks.sort(key=lambda one: one.record.time_us)
    span = (stretch.start_us, stretch.stop_us)
    return {
        bucket: singly([one for one in stored.chunks if one.record.bucket == bucket], robot, loader.site, [span])
        for bucket in buckets_of(robot)
    }


def _books(parts: Mapping[str, Sequence[Points]], stored: Stored, turned: Turned, raw: bool) -> dict[str, Minutes]:
    """Return the minutes by bucket; a value that an earlier bucket has too is counted there alone."""
    books, held, seen = dict[str, Minutes](), dict[int, int](), list[Points]()
    for bucket, some in parts.items():
        minutes = tallied(some, turned)
        merge(minutes, unopened(one for one in stored.broken if one.bucket == bucket))
        seen += taken(some, turned)
        different = distinct(seen, raw=raw)
        books[bucket] = {
            at: replace(tally, values=min(tally.values, different.get(at, 0) - held.get(at, 0)))
            for at, tally in minutes.items()
        }
        held = different
    return books


def _minutes(start_us: int, stop_us: int) -> range:
    return range(minute_of(start_us), stop_us + 1, MINUTE_US)

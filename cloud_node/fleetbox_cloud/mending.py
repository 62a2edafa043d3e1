"""Give InfluxDB a stretch of one stream again, from the chunks, and write the books of those minutes anew.

The chunks are the truth: what they make in a minute replaces what the books said. So a point that InfluxDB takes no
longer (its retention became shorter, a field's type changed) moves to its reason, and a value that two chunks hold at
the same µs counts once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, replace

from fleetbox.ledger import MINUTE_US, minute_of
from fleetbox.points import Points
from fleetbox.records import Record
from fleetbox.scalars import Refusal
from fleetbox.tallies import Minutes, merge
from fleetbox_cloud.comparison import Stretch, distinct
from fleetbox_cloud.extract import points, unopened, within
from fleetbox_cloud.loader import Loader, buckets_of


@dataclass(frozen=True, slots=True)
class Part:
    """Hold what the chunks of one bucket make of a stretch."""

    bucket: str
    points: list[Points]
    minutes: Minutes
    refusals: list[Refusal]


async def mend(loader: Loader, robot: str, stream: str, stretch: Stretch) -> set[int]:
    """Write a stretch again from the store's chunks; return the minutes whose chunks are no longer all there.

    Those keep their books: they tell what cannot be written again. Raises what ScalarStore.write and the store raise.
    """
    async with loader.turn(robot, stream):
        parts, gone = [], set[int]()
        for bucket in buckets_of(robot):
            records, lost_us = await _known(loader, bucket, stream, stretch)
            parts.append(await _written(loader, robot, bucket, records, stretch))
            reach_us = loader.cursor.longest_us(bucket, stream)
            gone |= {at for time_us in lost_us for at in _minutes(time_us, time_us + reach_us)}
        books = await asyncio.to_thread(_books, parts)
        for part in parts:
            wanted = {at: tally for at, tally in books[part.bucket].items() if at in stretch.wanted and at not in gone}
            loader.cursor.put(part.bucket, stream, wanted, {one.reason: one.message for one in part.refusals})
        return gone & set(stretch.wanted)


async def _known(loader: Loader, bucket: str, stream: str, stretch: Stretch) -> tuple[list[Record], set[int]]:
    """Read the chunks that reach into a stretch; return those in the books, and the times of those no longer there."""
    start_us = stretch.start_us - loader.cursor.longest_us(bucket, stream)
    known = loader.cursor.loaded(bucket, stream, start_us, stretch.stop_us)
    if not known:
        return [], set()
    found = [record async for record in loader.chunks(bucket, stream, start_us, stretch.stop_us)]
    return [record for record in found if record.time_us in known], known - {record.time_us for record in found}


async def _written(loader: Loader, robot: str, bucket: str, records: list[Record], stretch: Stretch) -> Part:
    found, broken = await asyncio.to_thread(points, records, robot, loader.site)
    cut = await asyncio.to_thread(within, found, stretch.start_us, stretch.stop_us)
    report = await loader.scalars.write(cut)
    merge(report.minutes, unopened(broken))
    return Part(bucket, cut, report.minutes, report.refusals)


def _books(parts: Iterable[Part]) -> dict[str, Minutes]:
    """Return the minutes by bucket; a value that an earlier part has too is counted there alone."""
    books, held = {}, dict[int, int]()
    seen, refused_us = list[Points](), set[int]()
    for part in parts:
        seen += part.points
        refused_us |= {one.time_us for one in part.refusals if one.time_us is not None}
        different = distinct(seen, refused_us)
        books[part.bucket] = {
            at: replace(tally, values=min(tally.values, different.get(at, 0) - held.get(at, 0)))
            for at, tally in part.minutes.items()
        }
        held = different
    return books


def _minutes(start_us: int, stop_us: int) -> range:
    return range(minute_of(start_us), stop_us + 1, MINUTE_US)

"""Load scalar chunks of a site's store into its InfluxDB as roll-ups, each one exactly once in the books.

The engine brings the chunks: one native task per bucket sends every record that has rows to our sink on localhost
(see sink.py), so a chunk is loaded in the order of its arrival, however old it is, and the engine's transaction log
waits while InfluxDB or we are away. What that log can lose (a request cut in the middle by kill -9, a store killed
before it logged a write, more transactions than it holds) or never had (chunks from before the task) is found by
sweeping (see sweeping.py).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence

from fleetbox.blobs import Store, TaskSpec
from fleetbox.errors import InputError
from fleetbox.naming import split_bucket
from fleetbox.points import Points
from fleetbox.records import Head, Record
from fleetbox.rollups import Rolled, points_of
from fleetbox.scalars import ScalarReport, ScalarStore
from fleetbox.selectors import Selector
from fleetbox.tallies import merge
from fleetbox_cloud.cursor import Cursor, Loaded
from fleetbox_cloud.extract import length_us, opened, points, unopened
from fleetbox_cloud.seconds import Seconds
from fleetbox_cloud.sources import HAS_ROWS, LOADED_CLASSES
from fleetbox_cloud.tallying import Turned, tallied

SUFFIX = "-points"  # the task's destination: another name than the bucket's, so it is never taken for a hop's task


def task_name(bucket: str) -> str:
    """Name the task that brings a bucket's chunks: "r1--sensor-to-influx"."""
    return f"{bucket}-to-influx"


def source_bucket(target: str) -> str:
    """Return the bucket whose chunks arrive under a task's destination name; raise InputError for a foreign name."""
    bucket = target.removesuffix(SUFFIX)
    if not target.endswith(SUFFIX) or split_bucket(bucket) is None:
        raise InputError(f"{target!r} is not a destination of the loader")
    return bucket


class Loader:
    """Load chunks into one InfluxDB bucket and keep the books; `raw` chooses streams whose rows become points too."""

    def __init__(
        self, store: Store, scalars: ScalarStore, cursor: Cursor, site: str, raw: Sequence[Selector] = ()
    ) -> None:
        self.store = store
        self.scalars = scalars
        self.cursor = cursor
        self.site = site
        self.seconds = Seconds(self)
        self._raw = tuple(raw)
        self._locks: dict[tuple[str, str], asyncio.Lock] = {}

    async def ensure_tasks(self, url: str, secret: str, *, renew: bool = False) -> list[str]:
        """Make the tasks that bring chunks to the sink at `url`; return the buckets whose task is new or changed.

        `renew` writes all of them again: the engine does not show which secret they hold.
        """
        made = []
        for bucket in await self.buckets():
            spec = TaskSpec(task_name(bucket), bucket, bucket + SUFFIX, url, secret, when=HAS_ROWS)
            info = await self.store.task(spec.name)
            if renew or info is None or info.spec.dst_url.rstrip("/") != url or info.spec.when != HAS_ROWS:
                await self.store.put_task(spec)
                made.append(bucket)
        return made

    async def buckets(self) -> list[str]:
        """Return the store's buckets that hold chunks."""
        return [
            name for name in await self.store.buckets() if (found := split_bucket(name)) and found[1] in LOADED_CLASSES
        ]

    async def load(self, bucket: str, entry: str, records: Sequence[Record]) -> int:
        """Load chunks of one entry that are not loaded yet; return how many that were.

        Raises what ScalarStore.write raises; then nothing is noted and loading them again is right.
        """
        robot, _ = split_bucket(bucket) or (bucket, "")
        async with self.turn(robot, entry):
            wanted = self.cursor.missing(bucket, entry, [record.time_us for record in records])
            fresh = [record for record in records if record.time_us in wanted]
            if fresh:
                await self._load(bucket, entry, fresh)
            return len(fresh)

    def raw(self, robot: str, stream: str) -> bool:
        """Tell whether a stream's rows become points too, beside their roll-ups."""
        return any(one.matches(robot, stream) for one in self._raw)

    def follow_raw(self) -> None:
        """Begin from the first chunk with streams that are raw now and were not; the next sweep loads them."""
        for bucket, entry in self.cursor.entries():
            robot, _ = split_bucket(bucket) or (bucket, "")
            if self.cursor.note_raw(bucket, entry, self.raw(robot, entry)):
                self.cursor.begin_anew(bucket, entry)

    async def write(self, robot: str, stream: str, fields: Mapping[str, Rolled], found: Sequence[Points]) -> Turned:
        """Write roll-ups and, where they are wanted, the raw rows; return what was refused for good."""
        rollups = [points_of(stream, robot, self.site, fields)] if fields else []
        report = await self.scalars.write(rollups)
        raw = await self.scalars.write(found) if self.raw(robot, stream) else ScalarReport()
        return Turned.of(report.refusals, raw.refusals)

    async def held(self, robot: str, stream: str, start_us: int, stop_us: int) -> dict[int, int]:
        """Return by minute how many of a stream's values InfluxDB holds: in roll-ups, and raw where they are wanted."""
        ask = self.scalars.rolled(stream, robot, start_us, stop_us, self.site)
        held = await ask.values_by_minute()
        if not self.raw(robot, stream):
            return held
        raw = await ask.raw_by_minute()
        return {minute_us: min(n, raw.get(minute_us, 0)) for minute_us, n in held.items()}

    async def _load(self, bucket: str, entry: str, fresh: Sequence[Record]) -> None:
        robot, _ = split_bucket(bucket) or (bucket, "")
        chunks, broken = await asyncio.to_thread(opened, fresh)
        found = await asyncio.to_thread(points, chunks, robot, self.site)
        minutes, words, tail = unopened(broken), dict[str, str](), None
        if chunks:
            whole = await self.seconds.whole(bucket, entry, chunks, found)
            turned = await self.write(robot, entry, whole.fields, found)
            merge(minutes, await asyncio.to_thread(tallied, found, turned))
            words, tail = turned.words, whole.tail
        longest_us = max(*map(length_us, fresh), *(one.last_us - one.record.time_us for one in chunks), 0)
        times_us, raw = [one.time_us for one in fresh], self.raw(robot, entry)
        self.cursor.add(bucket, entry, Loaded(times_us, minutes, longest_us, words, raw))
        if chunks:
            self.seconds.keep(robot, entry, tail)

    def turn(self, robot: str, stream: str) -> asyncio.Lock:
        """Return the lock of a stream: whoever holds it alone changes its points and its books."""
        return self._locks.setdefault((robot, stream), asyncio.Lock())

    def chunks(
        self, bucket: str, entry: str, start_us: int | None = None, stop_us: int | None = None
    ) -> AsyncGenerator[Record, None]:
        """Yield the chunks of an entry that begin from start to stop (excluded)."""
        return self.store.query(bucket, (entry,), start_us=start_us, stop_us=stop_us, when=HAS_ROWS)

    def heads(
        self, bucket: str, entry: str, start_us: int | None = None, stop_us: int | None = None
    ) -> AsyncGenerator[Head, None]:
        """Yield the same without their rows."""
        return self.store.query(bucket, (entry,), start_us=start_us, stop_us=stop_us, when=HAS_ROWS, head=True)

"""Load scalar chunks of a site's store into its InfluxDB, each one exactly once in the books.

The engine brings the chunks: one native task per bucket sends every record that has rows to our sink on localhost
(see sink.py), so a chunk is loaded in the order of its arrival, however old it is, and the engine's transaction log
waits while InfluxDB or we are away. What that log can lose (a request cut in the middle by kill -9, a store killed
before it logged a write, more transactions than it holds) or never had (chunks from before the task) is found by
sweeping (see sweeping.py).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence

from fleetbox.blobs import Store, TaskSpec
from fleetbox.errors import InputError
from fleetbox.naming import site_bucket, split_bucket
from fleetbox.records import Head, Record
from fleetbox.scalars import ScalarStore
from fleetbox.tallies import merge
from fleetbox_cloud.cursor import Cursor, Loaded
from fleetbox_cloud.extract import length_us, points, unopened

LOADED_CLASSES = ("sensor", "kept")  # where chunks are; meta and log hold text, media holds blobs
HAS_ROWS = {"$has": "rows"}  # the label that chunks carry and nothing else does
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


def buckets_of(robot: str) -> tuple[str, ...]:
    """Return the buckets that hold a robot's chunks; a stream's points come from all of them."""
    return tuple(site_bucket(robot, cls) for cls in LOADED_CLASSES)


class Loader:
    """Load chunks into one InfluxDB bucket and keep the books."""

    def __init__(self, store: Store, scalars: ScalarStore, cursor: Cursor, site: str) -> None:
        self.store = store
        self.scalars = scalars
        self.cursor = cursor
        self.site = site
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
                found, broken = await asyncio.to_thread(points, fresh, robot, self.site)
                report = await self.scalars.write(found)
                merge(report.minutes, unopened(broken))
                words = {one.reason: one.message for one in report.refusals}
                longest_us = max(map(length_us, fresh))
                times_us = [record.time_us for record in fresh]
                self.cursor.add(bucket, entry, Loaded(times_us, report.minutes, longest_us, words))
            return len(fresh)

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

"""Load scalar chunks of a site's store into its InfluxDB, each one exactly once in the books.

The engine brings the chunks: one native task per bucket sends every record that has rows to our sink on localhost
(see sink.py), so a chunk is loaded in the order of its arrival, however old it is, and the engine's transaction log
waits while InfluxDB or we are away. What that log can lose (a request cut in the middle by kill -9, a store killed
before it logged a write) or never had (chunks from before the task) is found by `sweep`: it lists the store
and loads what the cursor does not know.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence

from fleetbox.blobs import Store, TaskSpec
from fleetbox.errors import InputError, NotFound
from fleetbox.naming import split_bucket
from fleetbox.records import Head, Record
from fleetbox.scalars import ScalarStore
from fleetbox_cloud.cursor import Cursor
from fleetbox_cloud.extract import points

LOADED_CLASSES = ("sensor", "kept")  # where chunks are; meta and log hold text, media holds blobs
HAS_ROWS = {"$has": "rows"}  # the label that chunks carry and nothing else does
SUFFIX = "-points"  # the task's destination: another name than the bucket's, so it is never taken for a hop's task
LISTED = 5_000  # heads compared at a time: 20 ms of the process that also relays
RUN_RECORDS = 64  # chunks loaded at a time by a sweep: at most 16 MB at 256 KiB a chunk


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
    """Load chunks into one InfluxDB bucket and keep the books."""

    def __init__(self, store: Store, scalars: ScalarStore, cursor: Cursor, site: str) -> None:
        self._store = store
        self._scalars = scalars
        self._cursor = cursor
        self._site = site
        self._locks: dict[tuple[str, str], asyncio.Lock] = {}

    async def ensure_tasks(self, url: str, secret: str, *, renew: bool = False) -> list[str]:
        """Make the tasks that bring chunks to the sink at `url`; return the buckets whose task is new or changed.

        `renew` writes all of them again: the engine does not show which secret they hold.
        """
        made = []
        for bucket in await self.buckets():
            spec = TaskSpec(task_name(bucket), bucket, bucket + SUFFIX, url, secret, when=HAS_ROWS)
            info = await self._store.task(spec.name)
            if renew or info is None or info.spec.dst_url.rstrip("/") != url or info.spec.when != HAS_ROWS:
                await self._store.put_task(spec)
                made.append(bucket)
        return made

    async def buckets(self) -> list[str]:
        """Return the store's buckets that hold chunks."""
        return [
            name for name in await self._store.buckets() if (found := split_bucket(name)) and found[1] in LOADED_CLASSES
        ]

    async def load(self, bucket: str, entry: str, records: Sequence[Record]) -> int:
        """Load chunks of one entry that are not loaded yet; return how many that were.

        Raises what ScalarStore.write raises; then nothing is noted and loading them again is right.
        """
        async with self._locks.setdefault((bucket, entry), asyncio.Lock()):
            wanted = self._cursor.missing(bucket, entry, [record.time_us for record in records])
            fresh = [record for record in records if record.time_us in wanted]
            if fresh:
                await self._load(bucket, entry, fresh)
            return len(fresh)

    async def sweep(self, bucket: str) -> int:
        """List a bucket's chunks and load those that never came; return how many."""
        found = 0
        try:
            for info in await self._store.entries(bucket):
                if not info.name.endswith("$meta"):
                    found += await self._sweep_entry(bucket, info.name)
        except NotFound:
            return found  # the bucket went while we looked
        return found

    def counts(self) -> dict[str, Counter[str]]:
        """Return per robot what was loaded and refused since the cursor was begun."""
        return self._cursor.counts()

    async def _load(self, bucket: str, entry: str, fresh: list[Record]) -> None:
        robot, _ = split_bucket(bucket) or (bucket, "")
        found, broken = await asyncio.to_thread(points, fresh, robot, self._site)
        report = await self._scalars.write(found)
        counts = Counter(chunks=len(fresh), points=report.written, values=report.values)
        counts["refused:undecodable"] = broken
        counts.update({f"refused:{reason}": n for reason, n in report.refused.items()})
        self._cursor.add(bucket, entry, [record.time_us for record in fresh], robot, counts)

    async def _sweep_entry(self, bucket: str, entry: str) -> int:
        loaded, listed, first = 0, list[int](), True
        async for head in self._query(bucket, entry, head=True):
            if first:
                self._cursor.forget_before(bucket, entry, head.time_us)
                first = False
            listed.append(head.time_us)
            if len(listed) == LISTED:
                loaded += await self._recover(bucket, entry, listed)
                listed = []
        return loaded + await self._recover(bucket, entry, listed)

    async def _recover(self, bucket: str, entry: str, listed: list[int]) -> int:
        """Read and load those of the listed chunks that the cursor does not know."""
        missing = self._cursor.missing(bucket, entry, listed)
        if not missing:
            return 0
        loaded, run = 0, list[Record]()
        async for record in self._query(bucket, entry, start_us=min(missing), stop_us=max(missing) + 1):
            if record.time_us in missing and isinstance(record, Record):
                run.append(record)
            if len(run) == RUN_RECORDS:
                loaded += await self.load(bucket, entry, run)
                run = []
        return loaded + await self.load(bucket, entry, run)

    def _query(
        self, bucket: str, entry: str, *, start_us: int | None = None, stop_us: int | None = None, head: bool = False
    ) -> AsyncIterator[Record | Head]:
        return self._store.query(bucket, (entry,), start_us=start_us, stop_us=stop_us, when=HAS_ROWS, head=head)

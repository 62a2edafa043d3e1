"""List the chunks of a site's store, and load those that the engine never brought."""

from __future__ import annotations

from contextlib import aclosing

from fleetbox.errors import NotFound
from fleetbox.naming import split_bucket
from fleetbox.records import Record
from fleetbox.time import FOR_EVER_US
from fleetbox_cloud.loader import Loader

LISTED = 5_000  # heads compared at a time: 20 ms of the process that also relays
RUN_RECORDS = 64  # chunks loaded at a time by a sweep: at most 16 MB at 256 KiB a chunk


class Sweep:
    """Sweep a store for one loader; `found` counts the chunks that had to be looked for."""

    def __init__(self, loader: Loader) -> None:
        self._loader = loader
        self._cursor = loader.cursor
        self.found = 0

    async def bucket(self, bucket: str) -> int:
        """List a bucket's chunks and load those that never came; return how many."""
        known, found = {entry for name, entry in self._cursor.entries() if name == bucket}, 0
        try:
            entries = [
                info.name for info in await self._loader.store.entries(bucket) if not info.name.endswith("$meta")
            ]
            for entry in entries:
                await self._forget(bucket, entry)
                found += await self.entry(bucket, entry)
        except NotFound:
            return found  # the bucket went while we looked
        for entry in known.difference(entries):
            self._cursor.forget_before(bucket, entry, FOR_EVER_US)
        return found

    async def entry(self, bucket: str, entry: str, start_us: int | None = None, stop_us: int | None = None) -> int:
        """Do the same for the chunks of one entry that begin from start to stop (excluded)."""
        loaded, listed = 0, list[int]()
        async for head in self._loader.heads(bucket, entry, start_us, stop_us):
            listed.append(head.time_us)
            if len(listed) == LISTED:
                loaded += await self._recover(bucket, entry, listed)
                listed = []
        return loaded + await self._recover(bucket, entry, listed)

    async def _forget(self, bucket: str, entry: str) -> None:
        """Drop what the store has let go; nobody may load an older chunk between the look and the drop."""
        robot, _ = split_bucket(bucket) or (bucket, "")
        async with self._loader.turn(robot, entry):
            oldest_us = FOR_EVER_US
            async with aclosing(self._loader.heads(bucket, entry)) as heads:
                async for head in heads:
                    oldest_us = head.time_us
                    break
            self._cursor.forget_before(bucket, entry, oldest_us)

    async def _recover(self, bucket: str, entry: str, listed: list[int]) -> int:
        """Read and load those of the listed chunks that the cursor does not know."""
        missing = self._cursor.missing(bucket, entry, listed)
        if not missing:
            return 0
        loaded, run = 0, list[Record]()
        async for record in self._loader.chunks(bucket, entry, min(missing), max(missing) + 1):
            if record.time_us in missing:
                run.append(record)
            if len(run) == RUN_RECORDS:
                loaded += await self._load(bucket, entry, run)
                run = []
        return loaded + await self._load(bucket, entry, run)

    async def _load(self, bucket: str, entry: str, run: list[Record]) -> int:
        loaded = await self._loader.load(bucket, entry, run)
        self.found += loaded
        return loaded

"""Write an ingest's records into the kept bucket, and know what the store says."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from fleetbox import chunks
from fleetbox.blobs import Store
from fleetbox.errors import InputError
from fleetbox.records import Draft
from fleetbox_edge.ingest.report import IngestReport

BATCH_BYTES = 4_000_000  # half of what the engine takes at once: two batches in memory stay under 10 MB
BATCH_RECORDS = 80  # what the engine takes at once
TORN_WAIT_S = 90.0  # a half-written record of an interrupted ingest is healed after the port's 60 s
TORN_POLL_S = 5.0
OTHER_KEYS = 16  # µs tried below a taken key before giving up on a record
_FULL_WORDS = ("quota", "no space", "not enough")


class Full(Exception):
    """Stop an ingest: the bucket or the disk takes no more."""


class KeptWriter:
    """Gather records into batches, write them, and settle what is refused."""

    def __init__(
        self,
        store: Store,
        bucket: str,
        report: IngestReport,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._bucket = bucket
        self._report = report
        self._sleep = sleep
        self._monotonic_s = monotonic_s
        self._waiting: list[Draft] = []
        self._waiting_bytes = 0
        self._torn: list[Draft] = []

    async def add(self, drafts: Sequence[Draft]) -> None:
        """Take records; write when a batch is full. Raises Full."""
        for draft in drafts:
            if self._waiting_bytes + len(draft.data) > BATCH_BYTES or len(self._waiting) >= BATCH_RECORDS:
                await self.flush()
            self._waiting.append(draft)
            self._waiting_bytes += len(draft.data)

    async def flush(self) -> None:
        """Write what waits. Raises Full."""
        drafts, self._waiting, self._waiting_bytes = self._waiting, [], 0
        if drafts:
            await self._write(drafts)

    async def finish(self) -> None:
        """Write the rest, waiting for records an earlier ingest left half-written. Raises Full."""
        await self.flush()
        deadline_s = self._monotonic_s() + TORN_WAIT_S
        while self._torn and self._monotonic_s() < deadline_s:
            await self._sleep(TORN_POLL_S)
            drafts, self._torn = self._torn, []
            await self._write(drafts)
        for draft in self._torn:
            self._report.fail(f"{draft.entry} at {draft.time_us}: half-written before and not healed in time")

    async def _write(self, drafts: Sequence[Draft]) -> None:
        done = await self._store.write(self._bucket, drafts)
        self._report.written += done.written + done.healed
        self._report.already += done.already
        full = ""
        for draft, status, message in done.refused:
            if status == 425:
                self._torn.append(draft)
            elif status == 409:
                await self._settle(draft)
            else:
                self._report.fail(f"{draft.entry} at {draft.time_us}: the store says {status} {message}")
                full = full or (message if _is_full(status, message) else "")
        if full:
            raise Full(full)

    async def _settle(self, draft: Draft) -> None:
        """Decide about a key that other bytes hold: another copy of the recording, cut short, or another recording."""
        stored = await self._store.read(self._bucket, draft.entry, draft.time_us)
        if contains(stored.data, draft.data):
            self._report.already += 1
        elif contains(draft.data, stored.data):
            await self._store.delete(self._bucket, draft.entry, [draft.time_us])
            self._report.completed += 1
            await self._write([draft])
        else:
            await self._beside(draft)

    async def _beside(self, draft: Draft) -> None:
        """Write a record just below its key, which another recording holds: readers look there first."""
        self._report.overlapping += 1
        for step_us in range(1, OTHER_KEYS + 1):
            done = await self._store.write(self._bucket, [replace(draft, time_us=draft.time_us - step_us)])
            self._report.written += done.written + done.healed
            self._report.already += done.already
            if not done.refused:
                return
            if done.refused[0][1] != 409:
                break
        self._report.fail(f"{draft.entry} at {draft.time_us}: other records hold this time and {OTHER_KEYS} µs below")


def contains(whole: bytes, part: bytes) -> bool:
    """Tell whether a chunk holds every message of another one."""
    try:
        return _messages(part) <= _messages(whole)
    except InputError:  # not both are chunks
        return False


def _messages(data: bytes) -> set[tuple[int, bytes]]:
    columns = chunks.columns(data)
    if chunks.CDR not in columns or "log_ns" not in columns:
        raise InputError("a chunk without messages' bytes")
    return set(zip(columns["log_ns"], columns[chunks.CDR], strict=True))


def _is_full(status: int, message: str) -> bool:
    return status == 507 or (status in (400, 413, 500) and any(word in message.lower() for word in _FULL_WORDS))

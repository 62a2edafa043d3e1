"""Write drafts so that afterwards each of them is readable, or named with the reason why not."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace

import xxhash

from fleetbox.blobs.batches import Batch, Lane, split
from fleetbox.blobs.headers import decode_errors, encode_drafts
from fleetbox.blobs.reading import Reader
from fleetbox.blobs.removing import remove
from fleetbox.blobs.together import together
from fleetbox.blobs.values import WriteReport
from fleetbox.blobs.wire import Wire
from fleetbox.errors import NotFound, StoreRefused
from fleetbox.records import Draft, Head

LANES = 4  # batches in flight per call: 1.2 to 1.4 times the speed of one, where entries allow it (measured)
TORN_AFTER_S = 60.0  # a slow upload may still be running; after this a half-written record is dead
TORN = frozenset({425, 500})  # what a read says of a record whose bytes never all came
SPLITTABLE = frozenset({400, 413, 422, 431})  # one bad record refuses its whole batch: find it
JOIN_BYTES = 64 * 1024  # small payloads go out joined: one system call instead of one each
SLICE_BYTES = 256 * 1024  # large ones in views: the event loop copies what it cannot send at once
SETTLERS = 8  # conflicts looked at side by side

Refused = list[tuple[Draft, int, str]]


class Writer:
    """Write to one store; remembers when it first saw each torn record."""

    def __init__(self, wire: Wire, reader: Reader, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self._wire = wire
        self._reader = reader
        self._monotonic_s = monotonic_s
        self._torn_since: dict[tuple[str, str, int], float] = {}

    async def write(self, bucket: str, drafts: Sequence[Draft]) -> WriteReport:
        """Write any number of drafts to any entries of one bucket; every draft is in the report once."""
        report = WriteReport()
        while drafts:
            lanes, drafts = split(drafts)
            for done in await self._send_lanes(bucket, lanes):
                report += done
        return report

    async def _send_lanes(self, bucket: str, lanes: Sequence[Lane]) -> list[WriteReport]:
        if len(lanes) == 1:
            return [await self._send_lane(bucket, lanes[0])]
        gate = asyncio.Semaphore(LANES)

        async def one(lane: Lane) -> WriteReport:
            async with gate:
                return await self._send_lane(bucket, lane)

        return await together([one(lane) for lane in lanes])

    async def _send_lane(self, bucket: str, lane: Lane) -> WriteReport:
        report = WriteReport()
        for batch in lane:
            refused = await self._send(bucket, batch)
            report += replace(await self._settle(bucket, refused), written=len(batch) - len(refused))
        return report

    async def _send(self, bucket: str, batch: Batch) -> Refused:
        """Send one batch; return what was not written."""
        headers = encode_drafts(batch)
        size = sum(len(draft.data) for draft in batch)
        headers["Content-Length"] = str(size)
        what = f"write {len(batch)} records to bucket {bucket}"
        try:
            async with self._wire.call(
                "POST", f"/io/{bucket}/write", what, headers=headers, data=_body(batch), upload_bytes=size
            ) as answer:
                await answer.read()
                errors = decode_errors(answer.headers)
        except StoreRefused as refusal:
            if refusal.status in SPLITTABLE and len(batch) > 1:
                half = len(batch) // 2
                return await self._send(bucket, batch[:half]) + await self._send(bucket, batch[half:])
            return [(draft, refusal.status, refusal.message) for draft in batch]
        if not errors:
            return []
        gone = next((message for status, message in errors.values() if status == 404), None)
        if gone is not None:  # entries are made on the way, so only the bucket can be missing
            raise NotFound(f"cannot {what} at {self._wire.name} ({self._wire.url}): {gone}")
        named = ((draft, errors.get((draft.entry, draft.time_us))) for draft in batch)
        return [(draft, *error) for draft, error in named if error is not None]

    async def _settle(self, bucket: str, refused: Refused) -> WriteReport:
        """Decide each conflict by what the store holds; other refusals stand."""
        report = WriteReport(refused=[item for item in refused if item[1] != 409])
        conflicts = [item for item in refused if item[1] == 409]
        for start in range(0, len(conflicts), SETTLERS):
            some = conflicts[start : start + SETTLERS]
            for done in await together([self._settle_one(bucket, *item) for item in some]):
                report += done
        return report

    async def _settle_one(self, bucket: str, draft: Draft, status: int, message: str) -> WriteReport:
        key = (bucket, draft.entry, draft.time_us)
        try:
            head = await self._reader.head(*key)
        except NotFound:  # it went between the two calls: evicted, or removed
            return await self._again(bucket, draft)
        except StoreRefused as refusal:
            if refusal.status not in TORN:
                return WriteReport(refused=[(draft, refusal.status, refusal.message)])
            first_s = self._torn_since.setdefault(key, self._monotonic_s())
            if self._monotonic_s() - first_s < TORN_AFTER_S:
                return WriteReport(refused=[(draft, 425, f"half-written, perhaps still being sent: {message}")])
            await remove(self._wire, bucket, draft.entry, [draft.time_us])
            return await self._again(bucket, draft)
        self._torn_since.pop(key, None)
        if await self._same(head, draft):
            return WriteReport(already=1)
        return WriteReport(refused=[(draft, status, f"other bytes are stored under this time: {message}")])

    async def _again(self, bucket: str, draft: Draft) -> WriteReport:
        refused = await self._send(bucket, [draft])
        self._torn_since.pop((bucket, draft.entry, draft.time_us), None)
        return WriteReport(refused=refused) if refused else WriteReport(healed=1)

    async def _same(self, head: Head, draft: Draft) -> bool:
        if head.size != len(draft.data):
            return False
        stored = head.labels.get("xxh")
        if stored is not None:
            return stored == (draft.labels.get("xxh") or xxhash.xxh3_64_hexdigest(draft.data))
        record = await self._reader.read(head.bucket, head.entry, head.time_us)
        return record.data == draft.data


async def _body(batch: Batch) -> AsyncIterator[bytes | memoryview]:
    """Yield the payloads: small ones joined, large ones as views."""
    small: list[bytes] = []
    small_bytes = 0
    for draft in batch:
        if small_bytes + len(draft.data) <= JOIN_BYTES:
            small.append(draft.data)
            small_bytes += len(draft.data)
            continue
        if small:
            yield b"".join(small)
            small, small_bytes = [], 0
        view = memoryview(draft.data)
        for start in range(0, len(view), SLICE_BYTES):
            yield view[start : start + SLICE_BYTES]
    if small:
        yield b"".join(small)

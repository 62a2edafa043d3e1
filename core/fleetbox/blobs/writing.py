"""Write drafts so that afterwards each of them is readable, or named with the reason why not."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, replace
from enum import Enum

import xxhash

from fleetbox.blobs.batches import Batch, Lane, split
from fleetbox.blobs.headers import decode_errors, encode_drafts
from fleetbox.blobs.reading import Reader
from fleetbox.blobs.removing import Remover
from fleetbox.blobs.together import together
from fleetbox.blobs.turns import Turns
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


class Found(Enum):
    """Say what stands where a record was refused, if that is not the end of it."""

    GONE = "nothing, any more"
    TORN = "a half-written record"


@dataclass(frozen=True, slots=True)
class Access:
    """Hold what a writer works with: the line to the store, reads, removals, and whose turn it is."""

    wire: Wire
    reader: Reader
    remover: Remover
    turns: Turns


class Writer:
    """Write to one store; remembers when it first saw each torn record."""

    def __init__(self, access: Access, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self._wire = access.wire
        self._reader = access.reader
        self._remover = access.remover
        self._turns = access.turns
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
            async with (
                self._turns.writing({(bucket, draft.entry) for draft in batch}),
                self._wire.call(
                    "POST", f"/io/{bucket}/write", what, headers=headers, data=_body(batch), upload_bytes=size
                ) as answer,
            ):
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
        gone: Batch = []
        torn: dict[str, list[tuple[Draft, str]]] = {}
        for start in range(0, len(conflicts), SETTLERS):
            some = conflicts[start : start + SETTLERS]
            looked = await together([self._look(bucket, *item) for item in some])
            for (draft, _, message), found in zip(some, looked, strict=True):
                if found is Found.GONE:
                    gone.append(draft)
                elif found is Found.TORN:
                    torn.setdefault(draft.entry, []).append((draft, message))
                else:
                    report += found
        report += await self._again(bucket, gone)
        for entry, items in torn.items():
            report += await self._heal(bucket, entry, items)
        return report

    async def _look(self, bucket: str, draft: Draft, status: int, message: str) -> WriteReport | Found:
        key = (bucket, draft.entry, draft.time_us)
        try:
            head = await self._reader.head(*key)
        except NotFound:  # it went between the two calls: evicted, or removed
            return Found.GONE
        except StoreRefused as refusal:
            if refusal.status not in TORN:
                return WriteReport(refused=[(draft, refusal.status, refusal.message)])
            self._torn_since.setdefault(key, self._monotonic_s())
            return Found.TORN
        self._torn_since.pop(key, None)
        if await self._same(head, draft):
            return WriteReport(already=1)
        return WriteReport(refused=[(draft, status, f"other bytes are stored under this time: {message}")])

    async def _heal(self, bucket: str, entry: str, torn: Sequence[tuple[Draft, str]]) -> WriteReport:
        """Remove an entry's torn records all at once and write them again, unless any may still be being sent."""
        try:
            idle = self._torn_for_good(bucket, entry) and await self._remover.remove_idle(
                bucket, entry, [draft.time_us for draft, _ in torn]
            )
        except StoreRefused as refusal:
            return WriteReport(refused=[(draft, refusal.status, refusal.message) for draft, _ in torn])
        if not idle:
            return WriteReport(
                refused=[(draft, 425, f"half-written, perhaps still being sent: {why}") for draft, why in torn]
            )
        return await self._again(bucket, [draft for draft, _ in torn])

    def _torn_for_good(self, bucket: str, entry: str) -> bool:
        """Tell whether none of an entry's torn records was first seen so lately that it may still be on its way."""
        now_s = self._monotonic_s()
        return all(
            now_s - since_s >= TORN_AFTER_S for key, since_s in self._torn_since.items() if key[:2] == (bucket, entry)
        )

    async def _again(self, bucket: str, drafts: Batch) -> WriteReport:
        """Write once more what no longer stands in the way of itself."""
        if not drafts:
            return WriteReport()
        refused = await self._send(bucket, drafts)
        for draft in drafts:
            self._torn_since.pop((bucket, draft.entry, draft.time_us), None)
        return WriteReport(healed=len(drafts) - len(refused), refused=refused)

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

"""Remove records, with every refusal surfaced and without harm to the records beside them."""

from __future__ import annotations

from collections.abc import Sequence

from fleetbox.blobs.batches import MAX_RECORDS
from fleetbox.blobs.covering import COVER, COVER_LABELS, COVER_TYPE, NEAR_US, covered, is_cover, spots
from fleetbox.blobs.headers import decode_errors, encode_drafts, encode_times
from fleetbox.blobs.reading import Reader
from fleetbox.blobs.together import together
from fleetbox.blobs.turns import Turns
from fleetbox.blobs.wire import Wire
from fleetbox.errors import NotFound, StoreRefused
from fleetbox.records import Draft

AT_ONCE = MAX_RECORDS - 2 * len(NEAR_US)  # records in one request; the rest is room for their covers, old ones too
LOOKERS = 8  # records looked at side by side


class Remover:
    """Remove records of one store behind covers, never while this process writes to their entry."""

    def __init__(self, wire: Wire, reader: Reader, turns: Turns) -> None:
        self._wire = wire
        self._reader = reader
        self._turns = turns

    async def remove(self, bucket: str, entry: str, times_us: Sequence[int]) -> int:
        """Remove records of one entry; return how many were there. Raises StoreRefused if one could not be removed."""
        async with self._turns.removing((bucket, entry)):
            return await self._remove(bucket, entry, times_us)

    async def remove_idle(self, bucket: str, entry: str, times_us: Sequence[int]) -> bool:
        """Remove records unless somebody writes to their entry just now; tell whether it was done."""
        if self._turns.busy((bucket, entry)):
            return False
        await self.remove(bucket, entry, times_us)
        return True

    async def _remove(self, bucket: str, entry: str, times_us: Sequence[int]) -> int:
        """Look first: a cover must stand in the block of a record that is there, and not make an entry that is not."""
        times = sorted(set(times_us))
        there: list[int] = []
        for start in range(0, len(times), LOOKERS):
            some = times[start : start + LOOKERS]
            stands = await together([self._stands(bucket, entry, time_us) for time_us in some])
            there += [time_us for time_us, found in zip(some, stands, strict=True) if found]
        removed = 0
        for start in range(0, len(there), AT_ONCE):
            some = there[start : start + AT_ONCE]
            covers = [cover for time_us in covered(some) for cover in await self._cover(bucket, entry, time_us)]
            missing = await self._send(bucket, entry, sorted({*some, *covers}))
            removed += len(set(some) - missing)
        return removed

    async def _stands(self, bucket: str, entry: str, time_us: int) -> bool:
        try:
            await self._reader.head(bucket, entry, time_us)
        except NotFound:
            return False
        except StoreRefused:
            return True  # half-written or broken: it has its place in the block all the same
        return True

    async def _cover(self, bucket: str, entry: str, behind_us: int) -> list[int]:
        """Write a cover behind a record; return its time and those of covers left behind earlier."""
        old: list[int] = []
        for time_us in spots(behind_us):
            draft = Draft(entry, time_us, COVER, COVER_LABELS, COVER_TYPE)
            headers = encode_drafts([draft]) | {"Content-Length": str(len(COVER))}
            what = f"cover {bucket}/{entry} at {behind_us}"
            async with self._wire.call(
                "POST", f"/io/{bucket}/write", what, headers=headers, data=COVER, upload_bytes=len(COVER)
            ) as answer:
                status, message = decode_errors(answer.headers).get((entry, time_us), (200, ""))
            if status == 200:
                return [*old, time_us]
            if status != 409:
                raise StoreRefused(f"cannot {what}, so nothing was removed there: {message}", status)
            if await self._is_cover(bucket, entry, time_us):
                old.append(time_us)
        raise StoreRefused(f"cannot cover {bucket}/{entry} at {behind_us}: no free time near it, nothing removed", 409)

    async def _is_cover(self, bucket: str, entry: str, time_us: int) -> bool:
        try:
            return is_cover((await self._reader.head(bucket, entry, time_us)).labels)
        except (NotFound, StoreRefused):
            return False

    async def _send(self, bucket: str, entry: str, times_us: Sequence[int]) -> set[int]:
        """Remove in one request; return what was not there.

        One entry a request: the engine reports an error by its time alone, on every entry of the request that has it.
        """
        what = f"remove {len(times_us)} records of {bucket}/{entry}"
        headers = encode_times([(entry, time_us) for time_us in times_us])
        async with self._wire.call("DELETE", f"/io/{bucket}/remove", what, headers=headers) as answer:
            errors = decode_errors(answer.headers)
        for (_, time_us), (status, message) in errors.items():
            if status != 404:
                raise StoreRefused(f"cannot remove {bucket}/{entry} at {time_us}: {message}", status)
        return {time_us for _, time_us in errors}

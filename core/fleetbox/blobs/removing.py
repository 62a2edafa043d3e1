"""Remove records, with every refusal surfaced."""

from __future__ import annotations

from collections.abc import Sequence

from fleetbox.blobs.batches import MAX_RECORDS
from fleetbox.blobs.headers import decode_errors, encode_times
from fleetbox.blobs.wire import Wire
from fleetbox.errors import StoreRefused


async def remove(wire: Wire, bucket: str, entry: str, times_us: Sequence[int]) -> int:
    """Remove records of one entry; return how many were there. Raises StoreRefused if one could not be removed.

    One entry a request: the engine reports an error by its time alone, on every entry of the request that has it.
    """
    keys = [(entry, time_us) for time_us in sorted(set(times_us))]
    removed = 0
    for start in range(0, len(keys), MAX_RECORDS):
        some = keys[start : start + MAX_RECORDS]
        what = f"remove {len(some)} records of {bucket}/{entry}"
        async with wire.call("DELETE", f"/io/{bucket}/remove", what, headers=encode_times(some)) as answer:
            errors = decode_errors(answer.headers)
        for (_, time_us), (status, message) in errors.items():
            if status != 404:
                raise StoreRefused(f"cannot remove {bucket}/{entry} at {time_us}: {message}", status)
        removed += len(some) - len(errors)
    return removed

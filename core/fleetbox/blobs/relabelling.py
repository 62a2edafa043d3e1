"""Give records further labels, with every refusal surfaced."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fleetbox.blobs.batches import MAX_RECORDS
from fleetbox.blobs.headers import decode_errors, encode_times
from fleetbox.blobs.values import Refusal, RelabelReport
from fleetbox.blobs.wire import Wire
from fleetbox.errors import StoreRefused
from fleetbox.labels import Labels


async def relabel(wire: Wire, bucket: str, times_us: Mapping[str, Sequence[int]], labels: Labels) -> RelabelReport:
    """Add the same labels to many records; a time given twice is patched once.

    Serial: two patches of one block at the same time lose updates inside the engine (measured).
    """
    keys = sorted({(entry, time_us) for entry, times in times_us.items() for time_us in times})
    refused: list[Refusal] = []
    for start in range(0, len(keys), MAX_RECORDS):
        some = keys[start : start + MAX_RECORDS]
        what = f"label {len(some)} records in bucket {bucket}"
        try:
            async with wire.call("PATCH", f"/io/{bucket}/update", what, headers=encode_times(some, labels)) as answer:
                errors = decode_errors(answer.headers)
        except StoreRefused as refusal:
            refused += [Refusal(*key, refusal.status, refusal.message) for key in some]
            continue
        refused += [Refusal(*key, *error) for key, error in sorted(errors.items())]
    return RelabelReport(len(keys) - len(refused), refused)

"""Append a record to an entry that others write too: where its stamp is taken it moves on."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fleetbox.errors import StoreRefused
from fleetbox.records import Draft

if TYPE_CHECKING:
    from fleetbox.blobs import Store

TAKEN = (409, 425)  # another record stands there, or is just being written there
TRIES = 100  # a taken stamp moves on by 1 µs; a hundred records within 100 µs is somebody's endless loop


async def append(store: Store, bucket: str, draft: Draft, what: str, next_step: str | None = None) -> Draft:
    """Write a record and return it as written, up to 100 µs later than it was drafted.

    Raises StoreRefused with `what` and the store's words when the store keeps refusing, Unreachable when it does not
    answer.
    """
    for bump in range(TRIES):
        moved = replace(draft, time_us=draft.time_us + bump)
        report = await store.write(bucket, [moved])
        if not report.refused:
            return moved
        _, status, message = report.refused[0]
        if status not in TAKEN:
            break
    raise StoreRefused(f"{what} could not be written to {bucket}: {status} {message}", status, next_step)

"""Delete torn records at the destination without harming their neighbours: behind covers, as `covering` tells."""

from __future__ import annotations

from collections.abc import Sequence

from fleetbox.blobs.covering import COVER, COVER_LABELS, COVER_TYPE, covered, is_cover, spots
from fleetbox_replication.relay.destination import Destination, Entry
from fleetbox_replication.wire import errors_of, make_part


async def clear(there: Destination, entry: Entry, times_us: Sequence[int]) -> bool:
    """Delete records in one request with the covers written for it; tell whether they are gone.

    Raises Cut when the destination goes away in between; calling again then removes the old covers as well.
    """
    covers: list[int] = []
    for time_us in covered(times_us):
        found = await _cover(there, entry, time_us)
        if found is None:
            return False
        covers += found
    return await there.delete(entry, [*times_us, *covers])


async def _cover(there: Destination, entry: Entry, behind_us: int) -> list[int] | None:
    """Write a cover behind a record; return its time and those of covers left behind earlier, None if refused."""
    old: list[int] = []
    for time_us in spots(behind_us):
        part = make_part(time_us, len(COVER), COVER_TYPE, COVER_LABELS)
        reply = await there.write(entry, [part], [COVER])
        refused = errors_of(reply.headers).get(time_us)
        if reply.status != 200 or (refused and refused.status != 409):
            return None
        if refused is None:
            return [*old, time_us]
        if is_cover((await there.look(entry, time_us)).labels):
            old.append(time_us)
    return None

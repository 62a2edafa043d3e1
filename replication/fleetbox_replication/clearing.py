"""Delete torn records without harming their neighbours.

On a delete the engine copies what stays in the block to a new file. A record whose writing was cut has no bytes; if it
stays and is the last in the file, the copy ends early and the engine gives the *whole block* up, good records and all
(1.21.4: ten records that read 200 answer 404 after it). A record written behind them, a cover, makes the file long
enough; it goes with them in the same request.
"""

from __future__ import annotations

from collections.abc import Sequence

from fleetbox_replication.destination import Destination, Entry
from fleetbox_replication.wire import errors_of, make_part

COVER = b"{}"  # whoever reads it in the millisecond it lives sees an empty object
COVER_LABELS = {"type": "cover"}  # carries no `keep`: it never travels
NEAR_US = tuple(1 << power for power in range(13))  # 1 µs to 4 ms behind: the same block, and rarely taken


async def clear(there: Destination, entry: Entry, times_us: Sequence[int]) -> bool:
    """Delete records in one request behind a cover, and the cover with them; tell whether they are gone.

    Raises Cut when the destination goes away in between; calling again then removes the old cover as well.
    """
    covers: list[int] = []
    for step_us in NEAR_US:
        time_us = max(times_us) + step_us
        part = make_part(time_us, len(COVER), "application/json", COVER_LABELS)
        reply = await there.write(entry, [part], [COVER])
        refused = errors_of(reply.headers).get(time_us)
        if reply.status != 200 or (refused and refused.status != 409):
            return False
        if refused is None:
            return await there.delete(entry, [*times_us, *covers, time_us])
        found = await there.look(entry, time_us)
        if (found.labels or {}).get("type") == COVER_LABELS["type"]:
            covers.append(time_us)
    return False

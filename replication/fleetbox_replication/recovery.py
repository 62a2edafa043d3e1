"""Send again what was on its way when a relay was killed: touch it at the source, and the engine sends it anew."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from fleetbox.blobs import Store, TaskSpec
from fleetbox.errors import FleetboxError
from fleetbox_replication.relay_journal import Flight

BEHIND = 170  # two batches: what the engine may have sent without the relay having read it yet
LATEST = 2  # batches that were answered: after a label update's answer the engine writes the same records whole
AGAIN_S = 1.0  # the source may be starting, too


@dataclass(frozen=True, slots=True)
class Recovery:
    """Say where the relay notes what is on its way, and which store it would have to ask for it again."""

    journal: Path
    source_url: str
    source_token: Callable[[], str]


async def recover(recovery: Recovery, left: Iterable[Flight]) -> int:
    """Touch at the source what an earlier relay left behind, until it worked; return the number of records.

    A touch is a label update that changes nothing; the engine then sends the record's labels, and the record whole
    where it is absent. Records that arrived are not changed by it, those still queued come twice, which is harmless.
    """
    flights = list(left)
    while True:
        try:
            async with Store(recovery.source_url, recovery.source_token(), name="source") as source:
                return await _touch_all(source, flights)
        except FleetboxError:
            await asyncio.sleep(AGAIN_S)


async def _touch_all(source: Store, flights: Sequence[Flight]) -> int:
    touched = 0
    specs = [task.spec for task in await source.tasks()]
    for bucket, entry in sorted({(flight.bucket, flight.entry) for flight in flights}):
        own = [flight for flight in flights if (flight.bucket, flight.entry) == (bucket, entry)]
        unsure = [flight for flight in own if not flight.done] + own[-LATEST:]
        times = {time_us for flight in unsure for time_us in flight.times_us}
        last_us = own[-1].times_us[-1] if own[-1].times_us else 0
        for spec in specs:
            if spec.dst_bucket == bucket and not entry.endswith("$meta"):
                times |= await _behind(source, spec, entry, last_us)
                report = await source.relabel(spec.src_bucket, {entry: sorted(times)}, {})
                touched += report.done
    return touched


async def _behind(source: Store, spec: TaskSpec, entry: str, last_us: int) -> set[int]:
    """Return the next records of an entry that its task would send."""
    found: set[int] = set()
    async for head in source.query(spec.src_bucket, (entry,), start_us=last_us + 1, when=spec.when, head=True):
        found.add(head.time_us)
        if len(found) >= BEHIND:
            break
    return found

"""Find out how much of a window is there to be sent: exactly from a robot's store, else from its ledger."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fleetbox.blobs import Store
from fleetbox.events import Event
from fleetbox.ledger import MINUTE_US, Ledger, Line
from fleetbox.naming import RING_CLASSES
from fleetbox_replication.taking import Taking
from fleetbox_replication.window import ChunkBounds, Scope, chosen_entries, in_window


@dataclass(frozen=True, slots=True)
class Size:
    """Count records and bytes of a window: those to be sent, and those selected before, which travel anyway.

    `oldest_us` is from when on every one of its streams still holds records, None where none holds any.
    """

    records: int = 0
    bytes: int = 0
    before_records: int = 0
    before_bytes: int = 0
    streams: int = 0
    oldest_us: int | None = None


async def size_in_store(store: Store, event: Event, scope: Scope, bounds: ChunkBounds | None = None) -> Size:
    """Count what the labeler will find in a robot's own store; raises Unreachable, AccessDenied."""
    bounds = bounds or ChunkBounds(store)
    counts, streams, oldest_us = [0, 0, 0, 0], 0, []
    async for bucket, infos in chosen_entries(store, event, scope):
        names = [info.name for info in infos]
        streams += len(names)
        oldest_us += [info.oldest_us for info in infos if info.records]
        first_us = max(0, event.start_us - await bounds.longest(bucket, names))
        heads = store.query(
            bucket, names, start_us=first_us, stop_us=event.stop_us + 1, when=in_window(event.start_us), head=True
        )
        async for head in heads:
            at = 2 if "keep" in head.labels else 0
            counts[at] += 1
            counts[at + 1] += head.size
    return Size(counts[0], counts[1], counts[2], counts[3], streams, max(oldest_us, default=None))


def size_in_ledger(ledger: Ledger, event: Event, allowed: Callable[[str], bool] = lambda stream: True) -> Size:
    """Count what the robot told of the window; of minutes that lie half in it, their share in time."""
    lines = [folded.line for key, folded in ledger.of(ledger.robot).items() if key[0] in RING_CLASSES]
    taking = Taking.among(event, {line.stream for line in lines})
    wanted = {name for name in {line.stream for line in lines} if allowed(name) and taking.takes(name)}
    counts, streams = [0.0, 0.0, 0.0, 0.0], set()
    for line in lines:
        share = _share(line, event) if line.stream in wanted else 0.0
        if share:
            streams.add(line.stream)
            left, before = line.held - line.keep, line.keep
            for at, number in enumerate((left.records, left.bytes, before.records, before.bytes)):
                counts[at] += number * share
    records, size, before_records, before_bytes = (round(count) for count in counts)
    return Size(records, size, before_records, before_bytes, len(streams))


def _share(line: Line, event: Event) -> float:
    """Return how much of a minute's records lie in the window, if they are spread evenly."""
    first_us, last_us = line.first_us, min(line.last_us, line.minute_us + MINUTE_US)
    within_us = min(last_us, event.stop_us) - max(first_us, event.start_us)
    if within_us < 0:
        return 0.0
    return min(1.0, within_us / (last_us - first_us)) if last_us > first_us else 1.0

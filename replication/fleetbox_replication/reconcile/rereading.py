"""Read back what was sent right after a break: a request of before it may still have been writing the same entry.

An engine that gets two requests for one entry at once answers both with 200 and may mix up their bytes. A relay that
was killed leaves such a request behind; its successor cannot see it. Labels and sizes are right: only reading tells.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import structlog

from fleetbox_replication.reconcile.copying import Copier, Mended
from fleetbox_replication.reconcile.difference import Bounds
from fleetbox_replication.reconcile.listing import Ends, list_both
from fleetbox_replication.reconcile.payloads import with_payloads
from fleetbox_replication.wire import Part

log = structlog.get_logger()

MOST_BYTES = 32_000_000  # of one bucket are read back after a break: half a minute of a link of 8 Mbit/s
APART_US = 10_000_000  # µs between two records that are not worth one query: what lies between is read as well


class Suspects:
    """Remember what was stored at the destination within a while after a break, the newest of each bucket."""

    def __init__(self, monotonic_s: Callable[[], float], watch_s: float) -> None:
        self._monotonic_s, self._watch_s = monotonic_s, watch_s
        self._until_s = float("-inf")
        self._sizes: dict[str, dict[tuple[str, int], int]] = {}
        self._bytes: dict[str, int] = {}

    def alarm(self) -> None:
        """Begin to watch, or watch on: something broke just now."""
        self._until_s = self._monotonic_s() + self._watch_s

    def note(self, bucket: str, entry: str, parts: Sequence[Part]) -> None:
        """Take up records that were just stored; a label update comes without a size and writes no bytes."""
        if self._monotonic_s() >= self._until_s:
            return
        sizes = self._sizes.setdefault(bucket, {})
        for part in parts:
            if part.size:
                self._bytes[bucket] = self._bytes.get(bucket, 0) + part.size - sizes.pop((entry, part.time_us), 0)
                sizes[entry, part.time_us] = part.size
        while self._bytes.get(bucket, 0) > MOST_BYTES:
            self._bytes[bucket] -= sizes.pop(next(iter(sizes)))

    def has(self, bucket: str) -> bool:
        """Tell whether something of a bucket is to be read back, now that the watch is over."""
        return bool(self._sizes.get(bucket)) and self._monotonic_s() >= self._until_s

    def of(self, bucket: str) -> dict[str, list[int]]:
        """Return the times in µs per stream that are to be read back of a bucket."""
        found: dict[str, list[int]] = {}
        for entry, time_us in self._sizes.get(bucket, {}):
            found.setdefault(entry, []).append(time_us)
        return {entry: sorted(times) for entry, times in found.items()}

    def forget(self, bucket: str) -> None:
        """Let go of a bucket's: they were read."""
        self._sizes.pop(bucket, None)
        self._bytes.pop(bucket, None)


async def reread(ends: Ends, copier: Copier, suspects: dict[str, list[int]]) -> tuple[int, Mended]:
    """Read records back and replace those that hold other bytes than their source's; return how many were read.

    Raises Unreachable, AccessDenied.
    """
    read, mended = 0, Mended()
    for stream, times in suspects.items():
        for run in runs(times):
            listed = await with_payloads(ends, await list_both(ends, stream, run[0], run[-1] + 1, Bounds()))
            read += len(listed.theirs)
            wrong = listed.difference.wrong
            if not wrong:
                continue  # what is missing or stale is others' to find, in its minute
            log.warning(
                "records hold other bytes than were sent", task=ends.spec.name, entry=stream, records=len(wrong)
            )
            mended.add(await copier.mend(replace(listed, difference=replace(listed.difference, missing=(), stale=()))))
    return read, mended


def runs(times: Sequence[int]) -> Iterator[Sequence[int]]:
    """Cut times into stretches that are each worth one query."""
    first = 0
    for at in range(1, len(times) + 1):
        if at == len(times) or times[at] - times[at - 1] > APART_US:
            yield times[first:at]
            first = at

"""Look at a few records that are proven already, as a check on the checks: their heads, sometimes their bytes."""

from __future__ import annotations

import random
from collections.abc import Mapping

import structlog
import xxhash

from fleetbox.errors import NotFound, StoreRefused
from fleetbox.ledger import MINUTE_US
from fleetbox.records import Head
from fleetbox_replication.reconcile.difference import Bounds, Difference, compare
from fleetbox_replication.reconcile.hop import Hop
from fleetbox_replication.reconcile.listing import Listed, selected_heads
from fleetbox_replication.reconcile.means import Means
from fleetbox_replication.reconcile.minute import Minute

log = structlog.get_logger()

PAYLOAD_BYTES = 256 * 1024  # a chunk at its largest; a sample costs the link no more than this
TORN = (425, 500)


async def sample(means: Means, hops: Mapping[tuple[str, str], Hop], records: int, *, payload: bool) -> int:
    """Look at so many proven records by chance, with their bytes if `payload`; return how many were not as proven.

    What is wrong is replaced at once; what is missing opens its minute again. Raises Unreachable, AccessDenied.
    """
    bad = 0
    for minute in means.state.any_proven(records):
        hop = hops.get((minute.robot, minute.cls))
        head = await _choose(means, hop, minute) if hop is not None else None
        if hop is None or head is None:
            continue
        means.counts["sampled"] += 1
        if not await _is_well(means, hop, head) or (payload and not await _same_bytes(means, hop, head)):
            bad += 1
            log.warning("a proven record is not as it was", task=hop.spec.name, entry=head.entry, time_us=head.time_us)
            means.counts["not_as_proven"] += 1
            with means.state.change():
                now_us, stop_us = means.options.now_us(), minute.minute_us + MINUTE_US
                means.state.doubt(minute.robot, minute.key[:2], minute.minute_us, stop_us, now_us)
    return bad


async def payload_hash(means: Means, hop: Hop, head: Head) -> tuple[str, str]:
    """Return the hashes of a record's bytes: by its source's label, else its bytes, and of those at the destination."""
    theirs = await means.there.read(hop.spec.dst_bucket, head.entry, head.time_us)
    ours = head.labels.get("xxh")
    if ours is None:
        record = await means.source().read(hop.spec.src_bucket, head.entry, head.time_us)
        ours = xxhash.xxh3_64_hexdigest(record.data)
    return ours, xxhash.xxh3_64_hexdigest(theirs.data)


async def _choose(means: Means, hop: Hop, minute: Minute) -> Head | None:
    heads = await selected_heads(
        means.source(), hop.spec, minute.stream, minute.minute_us, minute.minute_us + MINUTE_US
    )
    return random.choice(heads) if heads else None


async def _is_well(means: Means, hop: Hop, head: Head) -> bool:
    try:
        there = await means.there.head(hop.spec.dst_bucket, head.entry, head.time_us)
    except NotFound:
        return False
    except StoreRefused as refusal:
        if refusal.status not in TORN:
            raise
        return False
    return compare([head], {head.time_us: there}, Bounds()).clean


async def _same_bytes(means: Means, hop: Hop, head: Head) -> bool:
    """Read both; wrong bytes under the right labels are found by nobody else, so they are replaced here."""
    if head.size > PAYLOAD_BYTES:
        return True
    means.counts["payloads_read"] += 1
    ours, theirs = await payload_hash(means, hop, head)
    if ours == theirs:
        return True
    wrong = Listed(head.entry, head.time_us, head.time_us + 1, hop.spec, (head,), (), Difference(wrong=(head,)))
    mended = await means.copier(hop).mend(wrong)
    means.counts["mended"] += mended.mended
    return False

"""Compare payloads: the bytes that both ends really hold, whatever their labels say."""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import replace

import xxhash

from fleetbox.blobs import Store
from fleetbox.errors import NotFound
from fleetbox.records import Head
from fleetbox_replication.reconcile.listing import Ends, Listed


async def with_payloads(ends: Ends, listed: Listed) -> Listed:
    """Return a comparison that also knows as wrong what the destination holds in other bytes than its source.

    Reads the destination's records whole, the source's where they carry no hash or where theirs does not fit.
    """
    there = await _hashes(ends.there, ends.spec.dst_bucket, listed)
    amiss = {head.time_us for head in listed.difference.all()}
    doubtful = [
        head
        for head in listed.selected
        if head.time_us in there and head.time_us not in amiss and there[head.time_us] != head.labels.get("xxh")
    ]
    wrong = [head for head in doubtful if await _own_hash(ends, head) != there[head.time_us]]
    if not wrong:
        return listed
    gone = {head.time_us for head in wrong}
    difference = listed.difference
    stale = tuple(head for head in difference.stale if head.time_us not in gone)
    return replace(listed, difference=replace(difference, wrong=(*difference.wrong, *wrong), stale=stale))


async def _hashes(store: Store, bucket: str, listed: Listed) -> dict[int, str]:
    try:
        found = store.query(bucket, (listed.stream,), start_us=listed.start_us, stop_us=listed.stop_us)
        async with aclosing(found) as records:
            return {record.time_us: xxhash.xxh3_64_hexdigest(record.data) async for record in records}
    except NotFound:
        return {}


async def _own_hash(ends: Ends, head: Head) -> str:
    record = await ends.source.read(ends.spec.src_bucket, head.entry, head.time_us)
    return xxhash.xxh3_64_hexdigest(record.data)

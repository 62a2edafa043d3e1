"""Ask a store which of the records it said yes to can be read."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from fleetbox.blobs import Store
from fleetbox.errors import NotFound, StoreRefused
from fleetbox.records import Draft, Head

LIST_FROM = 4  # records; below, asking for each is cheaper than a listing
LIST_SPAN_US = 10_000_000  # a batch that lies further apart has others in between, which a listing would tell as well
AT_ONCE = 8  # single questions side by side

Found = dict[tuple[str, int], Head]


async def unreadable(store: Store, bucket: str, drafts: Sequence[Draft]) -> list[Draft]:
    """Return the drafts that the store does not have as they were sent: broken, half-written or of other bytes.

    One that lies before everything its entry holds was there: the ring has turned over it since. Raises Unreachable
    when the store does not answer.
    """
    times = [draft.time_us for draft in drafts]
    found: Found = {}
    if len(drafts) >= LIST_FROM and max(times) - min(times) <= LIST_SPAN_US:
        found = await _listed(store, bucket, drafts)
    missing = [draft for draft in drafts if not _same(draft, found.get((draft.entry, draft.time_us)))]
    if not missing:
        return []
    looked = await _asked(store, bucket, missing)
    absent = [draft for draft, head in looked if head is None]
    oldest_us = {info.name: info.oldest_us for info in await store.entries(bucket)} if absent else {}
    turned = {id(draft) for draft in absent if draft.time_us < oldest_us.get(draft.entry, 0)}
    return [draft for draft, head in looked if id(draft) not in turned and not _same(draft, head)]


async def _listed(store: Store, bucket: str, drafts: Sequence[Draft]) -> Found:
    times = [draft.time_us for draft in drafts]
    entries = tuple(sorted({draft.entry for draft in drafts}))
    heads = store.query(bucket, entries, start_us=min(times), stop_us=max(times) + 1, head=True)
    return {(head.entry, head.time_us): head async for head in heads}


async def _asked(store: Store, bucket: str, drafts: Sequence[Draft]) -> list[tuple[Draft, Head | int | None]]:
    """Return each draft with its head, None where nothing is, or the status of what cannot be read."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(draft: Draft) -> tuple[Draft, Head | int | None]:
        async with gate:
            try:
                return draft, await store.head(bucket, draft.entry, draft.time_us)
            except NotFound:
                return draft, None
            except StoreRefused as refusal:
                return draft, refusal.status

    return await asyncio.gather(*(one(draft) for draft in drafts))


def _same(draft: Draft, found: Head | int | None) -> bool:
    return isinstance(found, Head) and found.size == len(draft.data) and found.labels.get("xxh") == draft.labels["xxh"]

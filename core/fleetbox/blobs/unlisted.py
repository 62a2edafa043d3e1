"""Find records that a store has said yes to and no query shows, and say what became of each.

Two things make one (1.21.4, both measured). A disk that is just full: the engine answers 200 and marks the record as
broken. And a twin: a record whose writing was cut stays in its block; once a belated write has begun another block
inside that one's time, the next write of the same time lands there, is answered with 200, and HEAD says 200 too, but
queries meet the half-written twin first and pass over both. A whole record of another program can be the twin as well:
then queries show that one, and HEAD the newer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from enum import Enum
from typing import TYPE_CHECKING

from fleetbox.errors import NotFound, StoreRefused
from fleetbox.records import Draft, Head

if TYPE_CHECKING:
    from fleetbox.blobs.store import Store

GAP_US = 10_000_000  # records further apart are listed apart: a query tells of all that lies in between
LISTERS = 4  # listings side by side
MOST_TWINS = 8  # each takes a cut write and a belated block of its own


class Absence(Enum):
    """Say why no query shows a record."""

    HIDDEN = "a half-written twin hides it from queries"
    BROKEN = "the store said yes to it, but cannot give it back"
    FOREIGN = "another record stands under its time"
    TURNED = "the ring has turned over it since"
    GONE = "it is not there"


Found = dict[tuple[str, int], Head]


async def unlisted(store: Store, bucket: str, drafts: Sequence[Draft]) -> list[tuple[Draft, Absence]]:
    """Return the drafts that no query shows as they were sent, each with the reason.

    One request for records that lie close together in time. Raises Unreachable when the store does not answer.
    """
    gate = asyncio.Semaphore(LISTERS)

    async def shown(cluster: list[Draft]) -> Found:
        async with gate:
            return await _shown(store, bucket, cluster)

    found = {key: head for some in await asyncio.gather(*map(shown, _clusters(drafts))) for key, head in some.items()}
    missing = [draft for draft in drafts if not _same(draft, found.get((draft.entry, draft.time_us)))]
    if not missing:
        return []
    reasons = [await _reason(store, bucket, draft, found) for draft in missing]
    oldest_us: dict[str, int] = {}
    if Absence.GONE in reasons:
        oldest_us = {info.name: info.oldest_us for info in await store.entries(bucket)}
    return [
        (draft, Absence.TURNED if reason is Absence.GONE and _is_old(draft, oldest_us) else reason)
        for draft, reason in zip(missing, reasons, strict=True)
    ]


async def listed(store: Store, bucket: str, entry: str, time_us: int) -> Head | None:
    """Return what a query shows of one time, which may be another record than `Store.head` tells of."""
    heads = store.query(bucket, (entry,), start_us=time_us, stop_us=time_us + 1, head=True)
    found = [head async for head in heads]
    return found[0] if found else None


async def unhide(store: Store, bucket: str, entry: str, time_us: int) -> None:
    """Remove a record that no query shows and its half-written twins, so that it can be written anew.

    The newest goes first, and then the next comes to light; a whole one is somebody else's, and stays.
    """
    for _ in range(MOST_TWINS):
        await store.delete(bucket, entry, [time_us])
        try:
            await store.head(bucket, entry, time_us)
        except NotFound:
            return
        except StoreRefused:
            continue
        return


def _clusters(drafts: Sequence[Draft]) -> Iterator[list[Draft]]:
    """Yield records in groups that lie close together in time."""
    group: list[Draft] = []
    for draft in sorted(drafts, key=lambda draft: draft.time_us):
        if group and draft.time_us - group[-1].time_us > GAP_US:
            yield group
            group = []
        group.append(draft)
    if group:
        yield group


async def _shown(store: Store, bucket: str, drafts: list[Draft]) -> Found:
    entries = tuple(sorted({draft.entry for draft in drafts}))
    heads = store.query(bucket, entries, start_us=drafts[0].time_us, stop_us=drafts[-1].time_us + 1, head=True)
    return {(head.entry, head.time_us): head async for head in heads}


async def _reason(store: Store, bucket: str, draft: Draft, found: Found) -> Absence:
    if (draft.entry, draft.time_us) in found:
        return Absence.FOREIGN
    try:
        head = await store.head(bucket, draft.entry, draft.time_us)
    except NotFound:
        return Absence.GONE
    except StoreRefused:
        return Absence.BROKEN
    return Absence.HIDDEN if _same(draft, head) else Absence.FOREIGN


def _same(draft: Draft, head: Head | None) -> bool:
    return head is not None and head.size == len(draft.data) and head.labels.get("xxh") == draft.labels.get("xxh")


def _is_old(draft: Draft, oldest_us: dict[str, int]) -> bool:
    return draft.time_us < oldest_us.get(draft.entry, 0)

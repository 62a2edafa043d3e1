"""Bring attachments: what was attached to a stream before its task existed never travels by itself."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import aclosing

from fleetbox.blobs import Store
from fleetbox.errors import NotFound
from fleetbox_replication.reconcile.listing import Ends, entries_of

META = "/$meta"  # the engine's name for the entry that holds another one's attachments
TOGETHER = 100  # entries in one query: more make it no faster

Key = tuple[str, str]  # stream, key


async def bring_attachments(ends: Ends) -> int:
    """Copy the attachments that streams which have arrived lack, or have in another size; return how many.

    Only heads cross the wire, about 80 bytes an attachment. Raises Unreachable, AccessDenied.
    """
    spec = ends.spec
    own = {info.name for info in await entries_of(ends.source, spec.src_bucket)}
    streams = own & {info.name for info in await entries_of(ends.there, spec.dst_bucket)}  # others may never travel
    here = await _sizes(ends.source, spec.src_bucket, streams)
    if not here:
        return 0
    there = await _sizes(ends.there, spec.dst_bucket, streams)
    lacking = [key for key, size in here.items() if there.get(key) != size]
    documents = await ends.source.attachments_of(spec.src_bucket, sorted({stream for stream, _ in lacking}))
    brought = 0
    for stream, key in lacking:
        if (document := documents[stream].get(key)) is not None:  # or it was removed in between
            await ends.there.write_attachment(spec.dst_bucket, stream, key, document)
            brought += 1
    return brought


async def _sizes(store: Store, bucket: str, streams: Collection[str]) -> dict[Key, int]:
    """Return the size in bytes of each attachment."""
    found: dict[Key, int] = {}
    names = sorted(streams)
    for first in range(0, len(names), TOGETHER):
        entries = tuple(f"{stream}{META}" for stream in names[first : first + TOGETHER])
        try:
            async with aclosing(store.query(bucket, entries, start_us=0, head=True)) as heads:
                async for head in heads:
                    found[head.entry.removesuffix(META), head.labels.get("key", "")] = head.size
        except NotFound:
            continue
    return found

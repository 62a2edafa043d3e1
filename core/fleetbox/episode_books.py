"""Read and write the revisions of episodes in a `meta` bucket."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import structlog
import xxhash

from fleetbox.appending import append
from fleetbox.episodes import ENTRIES, STREAM, Revision, decode, encode
from fleetbox.errors import InputError, NotFound
from fleetbox.labels import Labels
from fleetbox.records import Draft

if TYPE_CHECKING:
    from fleetbox.blobs import Store

log = structlog.get_logger()

TYPE = "json"
CONTENT_TYPE = "application/json"
MOST = 1_000  # revisions a record: some 300 kB, of which a reader decodes a thousand in 5 ms
STEP = "fleetbox doctor"


async def read_revisions(
    store: Store, bucket: str, *, start_us: int = 0, tell: Callable[[int], None] = lambda count: None
) -> list[Revision]:
    """Return all revisions of a `meta` bucket, none where it does not exist; `tell` is given how many so far."""
    found: list[Revision] = []
    try:
        async for record in store.query(bucket, ENTRIES, start_us=start_us):
            try:
                found += decode(record.data)
            except InputError as error:  # one foreign record must not hide every episode
                log.warning("episodes passed over", bucket=bucket, time_us=record.time_us, why=error.message)
            tell(len(found))
    except NotFound:
        return found
    return found


async def write_revisions(
    store: Store,
    bucket: str,
    revisions: Sequence[Revision],
    now_us: int,
    site: str = "",
    tell: Callable[[int], None] = lambda count: None,
) -> int:
    """Append revisions of one robot's episodes to its `meta`, many to a record; return the bytes written.

    site: where people write; "" in the robot's own store. What was written before a failure stands.
    Raises StoreRefused when the store keeps refusing, NotFound without the bucket, Unreachable.
    """
    size_bytes, done = 0, 0
    for at, draft in enumerate(drafts(revisions, now_us, site)):
        await append(store, bucket, draft, "episodes", STEP)
        size_bytes += len(draft.data)
        done = min(len(revisions), (at + 1) * MOST)
        tell(done)
    return size_bytes


def drafts(revisions: Sequence[Revision], now_us: int, site: str = "") -> Iterator[Draft]:
    """Yield the records that write revisions of one robot."""
    for at, start in enumerate(range(0, len(revisions), MOST)):
        some = revisions[start : start + MOST]
        data = encode(some)
        labels = {**labels_of(some), "xxh": xxhash.xxh3_64_hexdigest(data)}
        yield Draft(f"{STREAM}/{site}" if site else STREAM, now_us + at, data, labels, CONTENT_TYPE)


def labels_of(revisions: Sequence[Revision]) -> Labels:
    """Return what a record's labels say of its revisions."""
    one = revisions[0]
    labels: Labels = {"robot": one.robot, "type": TYPE, "kind": "episode", "episodes": str(len(revisions))}
    return {**labels, "episode": one.id, "did": one.did} if len(revisions) == 1 else labels

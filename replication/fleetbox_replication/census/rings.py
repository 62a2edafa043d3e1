"""Tell from which time on a ring has let go of nothing: an older minute may have held more."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeGuard

from fleetbox.blobs import BucketSpec, EntryInfo

FULL = 0.9  # of its quota: eviction takes whole blocks, so a ring that turns stays a little below
MOST_BLOCKS = 2  # of the bucket's block size: how far below, where blocks are large beside the quota


def is_ring(spec: BucketSpec | None) -> TypeGuard[BucketSpec]:
    """Tell whether a bucket lets go of its oldest records when it is full."""
    return spec is not None and spec.quota_type == "FIFO" and spec.quota_bytes > 0


def is_turning(spec: BucketSpec | None, infos: Iterable[EntryInfo]) -> bool:
    """Tell whether a bucket is so full that its ring may have let go of records."""
    if not is_ring(spec):
        return False
    below = max(spec.quota_bytes / 2, spec.quota_bytes - MOST_BLOCKS * spec.max_block_bytes)
    return sum(info.size_bytes for info in infos) >= min(FULL * spec.quota_bytes, below)

"""Decide how a bucket of each class is kept: which quota, and how large its blocks grow."""

from __future__ import annotations

from fleetbox.blobs import BucketSpec

SMALL_RECORDS = 128  # records a block: at the engine's 1,024 a small write costs the server twice the CPU
BLOCK_BYTES = 64_000_000  # the engine's own default: media blocks fill by size long before they fill by count


def bucket_spec(cls: str, quota_bytes: int | None = None) -> BucketSpec:
    """Return the bucket settings for one class.

    `quota_bytes` is the settings' quota for the class; without one (or with 0) the bucket is not bounded.
    `meta` is never bounded: the engine evicts the entry whose oldest record is oldest, newest records included.
    `kept` refuses what does not fit (HARD), every other class turns over (FIFO).
    """
    quota = quota_bytes or 0
    if cls == "meta" or not quota:
        return BucketSpec("NONE", 0, SMALL_RECORDS, BLOCK_BYTES)
    return BucketSpec("HARD" if cls == "kept" else "FIFO", quota, SMALL_RECORDS, BLOCK_BYTES)

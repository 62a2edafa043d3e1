"""Buckets: list, create, change, remove, and what is in them."""

from __future__ import annotations

from reduct.msg.bucket import BucketFullInfo, BucketSettings, QuotaType, Status

from fleetbox.blobs.values import BucketSpec, EntryInfo
from fleetbox.blobs.wire import Wire
from fleetbox.errors import NotFound


async def names(wire: Wire) -> list[str]:
    """Return the names of our buckets, sorted; the engine's own (`$...`) and those being removed are left out."""
    return sorted(await sizes(wire))


async def sizes(wire: Wire) -> dict[str, int]:
    """Return the bytes that each bucket holds, of those the token may see: one request, 122 bytes a bucket."""
    with wire.translating("list buckets"):
        infos = await wire.admin.list()
    return {info.name: info.size for info in infos if not info.name.startswith("$") and info.status is Status.READY}


async def entries(wire: Wire, bucket: str) -> list[EntryInfo]:
    """Return the entries of a bucket, sorted, in one request. Raises NotFound if there is no such bucket.

    Left out are those being removed, and the empty ones the engine makes for the folders of an entry (`cam` for
    `cam/front`).
    """
    found = [entry for entry in (await _look(wire, bucket)).entries if entry.status is Status.READY]
    folders = {entry.name[:cut] for entry in found for cut, char in enumerate(entry.name) if char == "/"}
    return [
        EntryInfo(
            entry.name, entry.record_count, entry.block_count, entry.size, entry.oldest_record, entry.latest_record
        )
        for entry in sorted(found, key=lambda entry: entry.name)
        if entry.block_count or entry.name not in folders
    ]


async def spec(wire: Wire, bucket: str) -> BucketSpec | None:
    """Return how a bucket is kept, or None if there is none."""
    try:
        settings = (await _look(wire, bucket)).settings
    except NotFound:
        return None
    return BucketSpec(
        settings.quota_type.value if settings.quota_type else "NONE",
        settings.quota_size or 0,
        settings.max_block_records or 0,
        settings.max_block_size or 0,
    )


async def ensure(wire: Wire, bucket: str, wanted: BucketSpec) -> bool:
    """Create a bucket or change it to what is wanted; return whether anything changed."""
    actual = await spec(wire, bucket)
    if actual == wanted:
        return False
    settings = BucketSettings(
        max_block_size=wanted.max_block_bytes,
        max_block_records=wanted.max_block_records,
        quota_type=QuotaType(wanted.quota_type),
        quota_size=wanted.quota_bytes,
    )
    with wire.translating(f"set up bucket {bucket}"):
        made = await wire.admin.create_bucket(bucket, settings, exist_ok=True)
        if actual is not None or await spec(wire, bucket) != wanted:  # or somebody else created it in between
            await made.set_settings(settings)
    return True


async def remove(wire: Wire, bucket: str) -> None:
    """Remove a bucket with everything in it."""
    async with wire.call("DELETE", f"/b/{bucket}", f"remove bucket {bucket}"):
        pass


async def _look(wire: Wire, bucket: str) -> BucketFullInfo:
    async with wire.call("GET", f"/b/{bucket}", f"look at bucket {bucket}") as answer:
        return BucketFullInfo.model_validate_json(await answer.read())

"""What a store says yes to and no query shows is found, with its reason, and brought to light."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace

from fleetbox.blobs import BucketSpec, Store
from fleetbox.blobs.unlisted import Absence, listed, unhide, unlisted
from fleetbox.records import Draft

from .conftest import Opened

T = 10**15  # µs
SMALL_BLOCKS = BucketSpec("NONE", 0, max_block_records=16)
MakeDraft = Callable[..., Draft]
Tear = Callable[[Sequence[Draft], int], None]


async def hide(store: Store, bucket: str, make: MakeDraft, tear: Tear) -> list[Draft]:
    """Write three records over half-written ones, behind a belated write that began a block in their midst."""
    await store.write(bucket, [make("cam", T + 2 * number) for number in range(10)])
    cut = [make("cam", T + 20 + 2 * number) for number in range(5)]
    await asyncio.to_thread(tear, cut, 100)  # two of 40 bytes are whole
    await store.write(bucket, [make("cam", T + 30)])
    await store.write(bucket, [make("cam", T + 5)])
    report = await store.write(bucket, cut[2:])
    assert report.refused == []
    return cut[2:]


def test_a_half_written_twin_hides_a_record(
    opened: Opened, bucket_name: str, make_draft: MakeDraft, tear: Tear
) -> None:
    """Written with 200 and head 200, yet in no listing: told as hidden; written anew without its twins it is listed."""

    async def judge() -> None:
        async with opened(SMALL_BLOCKS) as store:
            hidden = await hide(store, bucket_name, make_draft, tear)
            for draft in hidden:
                assert (await store.head(bucket_name, "cam", draft.time_us)).size == len(draft.data)
                assert await listed(store, bucket_name, "cam", draft.time_us) is None
            assert await unlisted(store, bucket_name, hidden) == [(draft, Absence.HIDDEN) for draft in hidden]
            for draft in hidden:
                await unhide(store, bucket_name, "cam", draft.time_us)
            report = await store.write(bucket_name, hidden)
            assert report.refused == []
            assert await unlisted(store, bucket_name, hidden) == []
            heads = store.query(bucket_name, ("cam",), start_us=1, stop_us=2 * T, head=True)
            assert len([head async for head in heads]) == 17

    asyncio.run(judge())


def test_a_whole_twin_is_left_alone(opened: Opened, bucket_name: str, make_draft: MakeDraft) -> None:
    """Of two records that the engine took under one time the older is listed; the newer is told, and goes alone."""

    async def judge() -> None:
        async with opened(SMALL_BLOCKS) as store:
            first = [make_draft("cam", T + 2 * number) for number in range(16)]
            await store.write(bucket_name, first)
            await store.write(bucket_name, [make_draft("cam", T + 5)])  # the block is full: it begins one of its own
            mine = make_draft("cam", T + 8)
            assert (await store.write(bucket_name, [mine])).refused == []
            assert await unlisted(store, bucket_name, [mine]) == [(mine, Absence.FOREIGN)]
            await unhide(store, bucket_name, "cam", mine.time_us)
            shown = await listed(store, bucket_name, "cam", mine.time_us)
            assert shown is not None
            assert shown == await store.head(bucket_name, "cam", mine.time_us)
            assert shown.labels["xxh"] == first[4].labels["xxh"]

    asyncio.run(judge())


def test_what_is_listed_is_not_named(opened: Opened, bucket_name: str, make_draft: MakeDraft) -> None:
    """Records years apart, of several entries, are all found; what is not there or has other bytes is told."""

    async def judge() -> None:
        async with opened() as store:
            there = [make_draft(f"e{number % 3}", T + number * 10**12) for number in range(12)]
            await store.write(bucket_name, there)
            gone = make_draft("e0", T + 5)
            other = replace(there[0], data=b"other", labels={"xxh": "1"})
            assert await unlisted(store, bucket_name, there) == []
            found = await unlisted(store, bucket_name, [*there[1:], gone, other])
            assert {draft.data: why for draft, why in found} == {
                gone.data: Absence.GONE, other.data: Absence.FOREIGN,
            }  # fmt: skip

    asyncio.run(judge())


def test_what_the_ring_turned_over_is_not_missing(opened: Opened, bucket_name: str, make_draft: MakeDraft) -> None:
    """A record that lies before everything its entry holds was there once."""

    async def judge() -> None:
        async with opened() as store:
            await store.write(bucket_name, [make_draft("cam", T)])
            old = make_draft("cam", T - 1)
            assert await unlisted(store, bucket_name, [old]) == [(old, Absence.TURNED)]

    asyncio.run(judge())

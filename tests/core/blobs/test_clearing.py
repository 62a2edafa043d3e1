"""Removing beside half-written records leaves every other record of the block as it was."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from fleetbox.blobs import BucketSpec, Store
from fleetbox.blobs.covering import COVER, COVER_LABELS
from fleetbox.errors import InputError, NotFound, StoreRefused
from fleetbox.records import Draft

SIZE = 2_000
GOOD = range(1_000, 11_000, 1_000)  # µs; the first of them goes, so that the block's file ends with its last record
CUT = range(11_000, 31_000, 1_000)


async def _held(store: Store, bucket: str) -> dict[int, bytes]:
    """Read every record that can be read, each by its own request, and check that a query shows the same."""
    found = {}
    for time_us in range(0, 40_000, 1_000):
        try:
            found[time_us] = (await store.read(bucket, "a", time_us)).data
        except (NotFound, StoreRefused):
            continue
    assert {record.time_us: record.data async for record in store.query(bucket)} == found
    return found


async def _scene(
    store: Store, bucket: str, make_draft: Callable[..., Draft], tear: Callable
) -> tuple[dict[int, bytes], list[Draft]]:
    """Make a block whose file was compacted once and ends with half-written records; return the good and the cut."""
    good = [make_draft("a", time_us, bytes([time_us // 1_000]) * SIZE) for time_us in GOOD]
    await store.write(bucket, good)
    await store.delete(bucket, "a", [good[0].time_us])
    drafts = [make_draft("a", time_us, bytes([time_us // 1_000]) * SIZE) for time_us in CUT]
    tear(drafts, 6 * SIZE + SIZE // 2)
    held = await _held(store, bucket)
    assert set(held) >= {item.time_us for item in good[1:]}
    cut = [item for item in drafts if item.time_us not in held]
    assert len(cut) >= 10
    return held, cut


@pytest.mark.parametrize("share", ["all", "the first half", "the last half", "one"])
def test_healing_costs_no_neighbour(
    opened: Callable, bucket_name: str, make_draft: Callable[..., Draft], tear: Callable, share: str
) -> None:
    """Whichever of the torn records are written again, the block's good ones stay readable, byte for byte."""
    now_s = 0.0

    async def act() -> None:
        nonlocal now_s
        async with opened(monotonic_s=lambda: now_s) as store:
            held, cut = await _scene(store, bucket_name, make_draft, tear)
            half = len(cut) // 2
            given = {"all": cut, "the first half": cut[:half], "the last half": cut[half:], "one": cut[:1]}[share]
            assert len((await store.write(bucket_name, given)).refused) == len(given)
            assert await _held(store, bucket_name) == held
            now_s += 61
            report = await store.write(bucket_name, given)
            assert (report.healed, report.refused) == (len(given), [])
            assert await _held(store, bucket_name) == held | {item.time_us: item.data for item in given}

    asyncio.run(act())


def test_healing_across_two_blocks_costs_neither(
    opened: Callable, bucket_name: str, make_draft: Callable[..., Draft], tear: Callable
) -> None:
    """A batch that tore at the ends of two blocks and is healed in part leaves the good records of both."""
    now_s = 0.0

    async def act() -> None:
        nonlocal now_s
        async with opened(BucketSpec("NONE", 0, max_block_records=20), monotonic_s=lambda: now_s) as store:
            good = [make_draft("a", n * 1_000, bytes([n]) * SIZE) for n in range(40)]
            await store.write(bucket_name, good)
            drafts = [*good[14:20], *good[21:26]]
            await store.delete(bucket_name, "a", [item.time_us for item in drafts])
            tear(drafts, SIZE + SIZE // 2)
            held = await _held(store, bucket_name)
            cut = [item for item in drafts if item.time_us not in held]
            assert len(held) == 40 - len(cut) < 40
            given = [item for item in cut if item.time_us < 17_000 or item.time_us > 23_000]
            await store.write(bucket_name, given)
            now_s += 61
            assert (await store.write(bucket_name, given)).healed == len(given)
            assert await _held(store, bucket_name) == held | {item.time_us: item.data for item in given}

    asyncio.run(act())


def test_nothing_is_removed_beside_a_record_that_may_still_arrive(
    opened: Callable, bucket_name: str, make_draft: Callable[..., Draft], tear: Callable
) -> None:
    """Torn records first seen a minute ago wait for one of their stream that was first seen just now."""
    now_s = 0.0

    async def act() -> None:
        nonlocal now_s
        async with opened(monotonic_s=lambda: now_s) as store:
            held, cut = await _scene(store, bucket_name, make_draft, tear)
            await store.write(bucket_name, cut[:5])
            now_s += 61
            await store.write(bucket_name, cut[5:])
            for some in (cut, cut[:5]):
                assert {status for _, status, _ in (await store.write(bucket_name, some)).refused} == {425}
            now_s += 61
            assert (await store.write(bucket_name, cut)).healed == len(cut)
            assert await _held(store, bucket_name) == held | {item.time_us: item.data for item in cut}

    asyncio.run(act())


def test_a_removal_costs_no_neighbour(
    opened: Callable, bucket_name: str, make_draft: Callable[..., Draft], tear: Callable
) -> None:
    """Good records can be deleted from a block that ends with half-written ones; absent ones make nothing."""

    async def act() -> None:
        async with opened() as store:
            held, _ = await _scene(store, bucket_name, make_draft, tear)
            assert await store.delete(bucket_name, "a", [2_000, 5_000, 5_001]) == 2
            assert await _held(store, bucket_name) == {t: data for t, data in held.items() if t not in (2_000, 5_000)}
            assert await store.delete(bucket_name, "never", [1, 2]) == 0
            assert [info.name for info in await store.entries(bucket_name)] == ["a"]

    asyncio.run(act())


def test_a_failed_stream_costs_no_neighbour(
    opened: Callable, bucket_name: str, make_draft: Callable[..., Draft], tear: Callable
) -> None:
    """What a stream that broke off leaves is removed without the records beside it."""

    async def parts(size: int = SIZE) -> AsyncIterator[bytes]:
        if size:
            yield bytes(size)

    async def act() -> None:
        async with opened() as store:
            held, _ = await _scene(store, bucket_name, make_draft, tear)
            for size, sent in ((2 * SIZE, SIZE), (2 * SIZE, 0), (600_000, SIZE), (600_000, 0)):
                with pytest.raises(InputError):
                    await store.write_stream(bucket_name, "a", 35_000, parts(sent), size, {}, "")
                assert await _held(store, bucket_name) == held
            assert await store.write_stream(bucket_name, "a", 35_000, parts(), SIZE, {}, "")

    asyncio.run(act())


def test_a_cover_left_behind_is_hidden_and_taken_along(
    opened: Callable, bucket_name: str, make_draft: Callable[..., Draft], tear: Callable
) -> None:
    """A crash between cover and removal leaves a record that no query shows; the next healing removes it."""
    now_s = 0.0

    async def act() -> None:
        nonlocal now_s
        async with opened(monotonic_s=lambda: now_s) as store:
            held, cut = await _scene(store, bucket_name, make_draft, tear)
            left = [
                Draft("a", at, COVER, COVER_LABELS, "application/json")
                for at in (cut[0].time_us + 1, cut[-1].time_us + 1)
            ]
            await store.write(bucket_name, left)
            assert await _held(store, bucket_name) == held
            await store.write(bucket_name, cut)
            now_s += 61
            assert (await store.write(bucket_name, cut)).healed == len(cut)
            assert await _held(store, bucket_name) == held | {item.time_us: item.data for item in cut}
            for cover in left:
                with pytest.raises(NotFound):
                    await store.head(bucket_name, "a", cover.time_us)

    asyncio.run(act())


def test_a_removal_waits_for_the_writes_of_its_stream(
    opened: Callable, bucket_name: str, make_draft: Callable[..., Draft]
) -> None:
    """A record on its way keeps its bytes while another of its block is deleted: the removal comes after it."""
    half = bytes([7]) * 300_000

    async def act() -> None:
        async with opened() as store:
            await store.write(bucket_name, [make_draft("a", n, bytes([n]) * SIZE) for n in range(5)])
            go, begun = asyncio.Event(), asyncio.Event()

            async def parts() -> AsyncIterator[bytes]:
                yield half
                begun.set()
                await go.wait()
                yield half

            stream = asyncio.create_task(store.write_stream(bucket_name, "a", 9, parts(), 2 * len(half), {}, ""))
            await begun.wait()
            removal = asyncio.create_task(store.delete(bucket_name, "a", [1]))
            for _ in range(20):
                await store.head(bucket_name, "a", 1)
            assert not removal.done()
            go.set()
            assert await stream
            assert await removal == 1
            assert (await store.read(bucket_name, "a", 9)).data == half + half

    asyncio.run(act())

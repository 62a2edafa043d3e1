"""After a write every draft is readable, or named with the reason why not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest

from fleetbox.blobs import BucketSpec
from fleetbox.errors import NotFound, StoreRefused
from fleetbox.records import Draft


async def _read_all(store, bucket: str) -> dict[tuple[str, int], bytes]:
    return {(record.entry, record.time_us): record.data async for record in store.query(bucket)}


def _stored(drafts: list[Draft]) -> dict[tuple[str, int], bytes]:
    return {(item.entry, item.time_us): item.data for item in drafts}


async def _statuses(store, bucket: str, drafts: list[Draft]) -> list[int]:
    found = []
    for item in drafts:
        try:
            await store.head(bucket, item.entry, item.time_us)
            found.append(200)
        except StoreRefused as refusal:
            found.append(refusal.status)
    return found


def test_a_call_of_many_entries_and_sizes_is_written_whole(
    opened: Callable, bucket_name: str, make_draft: Callable[..., Draft]
) -> None:
    """Hundreds of drafts over many entries, from no bytes to 3 MB, come back byte for byte."""
    sizes = [0, 1, 100, 70_000, 300_000]
    drafts = [make_draft(f"s{n % 37}/x", n, bytes([n % 251]) * sizes[n % 5], n=str(n)) for n in range(400)]
    drafts += [make_draft("big", n, bytes([n]) * 3_000_000) for n in range(4)]

    async def act() -> None:
        async with opened() as store:
            report = await store.write(bucket_name, drafts)
            assert (report.written, report.already, report.refused) == (404, 0, [])
            assert await _read_all(store, bucket_name) == _stored(drafts)

    asyncio.run(act())


def test_equal_bytes_count_as_already_and_other_bytes_are_named(
    opened: Callable, bucket_name: str, make_draft: Callable[..., Draft]
) -> None:
    """A retry finds its records there; a stranger's record under the same time is refused with 409."""
    drafts = [make_draft("a", n) for n in range(5)]
    bare = [replace(make_draft("bare", n), labels={}) for n in range(2)]
    stranger = make_draft("a", 3)
    longer = make_draft("a", 4, b"longer than forty bytes, which the first was, is it not?")

    async def act() -> None:
        async with opened() as store:
            assert (await store.write(bucket_name, drafts + bare)).written == 7
            report = await store.write(bucket_name, [*drafts[:3], stranger, longer, *bare])
            assert (report.written, report.already, report.healed) == (0, 5, 0)
            assert [(item, status) for item, status, _ in report.refused] == [(stranger, 409), (longer, 409)]
            assert await _read_all(store, bucket_name) == _stored(drafts + bare)
            other = replace(bare[0], data=bytes(40))
            assert [(item, status) for item, status, _ in (await store.write(bucket_name, [other])).refused] == [
                (other, 409)
            ]

    asyncio.run(act())


def test_the_same_key_twice_in_one_call_is_decided_too(
    opened: Callable, bucket_name: str, make_draft: Callable[..., Draft]
) -> None:
    """Of two drafts with one key the first is written, an equal second is `already`, another is refused."""
    one, two = make_draft("a", 1), make_draft("a", 1)

    async def act() -> None:
        async with opened() as store:
            report = await store.write(bucket_name, [one, one, two])
            assert (report.written, report.already) == (1, 1)
            assert [(item, status) for item, status, _ in report.refused] == [(two, 409)]

    asyncio.run(act())


@pytest.mark.parametrize("size", [10, 5_000, 200_000])
def test_a_torn_write_is_healed_after_a_minute_and_not_before(
    opened: Callable, bucket_name: str, make_draft: Callable[..., Draft], tear: Callable, size: int
) -> None:
    """Records cut off by a reset are refused with 425 while they may still be arriving, then written anew."""
    drafts = [make_draft("a", n, bytes([n]) * size) for n in range(10)]
    now_s = 1_000.0

    async def act() -> None:
        nonlocal now_s
        async with opened(monotonic_s=lambda: now_s) as store:
            tear(drafts, size * 5 + size // 2)
            assert await _statuses(store, bucket_name, drafts) == [200] * 5 + [425] * 5
            early = await store.write(bucket_name, drafts)
            assert (early.written, early.already, early.healed) == (0, 5, 0)
            assert [status for _, status, _ in early.refused] == [425] * 5
            now_s += 59
            assert len((await store.write(bucket_name, drafts)).refused) == 5
            now_s += 2
            late = await store.write(bucket_name, drafts)
            assert (late.written, late.already, late.healed, late.refused) == (0, 5, 5, [])
            assert await _read_all(store, bucket_name) == _stored(drafts)

    asyncio.run(act())


def test_a_large_torn_record_is_overwritten_at_once(
    opened: Callable, bucket_name: str, make_draft: Callable[..., Draft], tear: Callable
) -> None:
    """Above 512 kB the engine itself marks the record as failed (500) and takes the same size again."""
    drafts = [make_draft("a", n, bytes([n]) * 600_000) for n in range(4)]

    async def act() -> None:
        async with opened() as store:
            tear(drafts, 1_500_000)
            async with asyncio.timeout(150):
                while await _statuses(store, bucket_name, drafts) != [200, 200, 500, 500]:
                    pass  # the engine takes a moment to give the records up
            report = await store.write(bucket_name, drafts)
            assert (report.written, report.already, report.healed, report.refused) == (2, 2, 0, [])
            assert await _read_all(store, bucket_name) == _stored(drafts)

    asyncio.run(act())


def test_one_bad_record_does_not_take_its_batch_along(
    opened: Callable, bucket_name: str, make_draft: Callable[..., Draft]
) -> None:
    """An entry name the engine does not take is refused alone; all others are written."""
    good = [make_draft("good", n) for n in range(20)]
    bad = make_draft("no dots.please", 7)

    async def act() -> None:
        async with opened() as store:
            report = await store.write(bucket_name, [*good, bad])
            assert report.written == 20
            assert [(item, status) for item, status, _ in report.refused] == [(bad, 422)]

    asyncio.run(act())


def test_a_label_the_engine_refuses_is_found_by_halving(
    opened: Callable, bucket_name: str, make_draft: Callable[..., Draft]
) -> None:
    """A label that makes the engine refuse the whole request costs only its own record."""
    good = [make_draft("good", n) for n in range(20)]
    bad = make_draft("good", 7_000, text="gr\u00fc\u00df")

    async def act() -> None:
        async with opened() as store:
            report = await store.write(bucket_name, [*good, bad])
            assert (report.written, [item for item, _, _ in report.refused]) == (20, [bad])

    asyncio.run(act())


def test_a_full_bucket_names_every_record_it_refuses(
    opened: Callable, bucket_name: str, make_draft: Callable[..., Draft]
) -> None:
    """At a hard quota written and refused add up to what was given, and the written are readable."""
    drafts = [make_draft("a", n, bytes(100_000)) for n in range(30)]

    async def act() -> None:
        async with opened(BucketSpec("HARD", 1_000_000)) as store:
            report = await store.write(bucket_name, drafts)
            assert report.written + len(report.refused) == 30
            assert 0 < report.written < 30
            assert {status for _, status, _ in report.refused} == {400}
            refused = {item.time_us for item, _, _ in report.refused}
            assert set(await _read_all(store, bucket_name)) == {("a", n) for n in range(30) if n not in refused}

    asyncio.run(act())


def test_a_missing_bucket_is_said(opened: Callable, make_draft: Callable[..., Draft]) -> None:
    """Writing into a bucket that is not there raises NotFound and names it."""

    async def act() -> None:
        async with opened() as store:
            with pytest.raises(NotFound, match="nowhere"):
                await store.write("nowhere", [make_draft("a", 1)])

    asyncio.run(act())


def test_long_labels_pass_both_ways(opened: Callable, bucket_name: str, make_draft: Callable[..., Draft]) -> None:
    """A hundred records with 8 kB of labels each pass the limits on headers of the engine and of the client."""
    labels = {f"label_{number}": f"{number:04d}" * 50 for number in range(40)}
    drafts = [make_draft(f"e{n % 3}", n, **labels, n=str(n)) for n in range(100)]

    async def act() -> None:
        async with opened() as store:
            assert (await store.write(bucket_name, drafts)).written == 100
            heads = {(h.entry, h.time_us): h.labels async for h in store.query(bucket_name, head=True)}
            assert heads == {(item.entry, item.time_us): item.labels for item in drafts}

    asyncio.run(act())

"""What a ring overwrites under a reader is reported."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from fleetbox.blobs import BucketSpec, EntryInfo, Gap
from fleetbox.blobs.gaps import Watch
from fleetbox.blobs.reading import Query
from fleetbox.records import Draft, Head


def _info(name: str, oldest_us: int, latest_us: int) -> EntryInfo:
    return EntryInfo(name, 1, 1, 1, oldest_us, latest_us)


def _head(entry: str, time_us: int) -> Head:
    return Head("bucket", entry, time_us, 1, {}, "")


def test_only_what_was_not_delivered_is_a_gap() -> None:
    """Delivered records may go; what lay between the reader's place and the oldest left is missing."""
    watch = Watch(Query("bucket", ("*",)))
    assert watch.check([_info("a", 100, 200), _info("b", 100, 200), _info("c", 100, 200)]) == []
    watch.delivered([_head("a", 100), _head("a", 110), _head("b", 100), _head("b", 150), _head("c", 200)])
    gaps = watch.check([_info("a", 130, 300), _info("b", 120, 300)])
    assert [(gap.entry, gap.from_us, gap.to_us) for gap in gaps] == [("a", 111, 130), ("b", 101, 120)]
    watch.delivered([_head("a", 130), _head("b", 160)])
    assert watch.check([_info("a", 130, 300), _info("b", 120, 300)]) == []


def test_what_lies_outside_the_range_or_the_globs_is_no_gap() -> None:
    """Neither records before the start, nor after the stop, nor of other entries were asked for."""
    watch = Watch(Query("bucket", ("a",), start_us=150, stop_us=180))
    watch.check([_info("a", 100, 200), _info("b", 100, 200)])
    assert watch.check([_info("a", 140, 300), _info("b", 140, 300)]) == []
    gaps = watch.check([_info("a", 250, 300), _info("b", 250, 300)])
    assert [(gap.entry, gap.from_us, gap.to_us) for gap in gaps] == [("a", 150, 180)]


def test_a_ring_that_turns_over_under_a_reader_is_told(
    opened: Callable, bucket_name: str, make_draft: Callable[..., Draft]
) -> None:
    """While a slow reader stands, newer records push out older ones: read and reported add up to what was there."""
    ring = BucketSpec("FIFO", 8_000_000, max_block_records=16, max_block_bytes=1_000_000)
    old = [make_draft("cam", n, bytes(25_000)) for n in range(300)]
    new = [make_draft("cam", n, bytes(25_000)) for n in range(300, 480)]

    async def act() -> None:
        async with opened(ring) as store:
            await store.write(bucket_name, old)
            there = {head.time_us async for head in store.query(bucket_name, head=True)}
            gaps: list[Gap] = []
            got: list[int] = []
            async for record in store.query(bucket_name, stop_us=300, on_gap=gaps.append):
                got.append(record.time_us)
                if len(got) == 1:
                    await store.write(bucket_name, new)
            missing = there - set(got)
            assert missing, "the ring did not turn over: the test shows nothing"
            told = {time_us for gap in gaps for time_us in range(gap.from_us, gap.to_us)}
            assert missing <= told
            assert got == sorted(set(got))

    asyncio.run(act())

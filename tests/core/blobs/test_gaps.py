"""What a ring overwrites under a reader is reported."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from fleetbox.blobs import BucketSpec, EntryInfo, Gap, Store
from fleetbox.blobs.gaps import Watch, missed
from fleetbox.blobs.reading import Query
from fleetbox.records import Draft, Head


def _info(name: str, oldest_us: int, latest_us: int) -> EntryInfo:
    return EntryInfo(name, 1, 1, 1, oldest_us, latest_us)


def _head(entry: str, time_us: int) -> Head:
    return Head("bucket", entry, time_us, 1, {}, "")


def test_only_what_was_not_delivered_is_a_gap() -> None:
    """Delivered records may go; what lay between the reader's place and the oldest left is missing."""
    watch = Watch(Query("bucket", ("*",)))
    assert watch.check([_info(name, 100, 200) for name in "abc"]) == []
    watch.delivered([_head(name, time_us) for name in "ab" for time_us in (100, 110, 120)] + [_head("c", 200)])
    gaps = watch.check([_info("a", 150, 300), _info("b", 120, 300)])
    assert [(gap.entry, gap.from_us, gap.to_us) for gap in gaps] == [("a", 121, 150), ("c", 100, 200)]
    watch.delivered([_head("a", 150), _head("b", 130)])
    assert watch.check([_info("a", 150, 300), _info("b", 120, 300)]) == []


@pytest.mark.parametrize(
    ("times", "end_us", "holes"),
    [
        ([], 150, [(101, 150)]),
        ([110, 120, 130], 131, []),
        ([110, 120, 130, 190, 200], 150, [(131, 190)]),
        ([310, 320, 330], 300, [(101, 310)]),
        ([110, 120, 130], 200, [(131, 200)]),
    ],
)
def test_a_hole_is_wider_than_the_usual_step(times: list[int], end_us: int, holes: list[tuple[int, int]]) -> None:
    """Before, between and after what was delivered, holes are found and regular steps are not."""
    assert list(missed(100, times, end_us)) == holes


def test_what_lies_outside_the_range_or_the_globs_is_no_gap() -> None:
    """Neither records before the start, nor after the stop, nor of other entries were asked for."""
    watch = Watch(Query("bucket", ("a",), start_us=150, stop_us=180))
    watch.check([_info("a", 100, 200), _info("b", 100, 200)])
    assert watch.check([_info("a", 140, 300), _info("b", 140, 300)]) == []
    gaps = watch.check([_info("a", 250, 300), _info("b", 250, 300)])
    assert [(gap.entry, gap.from_us, gap.to_us) for gap in gaps] == [("a", 150, 180)]


@pytest.mark.parametrize("pause_s", [0.003, 0.01])
def test_a_ring_that_turns_over_under_a_reader_is_told(
    opened: Callable, bucket_name: str, make_draft: Callable[..., Draft], pause_s: float
) -> None:
    """While newer records push out older ones under a slow reader, every record is delivered once or told as gone."""
    ring = BucketSpec("FIFO", 8_000_000, max_block_records=16, max_block_bytes=1_000_000)
    stop_us = 3_000

    def frames(start_us: int, count: int) -> list[Draft]:
        return [make_draft("ab"[n % 2], start_us + 10 * n, bytes(25_000)) for n in range(count)]

    async def push(store: Store) -> None:
        for step in range(1, 8):
            await store.write(bucket_name, frames(stop_us * step, 40))
            await asyncio.sleep(pause_s)

    async def act() -> None:
        async with opened(ring) as store:
            await store.write(bucket_name, frames(0, 300))
            there = {(head.entry, head.time_us) async for head in store.query(bucket_name, head=True)}
            gaps: list[Gap] = []
            got: list[tuple[str, int]] = []
            pushing: asyncio.Task[None] | None = None
            async for record in store.query(bucket_name, stop_us=stop_us, on_gap=gaps.append):
                got.append((record.entry, record.time_us))
                pushing = pushing or asyncio.create_task(push(store))
                await asyncio.sleep(pause_s)
                if len(got) == 150:
                    await pushing  # however slow the writes: half the reading comes after all of them
            assert pushing is not None
            await pushing
            missing = there - set(got)
            assert missing, "the ring did not turn over: the test shows nothing"
            assert len(got) == len(set(got))
            told = {(gap.entry, time_us) for gap in gaps for time_us in range(gap.from_us, gap.to_us)}
            assert missing <= told

    asyncio.run(act())

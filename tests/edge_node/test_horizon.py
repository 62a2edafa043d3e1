"""What a ring lets go of next, judged against what the engine really removes, and how long it lasts."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest
from conftest import StoreServer
from hypothesis import given
from hypothesis import strategies as st

from fleetbox.blobs import BucketSpec, EntryInfo, Store
from fleetbox.records import Draft
from fleetbox_edge.horizon import (
    Look,
    Ring,
    doomed,
    growth_rate,
    hours_held,
    hours_to_floor,
    hours_to_full,
    margin_bytes,
    mean_rate,
    smoothed,
)

HOUR_US = 3_600_000_000
QUOTA = 200_000


def entry(name: str, oldest_us: int, latest_us: int, size: int, blocks: int) -> EntryInfo:
    """Describe an entry with ten records a block."""
    return EntryInfo(name, blocks * 10, blocks, size, oldest_us, latest_us)


def test_a_ring_with_room_lets_nothing_go() -> None:
    """Nothing is doomed while what is still to come fits; without a quota nothing ever is."""
    held = (entry("imu", 0, 100, 500, 5),)
    assert doomed(Ring(1_000, held), 500) == {}
    assert doomed(Ring(1_000, held), 501) != {}
    assert doomed(Ring(0, held), 10**9) == {}


def test_a_slow_stream_goes_whole() -> None:
    """A stream in one block goes with its newest record once it is the oldest; what begins later stays."""
    ring = Ring(1_000, (entry("cam", 50, 1_000, 900, 90), entry("slow", 40, 990, 100, 1)))
    found = doomed(ring, 10)
    assert next(iter(found)) == "slow"
    assert found["slow"] == 991
    assert found.get("cam", 0) < 100


@given(
    st.lists(
        st.tuples(st.integers(0, 1_000), st.integers(1, 100), st.integers(1, 50), st.integers(1, 1_000)),
        min_size=1,
        max_size=6,
    ),
    st.integers(0, 5_000),
    st.integers(1, 4_000),
)
def test_no_block_that_goes_is_missed(streams: list[tuple[int, int, int, int]], quota: int, more_bytes: int) -> None:
    """Removing the earliest block again and again, as the engine does, never reaches a record that is not doomed."""
    blocks = {
        f"s{at}": [(start + number * span, start + (number + 1) * span - 1) for number in range(count)]
        for at, (start, span, count, _) in enumerate(streams)
    }
    sizes = {f"s{at}": size for at, (*_, size) in enumerate(streams)}
    infos = tuple(
        entry(name, spans[0][0], spans[-1][1], sizes[name] * len(spans), len(spans)) for name, spans in blocks.items()
    )
    ring = Ring(max(1, quota), infos)
    found = doomed(ring, more_bytes)
    over = ring.size_bytes + more_bytes - ring.quota_bytes
    while over > 0 and any(blocks.values()):
        name = min((name for name in blocks if blocks[name]), key=lambda name: blocks[name][0])
        _, last_us = blocks[name].pop(0)
        over -= sizes[name]
        assert last_us < found.get(name, 0)


def test_the_engine_removes_what_was_foretold(store_server: StoreServer, bucket_name: str) -> None:
    """After so many more bytes, all that a real ring has let go of was doomed, and not everything was."""

    def drafts(name: str, times_us: Sequence[int]) -> list[Draft]:
        return [Draft(name, time_us, bytes(1_000), {}, "") for time_us in times_us]

    async def main() -> None:
        async with Store(store_server.url, store_server.token) as store:
            await store.ensure_bucket(bucket_name, BucketSpec("FIFO", QUOTA, 8))
            await store.write(bucket_name, drafts("slow", range(0, 150_000, 30_000)))
            await store.write(bucket_name, drafts("fast", range(1_000, 151_000, 1_000)))
            ring = Ring(QUOTA, tuple(await store.entries(bucket_name)))
            found = doomed(ring, 100_000)
            before = {(head.entry, head.time_us) async for head in store.query(bucket_name, head=True)}
            await store.write(bucket_name, drafts("fast", range(151_000, 235_000, 1_000)))
            after = {(head.entry, head.time_us) async for head in store.query(bucket_name, head=True)}
        gone = before - after
        assert ("slow", 120_000) in gone, "the engine has begun to spare a block that is still written"
        assert all(time_us < found[name] for name, time_us in gone)
        assert any(time_us >= found["fast"] for name, time_us in before if name == "fast")

    asyncio.run(main())


def test_the_rate_follows_a_burst() -> None:
    """Between two looks the rate is what the ring has grown, or turned, by; a forecast follows it slowly."""
    calm = Look(Ring(10_000, (entry("imu", 0, 100_000_000, 1_000, 10),)), 0.0)
    assert mean_rate(calm.ring) == pytest.approx(10)
    burst = Look(Ring(10_000, (entry("imu", 0, 101_000_000, 1_500, 15),)), 1.0)
    assert growth_rate(calm, burst) == pytest.approx(500)
    turned = Look(Ring(10_000, (entry("imu", 50_000_000, 150_000_000, 1_000, 10),)), 1.0)
    assert growth_rate(calm, turned) == pytest.approx(500)
    assert growth_rate(calm, calm) == 0
    assert smoothed(0.0, calm, burst) == pytest.approx(mean_rate(burst.ring)), "it is young"
    old = replace(burst, ring=Ring(10_000, (entry("imu", -400_000_000, 101_000_000, 1_500, 15),)))
    assert 10 < smoothed(10.0, replace(old, at_s=0.0, ring=calm.ring), old) < 20


def test_a_burst_is_no_rate() -> None:
    """A hundred lines within 2 ms doom nothing of a ring of 200 MB; one that fills in seconds is doomed in time."""
    burst = Ring(200_000_000, (entry("log/fault", 0, 2_000, 40_000, 1),))
    assert doomed(burst, margin_bytes(burst, mean_rate(burst))) == {}
    fast = Ring(200_000_000, (entry("cam/front", 0, 1_000_000, 20_000_000, 40),))
    assert doomed(fast, margin_bytes(fast, mean_rate(fast))) != {}


def test_the_margin_is_ten_minutes_or_a_hundredth() -> None:
    """A fast ring is watched ten minutes ahead, a slow one by a share of its size, none beyond itself."""
    assert margin_bytes(Ring(10_000_000), 1_000) == 600_000
    assert margin_bytes(Ring(10_000_000), 1) == 100_000
    assert margin_bytes(Ring(10_000), 1_000) == 10_000


def test_how_long_it_lasts() -> None:
    """Hours held and hours to full follow from quota, room and rate; a ring that is full holds and does not fill."""
    half = Ring(7_200, (entry("imu", 0, HOUR_US, 3_600, 10),))
    assert hours_held(half, 1.0) == pytest.approx(2)
    assert hours_to_full(half, 1.0) == pytest.approx(1)
    assert hours_to_full(Ring(3_600, half.entries), 1.0) == 0
    assert hours_held(Ring(0, half.entries), 1.0) is None
    assert hours_to_full(half, 0.0) is None


def test_the_disk_lasts_until_the_rings_are_full() -> None:
    """Rings stop growing at their quota: a disk with more room than that lasts for ever, with less so long."""
    rings = [(Ring(3_600), 1.0), (Ring(36_000), 2.0)]
    assert hours_to_floor(rings, 39_601) is None
    assert hours_to_floor(rings, 10_800) == pytest.approx(1)
    assert hours_to_floor(rings, 10_800 + 7_200) == pytest.approx(2)
    assert hours_to_floor(rings, 0) == 0
    assert hours_to_floor([(Ring(3_600), 0.0)], 100) is None

"""Seconds that chunks share: whole in InfluxDB, in whatever order chunks come, twice, late, or after a kill -9."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetbox.records import Draft
from fleetbox.scalars import ScalarStore
from fleetbox.selectors import Selector
from fleetbox_cloud import seconds
from fleetbox_cloud.comparing import Comparer
from fleetbox_cloud.counting import refusals
from fleetbox_cloud.cursor import Cursor
from fleetbox_cloud.loader import Loader
from fleetbox_cloud.seconds import joined
from fleetbox_cloud.sweeping import Sweep

SECOND_US = 1_000_000
NOW_US = int(time.time()) * SECOND_US - 100 * SECOND_US
RAW = (Selector.parse("r*/imu"),)


@asynccontextmanager
async def loader_of(rig: Any, *, raw: tuple[Selector, ...] = ()) -> AsyncIterator[Loader]:
    """Open a loader on a rig's servers, as a process newly started would."""
    await rig.make_buckets("sensor", "kept", "meta")
    cursor = Cursor(rig.state / "loader.sqlite")
    try:
        async with rig.store() as store, ScalarStore(rig.influx) as scalars:
            await scalars.ensure_bucket()
            loader = Loader(store, scalars, cursor, "edge-1", raw)
            loader.follow_raw()
            yield loader
    finally:
        cursor.close()


async def arrive(rig: Any, loader: Loader, drafts: list[Draft], bucket: str = "r1--sensor") -> None:
    """Write chunks to the store and load them in one batch, as the engine's task would bring them."""
    await rig.write(drafts, bucket)
    stream, times = drafts[0].entry, {draft.time_us for draft in drafts}
    found = [one async for one in loader.chunks(bucket, stream) if one.time_us in times]
    assert await loader.load(bucket, stream, found) == len(drafts)
    assert await loader.load(bucket, stream, found) == 0


def no_rest(seconds: float) -> Any:
    """Ask the next question at once."""
    return asyncio.sleep(0)


def cut(make_chunk: Callable[..., Draft], dice: random.Random, first_us: int, names: str) -> list[Draft]:
    """Cut rows at odd times into chunks of uneven length; fields come and go."""
    times = [first_us]
    while times[-1] < first_us + 12 * SECOND_US:
        times.append(times[-1] + dice.choice([1, 70_000, 130_001, 900_000]))
    made, longest = [], dice.choice([2, 5, 30])
    while times:
        some, times = times[: (n := dice.randint(1, longest))], times[n:]
        fields = {name: [dice.uniform(-5, 5) for _ in some] for name in dice.sample(names, dice.randint(1, len(names)))}
        made.append(make_chunk("imu", some, fields))
    return made


@pytest.mark.parametrize("seed", range(6))
def test_any_order_of_chunks_makes_the_same_seconds(
    rig: Any, make_chunk: Any, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """Two sessions that overlap, in any order and batches, some chunks in `kept` too, the loader started anew often."""
    dice = random.Random(seed)
    monkeypatch.setattr(seconds, "TAIL_VALUES", dice.choice([1, 8_000_000]))

    async def main() -> None:
        drafts = cut(make_chunk, dice, NOW_US, "abc") + cut(make_chunk, dice, NOW_US + 400_013, "cde")
        drafts = list({draft.time_us: draft for draft in drafts}.values())
        kept = dice.sample(drafts, len(drafts) // 4)
        if seed % 2:
            dice.shuffle(drafts)
        waiting = [("r1--sensor", draft) for draft in drafts] + [("r1--kept", draft) for draft in kept]
        while waiting:
            async with loader_of(rig) as loader:
                for _ in range(dice.randint(1, 8)):
                    batch = [draft for name, draft in waiting[:4] if name == waiting[0][0]]
                    if batch:
                        await arrive(rig, loader, batch, waiting[0][0])
                        waiting = waiting[len(batch) :]
        assert await rig.holds(drafts)
        async with loader_of(rig) as loader:
            found = await Comparer(loader, no_rest).compare(0, NOW_US + 100 * SECOND_US)
            assert (found.repaired, found.short) == (0, 0)

    asyncio.run(main())


def second(make_chunk: Callable[..., Draft], start_us: int, rows: int, value: float, entry: str = "imu") -> Draft:
    """Pack rows of one value, 10 ms apart."""
    return make_chunk(entry, [start_us + 10_000 * row for row in range(rows)], {"ax": [value] * rows})


def test_killed_between_influxdb_and_the_books(rig: Any, make_chunk: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A loader killed after InfluxDB took a batch and before the books say so loads it again, and counts it once."""

    async def main() -> None:
        drafts = [second(make_chunk, NOW_US + 300_000 * at, 30, float(at)) for at in range(12)]
        for at in range(0, 12, 3):
            with monkeypatch.context() as patch:
                patch.setattr(Cursor, "add", lambda *given: 1 / 0)
                async with loader_of(rig) as loader:
                    with pytest.raises(ZeroDivisionError):
                        await arrive(rig, loader, drafts[at : at + 3])
            async with loader_of(rig) as loader:
                assert await Sweep(loader).bucket("r1--sensor") == 3
        assert await rig.holds(drafts)
        async with loader_of(rig) as loader:
            assert loader.cursor.counts()["r1"] == {"chunks": 12, "points": 360, "values": 360}

    asyncio.run(main())


def test_a_chunk_the_ring_took_is_not_unlearnt(rig: Any, make_chunk: Any) -> None:
    """A late chunk in a second whose other rows the store let go does not write over what InfluxDB knows of them."""

    async def main() -> None:
        early, newer = second(make_chunk, NOW_US, 40, 1.0), second(make_chunk, NOW_US + 9 * SECOND_US, 5, 2.0)
        late, later = second(make_chunk, NOW_US + 500_000, 7, 3.0), second(make_chunk, NOW_US + 600_000, 130, 4.0)
        async with loader_of(rig) as loader:
            await arrive(rig, loader, [early, newer])
            await loader.store.delete("r1--sensor", "imu", [early.time_us])
            await arrive(rig, loader, [late])
            assert (await rig.values("imu"))[NOW_US]["ax.count"] == 40
            await arrive(rig, loader, [later])
            held = await rig.values("imu")
            assert (held[NOW_US]["ax.count"], held[NOW_US]["ax.last"]) == (47, 4.0)
            assert held[NOW_US + SECOND_US]["ax.count"] == 90
            found = await Comparer(loader, no_rest).compare(0, NOW_US + 100 * SECOND_US)
            assert (found.repaired, found.short) == (0, 40)
            assert {one.reason for one in loader.cursor.shorts()} == {"no chunk"}
            assert await rig.values("imu") == held

    asyncio.run(main())


def test_raw_rows_come_beside_their_seconds(rig: Any, make_chunk: Any) -> None:
    """A stream chosen has every row at its exact time too; what is deleted of either is missed and comes back."""

    async def main() -> None:
        drafts = [second(make_chunk, NOW_US + 700_001 * at, 50, float(at)) for at in range(20)]
        twice = make_chunk("imu", [NOW_US + 60 * SECOND_US] * 2, {"ax": [1.0, 2.0]})
        other = second(make_chunk, NOW_US, 10, 1.0, "gps")
        async with loader_of(rig, raw=RAW) as loader:
            for at in range(0, 20, 7):
                await arrive(rig, loader, drafts[at : at + 7])
            await arrive(rig, loader, [twice])
            await arrive(rig, loader, [other])
            held = await rig.values("imu")
            assert sum(row.get("ax.count", 0) for row in held.values()) == 1002
            assert {at: row["ax"] for at, row in held.items() if "ax" in row} == {
                draft.time_us + 10_000 * row: float(n) for n, draft in enumerate(drafts) for row in range(50)
            } | {twice.time_us: 2.0}
            assert await rig.holds([other])
            compare = Comparer(loader, no_rest).compare
            assert ((found := await compare(0, NOW_US)).repaired, found.short) == (0, 0)
            await rig.delete(NOW_US + 3 * SECOND_US, NOW_US + 5 * SECOND_US, "imu")
            assert (await compare(0, NOW_US)).repaired > 100
            assert await rig.values("imu") == held
            assert refusals(loader.cursor) == []

    asyncio.run(main())


def test_a_stream_that_becomes_raw_is_loaded_anew(rig: Any, make_chunk: Any) -> None:
    """Asked for later, raw rows of what the store still holds come with the next sweep, once; those there stay."""

    async def main() -> None:
        drafts = [second(make_chunk, NOW_US + SECOND_US * at, 50, float(at)) for at in range(5)]
        async with loader_of(rig) as loader:
            await arrive(rig, loader, drafts)
            assert await rig.holds(drafts)
        for raw, loaded in ((RAW, 5), (RAW, 0), ((), 0)):
            async with loader_of(rig, raw=raw) as loader:
                assert await Sweep(loader).bucket("r1--sensor") == loaded
                assert loader.cursor.counts()["r1"] == {"chunks": 5, "points": 250, "values": 250}
        assert sum("ax" in row for row in (await rig.values("imu")).values()) == 250

    asyncio.run(main())


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(1, 9)).map(lambda one: (one[0], one[0] + one[1]))))
def test_joined_spans_hold_the_same_times(spans: list[tuple[int, int]]) -> None:
    """Joined, spans are in order and apart, and hold the same times."""
    found = joined(spans)
    assert all(one[1] < other[0] for one, other in pairwise(found))
    assert {at for one in found for at in range(*one)} == {at for one in spans for at in range(*one)}

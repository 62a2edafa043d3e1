"""The loader: every value of every chunk reaches InfluxDB once, or is counted with a reason."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fleetbox.errors import AccessDenied, InputError
from fleetbox.records import Draft
from fleetbox.scalars import ScalarStore
from fleetbox_cloud.loader import source_bucket, task_name
from fleetbox_cloud.loading import Rhythm
from fleetbox_local.processes import InfluxProcess
from fleetbox_replication.relay_secret import relay_secret

SECOND_US = 1_000_000
NOW_US = int(time.time()) * SECOND_US


def imu(make_chunk: Callable[..., Draft], at_s: int, rows: int = 50, entry: str = "imu") -> Draft:
    """Pack one second of a stream that starts at_s seconds from now."""
    times = [NOW_US + at_s * SECOND_US + row * SECOND_US // rows for row in range(rows)]
    return make_chunk(entry, times, {"ax": [math.sin(at_s + row) for row in range(rows)], "n": list(range(rows))})


def test_every_value_of_every_chunk_arrives(rig: Any, make_chunk: Any, wait_until: Any) -> None:
    """Chunks of several streams are in InfluxDB value by value, and the books say so."""

    async def main() -> None:
        await rig.make_buckets("sensor", "kept")
        drafts = [imu(make_chunk, at_s, entry=entry) for at_s in range(-60, 0) for entry in ("imu", "arm/joints")]
        kept = [imu(make_chunk, -90, entry="bag")]
        async with rig.loading() as loader:
            await rig.write(drafts)
            await rig.write(kept, "r1--kept")
            await wait_until(lambda: rig.holds(drafts + kept))
            await wait_until(lambda: asyncio.sleep(0, rig.counts(loader).get("chunks") == 121))
            assert rig.counts(loader) == {"chunks": 121, "points": 121 * 50, "values": 121 * 100}

    asyncio.run(main())


def test_only_finite_numbers_travel(rig: Any, make_chunk: Any, wait_until: Any) -> None:
    """NaN and infinities are dropped and counted, truth values become 0 and 1, text and lists stay in the chunk."""

    async def main() -> None:
        await rig.make_buckets()
        columns = {
            "f": [1.5, math.nan, math.inf, -math.inf, 1e-300],
            "i": [1, 2, 3, 2**53, -4],
            "b": [True, False, True, False, True],
            "text": ["a", "b", "c", "d", "e"],
            "list": [[1.0, 2.0]] * 5,
            "all_nan": [math.nan] * 5,
            "sometimes": [1.0, None, 3.0, None, None],
        }
        draft = make_chunk("mixed", [NOW_US + row for row in range(5)], columns)
        empty = make_chunk("mixed", [NOW_US + 10], {"f": [math.nan]})
        words = make_chunk("words", [NOW_US], {"text": ["only"]})
        async with rig.loading() as loader:
            await rig.write([draft, empty, words])
            await wait_until(lambda: asyncio.sleep(0, rig.counts(loader).get("chunks") == 3))
            await wait_until(lambda: rig.holds([draft, empty]))
            assert (await rig.values("mixed"))[NOW_US] == {
                f"{name}.{kind}": value
                for name, values in {
                    "f": (1e-300, 0.75, 1.5, 1e-300, 2),
                    "i": (-4, pytest.approx((2**53 + 2) / 5), 2**53, -4, 5),
                    "b": (0, 0.6, 1, 1, 5),
                    "sometimes": (1, 2, 3, 3, 2),
                }.items()
                for kind, value in zip(("min", "mean", "max", "last", "count"), values, strict=True)
            }
            assert await rig.values("words") == {}
            assert rig.counts(loader) == {"chunks": 3, "points": 5, "values": 14, "refused:nan": 9}

    asyncio.run(main())


def test_chunks_from_before_the_loader_are_loaded_once(rig: Any, make_chunk: Any, wait_until: Any) -> None:
    """What the store held before the task existed is loaded at the start, and not again at the next."""

    async def main() -> None:
        await rig.make_buckets()
        before = [imu(make_chunk, at_s) for at_s in range(-200, -100)]
        await rig.write(before)
        async with rig.loading() as loader:
            await wait_until(lambda: rig.holds(before))
            await wait_until(lambda: asyncio.sleep(0, rig.counts(loader).get("chunks") == 100))
        async with rig.loading() as loader:
            after = [imu(make_chunk, -5)]
            await rig.write(after)
            await wait_until(lambda: rig.holds(before + after))
            await wait_until(lambda: asyncio.sleep(0, rig.counts(loader).get("chunks") == 101))
            assert rig.counts(loader)["points"] == 101 * 50

    asyncio.run(main())


def test_a_late_chunk_is_loaded_after_newer_ones(rig: Any, make_chunk: Any, wait_until: Any) -> None:
    """A promoted record older than all that arrived before it is loaded on its arrival, and a relabel adds nothing."""

    async def main() -> None:
        await rig.make_buckets()
        newer, late = [imu(make_chunk, at_s) for at_s in range(-10, 0)], imu(make_chunk, -3000)
        before = imu(make_chunk, -20)
        await rig.write([before])
        async with rig.loading(rhythm=Rhythm(look_s=3600.0)) as loader:  # it sweeps at its start, and then no more
            await wait_until(lambda: asyncio.sleep(0, loader.report()["found_by_sweep"] == 1))
            await rig.write(newer)
            await wait_until(lambda: rig.holds([before, *newer]))
            await rig.write([late])
            await wait_until(lambda: rig.holds([before, *newer, late]))
            async with rig.store() as store:
                await store.relabel(rig.bucket, {"imu": [late.time_us]}, {"keep": "1"})
                await wait_until(lambda: _delivered(store, 12))
            assert rig.counts(loader) == {"chunks": 12, "points": 12 * 50, "values": 12 * 100}
            assert loader.report()["found_by_sweep"] == 1

    asyncio.run(main())


async def _delivered(store: Any, least: int) -> bool:
    info = await store.task(task_name("r1--sensor"))
    return bool(info.ok >= least and info.pending == 0)


def test_points_older_than_retention_are_counted(rig: Any, make_chunk: Any, wait_until: Any) -> None:
    """What InfluxDB will never take is counted by reason, and the rest of the same batch is kept."""

    async def main() -> None:
        await rig.make_buckets()
        async with ScalarStore(rig.influx) as scalars:
            await scalars.ensure_bucket(retention_s=86_400)  # a day: NOW_US may be an hour ago by now
        good, old = imu(make_chunk, -60), imu(make_chunk, -90_000)
        await rig.write([old, good])
        async with rig.loading() as loader:
            await wait_until(lambda: rig.holds([good]))
            await wait_until(lambda: asyncio.sleep(0, rig.counts(loader).get("chunks") == 2))
            assert rig.counts(loader) == {"chunks": 2, "points": 50, "values": 100, "refused:retention": 50}

    asyncio.run(main())


def test_a_type_conflict_is_counted(rig: Any, make_chunk: Any, wait_until: Any) -> None:
    """A field that somebody wrote as a whole number refuses our float points, and only those."""

    async def main() -> None:
        await rig.make_buckets()
        async with ScalarStore(rig.influx) as scalars:
            await scalars.ensure_bucket()
            await scalars.write_lines([f"imu,robot=r1,site=edge-1 ax.min=1i {NOW_US - 60 * SECOND_US + 1}"])
        good = imu(make_chunk, -60, entry="other")  # types are of a shard: all of this lies in one second
        async with rig.loading() as loader:
            await rig.write([imu(make_chunk, -60), good])
            await wait_until(lambda: rig.holds([good]))
            await wait_until(lambda: asyncio.sleep(0, rig.counts(loader).get("chunks") == 2))
            assert rig.counts(loader) == {"chunks": 2, "points": 50, "values": 100, "refused:type": 50}

    asyncio.run(main())


def test_a_broken_chunk_does_not_stop_the_others(rig: Any, make_chunk: Any, wait_until: Any) -> None:
    """Bytes that are no chunk are counted as such; what came with them is loaded."""

    async def main() -> None:
        await rig.make_buckets()
        good = imu(make_chunk, -60)
        broken = replace(imu(make_chunk, -59), data=b"not arrow at all")
        async with rig.loading() as loader:
            await rig.write([good, broken])
            await wait_until(lambda: rig.holds([good]))
            await wait_until(lambda: asyncio.sleep(0, rig.counts(loader).get("refused:undecodable") == 50))

    asyncio.run(main())


@pytest.mark.slow
def test_influxdb_down_then_up(rig: Any, make_chunk: Any, wait_until: Any, tmp_path: Path) -> None:
    """While InfluxDB is away the engine keeps the chunks; when it is back every one is loaded."""
    server = InfluxProcess(tmp_path / "own")

    async def main() -> None:
        await asyncio.to_thread(_start, server)
        rig.influx = replace(rig.influx, url=server.url, token=server.token)
        await rig.make_buckets()
        drafts = [imu(make_chunk, at_s) for at_s in range(-60, 0)]
        async with rig.loading() as loader:
            await rig.write(drafts[:20])
            await wait_until(lambda: rig.holds(drafts[:20]))
            await asyncio.to_thread(server.kill)
            await rig.write(drafts[20:])
            await wait_until(lambda: asyncio.sleep(0, loader.report()["trouble"] is not None))
            assert server.url in loader.report()["trouble"]
            await asyncio.to_thread(_start, server)
            await wait_until(lambda: rig.holds(drafts))
            await wait_until(lambda: asyncio.sleep(0, rig.counts(loader).get("chunks") == 60))
            assert rig.counts(loader)["points"] == 60 * 50

    try:
        asyncio.run(main())
    finally:
        server.kill()


def _start(server: InfluxProcess) -> None:
    server.start()
    server.wait_ready()


def test_a_wrong_token_is_named_and_loses_nothing(rig: Any, make_chunk: Any, wait_until: Any) -> None:
    """InfluxDB's refusal of the token stands in the report; with the right one everything is loaded."""

    async def main() -> None:
        await rig.make_buckets()
        async with ScalarStore(rig.influx) as scalars:
            await scalars.ensure_bucket()
        drafts = [imu(make_chunk, at_s) for at_s in range(-20, 0)]
        async with rig.loading(influx=replace(rig.influx, token="wrong")) as loader:
            await wait_until(lambda: asyncio.sleep(0, loader.sink.loader is not None))
            await rig.write(drafts)
            await wait_until(lambda: asyncio.sleep(0, "401" in (loader.report()["trouble"] or "")))
            assert rig.counts(loader) == {}
        async with rig.loading() as loader:
            await wait_until(lambda: rig.holds(drafts))

    asyncio.run(main())


def test_trouble_ends_with_its_cause(rig: Any, make_chunk: Any, wait_until: Any) -> None:
    """A store that was away is named while it is away, and no longer once it is back, although no chunk comes."""

    async def main() -> None:
        await rig.make_buckets()
        async with rig.loading() as loader:
            await wait_until(lambda: asyncio.sleep(0, loader.sink.loader is not None))
            await asyncio.to_thread(rig.server.kill)
            await wait_until(lambda: asyncio.sleep(0, loader.report()["trouble"] is not None))
            await asyncio.to_thread(rig.server.start)
            await wait_until(lambda: asyncio.sleep(0, loader.report()["trouble"] is None))

    asyncio.run(main())


def test_another_secret_at_the_tasks_is_healed(rig: Any, make_chunk: Any, wait_until: Any) -> None:
    """Tasks that hold the secret of a former store token are turned away without loss and given the new one."""

    async def main() -> None:
        await rig.make_buckets()
        drafts = [imu(make_chunk, at_s) for at_s in range(-20, 0)]
        async with rig.loading():
            await rig.write(drafts[:10])
            await wait_until(lambda: rig.holds(drafts[:10]))
        rig.token = "two"
        async with rig.loading():
            await rig.write(drafts[10:])
            await wait_until(lambda: rig.holds(drafts))

    asyncio.run(main())


def test_a_new_store_token_is_followed_while_it_runs(rig: Any, make_chunk: Any, wait_until: Any) -> None:
    """The sink's secret and the tasks follow a token that is replaced; each chunk is loaded, and once."""

    async def main() -> None:
        await rig.make_buckets()
        drafts = [imu(make_chunk, at_s) for at_s in range(-30, 0)]
        async with rig.loading() as loader:
            for token in ("one", "two", "three"):
                rig.token = token
                await wait_until(lambda token=token: asyncio.sleep(0, loader.sink.secret == relay_secret(token)))
                some, drafts = drafts[:10], drafts[10:]
                await rig.write(some)
                await wait_until(lambda some=some: _has_all(rig, some))
            await wait_until(lambda: asyncio.sleep(0, rig.counts(loader).get("chunks") == 30))
            assert rig.counts(loader) == {"chunks": 30, "points": 30 * 50, "values": 30 * 100}
            assert not hasattr(loader, "failed"), "a new token is no failure"

    asyncio.run(main())


async def _has_all(rig: Any, drafts: list[Draft]) -> bool:
    held = await rig.values("imu")
    return all(draft.time_us in held for draft in drafts)  # chunks begin with a second


def test_a_killed_store_loses_no_chunk(rig: Any, make_chunk: Any, wait_until: Any) -> None:
    """A store killed right after a write may forget to tell its task: the sweep after its restart finds the chunk."""

    async def main() -> None:
        await rig.make_buckets()
        drafts = [imu(make_chunk, at_s) for at_s in range(-40, 0)]

        async def two_seconds_up() -> bool:
            async with rig.store() as store:
                return bool((await store.info()).uptime_s >= 2)

        async with rig.loading():
            for at in range(0, 40, 10):
                await wait_until(two_seconds_up)  # sooner after a start, only its next chunk would show another one
                await rig.write(drafts[at : at + 10])
                await asyncio.to_thread(rig.server.kill)
                await asyncio.to_thread(rig.server.start)
            await wait_until(lambda: rig.holds(drafts))

    asyncio.run(main())


def test_foreign_destinations_are_no_source() -> None:
    """Only names that the loader gave its tasks lead back to a bucket."""
    assert source_bucket("r1--sensor-points") == "r1--sensor"
    for name in ("r1--sensor", "points", "r1-points"):
        with pytest.raises(InputError):
            source_bucket(name)


def test_a_denied_write_reaches_the_caller(influx: Any) -> None:
    """The port says AccessDenied for a wrong token, with what to check."""

    async def main() -> None:
        async with ScalarStore(replace(influx, token="wrong")) as scalars:
            with pytest.raises(AccessDenied, match="token"):
                await scalars.write_lines(["m f=1"])

    asyncio.run(main())

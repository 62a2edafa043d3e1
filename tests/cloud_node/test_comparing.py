"""Comparing: whatever InfluxDB loses is found and written again from the chunks, or named with the reason."""

from __future__ import annotations

import asyncio
import json
import math
import shutil
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from fleetbox.ledger import minute_of
from fleetbox.records import Draft
from fleetbox.scalars import ScalarStore
from fleetbox.settings import Influx
from fleetbox.time import FOR_EVER_US
from fleetbox_cloud.checking import CheckRhythm
from fleetbox_cloud.comparing import Comparer, Findings
from fleetbox_cloud.comparison import Stretch, wanted_of
from fleetbox_cloud.counting import booked, refusals, scalar_rows
from fleetbox_cloud.cursor import Cursor
from fleetbox_cloud.loader import Loader, task_name
from fleetbox_cloud.loading import Rhythm
from fleetbox_cloud.mending import mend
from fleetbox_cloud.sweeping import Sweep
from fleetbox_local.processes import InfluxProcess

SECOND_US = 1_000_000
NOW_US = int(time.time()) * SECOND_US
BUSY = Rhythm(look_s=0.2, checks=CheckRhythm(look_s=0.2, ledger_s=0.5, hour_s=0.5, everything_s=1.0))
ALERT = Rhythm(look_s=0.2, trouble_s=0.0, checks=CheckRhythm(look_s=0.2, again_s=0.0))  # after trouble only
DAY_S = 86_400  # a bucket's retention: NOW_US may be an hour ago by now
PATIENT_S = 150.0  # of seven thousand values on a machine that is busy with ten other things


def imu(make_chunk: Callable[..., Draft], at_s: int, rows: int = 50, entry: str = "imu") -> Draft:
    """Pack one second of a stream that starts at_s seconds from now."""
    times = [NOW_US + at_s * SECOND_US + row * SECOND_US // rows for row in range(rows)]
    return make_chunk(entry, times, {"ax": [math.sin(at_s + row) for row in range(rows)], "n": list(range(rows))})


async def no_rest(seconds: float) -> None:
    """Ask the next question at once."""


class Bench:
    """A loader without tasks, whose chunks a sweep loads, and its comparer."""

    def __init__(self, rig: Any, loader: Loader) -> None:
        self.rig, self.loader, self.cursor, self.scalars = rig, loader, loader.cursor, loader.scalars
        self.sweep = Sweep(loader)
        self._comparer = Comparer(loader, no_rest)

    async def load(self, drafts: Sequence[Draft], bucket: str = "r1--sensor") -> None:
        """Write chunks to the store and load them."""
        await self.rig.write(drafts, bucket)
        assert await self.sweep.bucket(bucket) == len(drafts)

    async def compare(self, *, again: bool = True) -> Findings:
        """Compare everything."""
        return await self._comparer.compare(0, NOW_US, again=again)

    async def delete(self, start_us: int, stop_us: int) -> None:
        """Delete a range as a person would."""
        await delete(self.rig.influx, start_us, stop_us)


async def delete(influx: Influx, start_us: int, stop_us: int) -> None:
    """Delete every point from start to stop from an InfluxDB bucket."""
    stamps = [time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at // SECOND_US)) for at in (start_us, stop_us)]
    await ask(influx, "POST", "/api/v2/delete", json.dumps({"start": stamps[0], "stop": stamps[1]}))


async def remove_bucket(influx: Influx) -> None:
    """Remove an InfluxDB bucket with everything in it."""
    found = await ask(influx, "GET", f"/api/v2/buckets?name={influx.bucket}")
    await ask(influx, "DELETE", f"/api/v2/buckets/{found['buckets'][0]['id']}")


async def ask(influx: Influx, method: str, path: str, body: str = "") -> Any:
    """Ask InfluxDB past the port."""
    query = {"org": influx.org, "bucket": influx.bucket} if "delete" in path else {}
    headers = {"Authorization": f"Token {influx.token}"}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.request(method, influx.url + path, params=query, data=body) as answer,
    ):
        assert answer.status < 300, await answer.text()
        return await answer.json() if answer.content_type == "application/json" else None


@asynccontextmanager
async def opened(rig: Any, retention_s: int | None = None) -> AsyncIterator[Bench]:
    """Open a bench on a rig's servers."""
    await rig.make_buckets("sensor", "kept", "meta")
    cursor = Cursor(rig.state / "loader.sqlite")
    try:
        async with rig.store() as store, ScalarStore(rig.influx) as scalars:
            await scalars.ensure_bucket(retention_s)
            yield Bench(rig, Loader(store, scalars, cursor, "edge-1"))
    finally:
        cursor.close()


def run(rig: Any, use: Callable[[Bench], Awaitable[None]], retention_s: int | None = None) -> None:
    """Use a bench."""

    async def main() -> None:
        async with opened(rig, retention_s) as bench:
            await use(bench)

    asyncio.run(main())


def test_nothing_is_mended_while_nothing_is_missing(rig: Any, make_chunk: Any) -> None:
    """A comparison of what is whole asks for every value and writes none."""

    async def use(bench: Bench) -> None:
        await bench.load([imu(make_chunk, at_s, entry=entry) for at_s in range(-300, 0, 3) for entry in ("imu", "gps")])
        found = await bench.compare()
        assert (found.values, found.repaired, found.short) == (200 * 100, 0, 0)
        assert found.minutes in (10, 12)

    run(rig, use)


def test_a_deleted_range_comes_back(rig: Any, make_chunk: Any) -> None:
    """Two minutes deleted by hand, inside of chunks too, are there again, value by value, and counted once."""

    async def use(bench: Bench) -> None:
        drafts = [imu(make_chunk, at_s) for at_s in range(-300, 0)]
        await bench.load(drafts)
        books = bench.cursor.counts()["r1"]
        middle_us = minute_of(NOW_US - 150 * SECOND_US)
        await bench.delete(middle_us - 7 * SECOND_US, middle_us + 63 * SECOND_US)
        assert not await rig.holds(drafts)
        found = await bench.compare()
        assert (found.repaired, found.short) == (71 * 100, 0)  # InfluxDB's range has its end in
        assert await rig.holds(drafts)
        assert bench.cursor.counts()["r1"] == {**books, "repaired": found.repaired}
        assert (await bench.compare()).repaired == 0

    run(rig, use)


def test_the_same_value_in_two_buckets_counts_once(rig: Any, make_chunk: Any) -> None:
    """Chunks rescued into `kept` make the same points: the first comparison sets the books right, for good."""

    async def use(bench: Bench) -> None:
        drafts = [imu(make_chunk, at_s) for at_s in range(-100, 0)]
        await bench.load(drafts)
        await bench.load(drafts[:30], "r1--kept")
        assert bench.cursor.counts()["r1"]["values"] == 130 * 100
        found = await bench.compare()
        assert (found.repaired, found.short) == (0, 0)
        assert bench.cursor.counts()["r1"] == {"chunks": 130, "points": 130 * 50, "values": 100 * 100}
        found = await bench.compare()
        assert (found.values, found.repaired, found.short) == (100 * 100, 0, 0)
        await bench.delete(NOW_US - 200 * SECOND_US, NOW_US)
        assert (await bench.compare()).repaired == 100 * 100
        assert await rig.holds(drafts)

    run(rig, use)


def test_what_has_no_chunk_any_more_is_named(rig: Any, make_chunk: Any) -> None:
    """Values deleted from InfluxDB whose chunks the store has let go are counted as such; the others come back."""

    async def use(bench: Bench) -> None:
        base_us = minute_of(NOW_US) - 600 * SECOND_US
        old = [imu(make_chunk, at_s) for at_s in range((base_us - NOW_US) // SECOND_US, -480)]
        new = [imu(make_chunk, at_s) for at_s in range(-300, -200)]
        old = [draft for draft in old if draft.time_us < base_us + 120 * SECOND_US][:100]
        await bench.load(old + new)
        await bench.loader.store.delete(rig.bucket, "imu", [draft.time_us for draft in old[:40]])
        await bench.delete(NOW_US - 900 * SECOND_US, NOW_US)
        found = await bench.compare()
        assert await rig.holds(old[40:] + new)
        assert (found.repaired, found.short) == (160 * 100, 40 * 100)
        assert {(one.minute_us, one.n, one.reason) for one in bench.cursor.shorts()} == {(base_us, 4000, "no chunk")}
        assert (await bench.compare(again=False)).short == 40 * 100
        (row,) = booked(bench.cursor, 0, FOR_EVER_US)
        assert (row.rows, row.points, row.values, row.short) == (200 * 50, 200 * 50, 200 * 100, {"no chunk": 4000})
        await rig.write(old[:40])
        assert (await bench.compare()).short == 0  # a stick brought them back
        assert bench.cursor.shorts() == []

    run(rig, use)


@pytest.mark.parametrize("limited", [False, True], ids=["any token", "a token of the bucket alone"])
def test_what_expired_is_no_loss(rig: Any, make_chunk: Any, limited: bool) -> None:
    """Points that InfluxDB may let go, since its retention was shortened, are not asked for and not written again."""

    async def use(bench: Bench) -> None:
        old, new = imu(make_chunk, -90_000), imu(make_chunk, -300)
        await bench.load([old, new])
        await bench.scalars.ensure_bucket(DAY_S)
        await bench.delete(NOW_US - 100_000 * SECOND_US, NOW_US)
        token = await points_token(rig.influx) if limited else rig.influx.token
        async with ScalarStore(replace(rig.influx, token=token)) as scalars:
            loader = Loader(bench.loader.store, scalars, bench.cursor, "edge-1")
            found = await Comparer(loader, no_rest).compare(0, NOW_US)
            assert (found.values, found.repaired, found.short) == (100, 100, 0)
            rows = await scalar_rows(loader, 0, FOR_EVER_US, NOW_US)
        assert [(row.values, row.held, row.short) for row in rows] == [(200, 100, {"expired": 100})]

    run(rig, use)


def test_what_is_refused_when_written_again_moves_to_its_reason(rig: Any, make_chunk: Any) -> None:
    """Points that InfluxDB took once and takes no longer leave the books' values and are counted as refused."""

    async def use(bench: Bench) -> None:
        old, new = imu(make_chunk, -90_000), imu(make_chunk, -300)
        await bench.load([old, new])
        await remove_bucket(rig.influx)
        await bench.scalars.ensure_bucket(DAY_S)  # with its old shards a bucket goes on taking what lies in them
        wanted = wanted_of(bench.cursor.given(["r1--sensor"], "imu", 0), None)
        assert await mend(bench.loader, "r1", "imu", Stretch(wanted)) == set()
        assert bench.cursor.counts()["r1"] == {"chunks": 2, "points": 50, "values": 100, "refused:retention": 50}
        assert (await bench.compare()).short == 0
        (refused,) = refusals(bench.cursor)
        assert (refused["stream"], refused["reason"], refused["n"]) == ("imu", "retention", 50)
        assert "retention" in refused["message"]
        assert refused["next_step"]

    run(rig, use)


def test_a_token_of_the_bucket_alone_will_do(rig: Any, make_chunk: Any, wait_until: Any) -> None:
    """A token that may write and read the points and nothing else loads and compares once somebody made the bucket."""

    async def main() -> None:
        await rig.make_buckets()
        async with ScalarStore(rig.influx) as scalars:
            await scalars.ensure_bucket()
        drafts = [imu(make_chunk, at_s) for at_s in range(-20, 0)]
        limited = replace(rig.influx, token=await points_token(rig.influx))
        async with rig.loading(influx=limited, rhythm=BUSY) as loader:
            await rig.write(drafts)
            await wait_until(lambda: rig.holds(drafts))
            await wait_until(lambda: asyncio.sleep(0, loader.report()["checks"]["done"].get("hour") is not None))
            assert loader.report()["checks"]["trouble"] is None

    asyncio.run(main())


async def points_token(influx: Influx) -> str:
    """Make a token that may write and read the points of one bucket and nothing else."""
    (org,) = (await ask(influx, "GET", "/api/v2/orgs"))["orgs"]
    buckets = (await ask(influx, "GET", f"/api/v2/buckets?name={influx.bucket}"))["buckets"]
    resource = {"type": "buckets", "id": buckets[0]["id"], "orgID": org["id"]}
    body = {"orgID": org["id"], "permissions": [{"action": what, "resource": resource} for what in ("read", "write")]}
    made = await ask(influx, "POST", "/api/v2/authorizations", json.dumps(body))
    return str(made["token"])


def test_every_row_is_accounted_for(rig: Any, make_chunk: Any) -> None:
    """Rows are points, empty or refused by reason; what stays out of points is counted by value."""

    async def use(bench: Bench) -> None:
        await bench.scalars.write_lines([f"typed,robot=r1,site=edge-1 ax.min=1i {NOW_US - 60 * SECOND_US + 1}"])
        times = [NOW_US - 100 * SECOND_US + row for row in range(5)]
        columns = {"v": [1.0, math.nan, math.inf, 4.0, None], "time": [1.0] * 5, "text": list("abcde")}
        torn = replace(imu(make_chunk, -80, entry="torn"), data=b"not arrow at all")
        await bench.load([
            make_chunk("mixed", times, columns), imu(make_chunk, -60, entry="typed"), imu(make_chunk, -90_000), torn
        ])  # fmt: skip
        assert (await bench.compare()).short == 0
        rows = {row.stream: row for row in await scalar_rows(bench.loader, 0, FOR_EVER_US, NOW_US)}
        books = {name: (row.rows, row.points, row.values, row.empty, dict(row.refused)) for name, row in rows.items()}
        assert books == {
            "imu": (50, 0, 0, 0, {"retention": 50}),
            "mixed": (5, 2, 2, 3, {"nan": 2, "name": 5}),
            "torn": (50, 0, 0, 0, {"undecodable": 50}),
            "typed": (50, 0, 0, 0, {"type": 50}),
        }
        assert {name: row.held for name, row in rows.items()} == {"imu": 0, "mixed": 2, "torn": 0, "typed": 0}
        words = {one["stream"]: one["message"] for one in refusals(bench.cursor) if one["reason"] == "type"}
        assert 'field "ax.min" on measurement "typed"' in words["typed"]

    run(rig, use, retention_s=DAY_S)


def test_a_removed_bucket_is_made_and_filled_again(rig: Any, make_chunk: Any, wait_until: Any) -> None:
    """Somebody removes InfluxDB's bucket while the loader runs: it is there again with everything, unasked."""

    async def main() -> None:
        await rig.make_buckets()
        drafts = [imu(make_chunk, at_s) for at_s in range(-200, 0)]
        async with rig.loading(rhythm=BUSY) as loader:
            await rig.write(drafts)
            await wait_until(lambda: loaded(rig, loader, drafts))
            await remove_bucket(rig.influx)
            await wait_until(lambda: rig.holds(drafts))
            await wait_until(lambda: asyncio.sleep(0, rig.counts(loader).get("repaired", 0) >= 200 * 100))
            assert rig.counts(loader)["chunks"] == 200
            await wait_until(lambda: asyncio.sleep(0, loader.report()["checks"]["trouble"] is None))

    asyncio.run(main())


async def loaded(rig: Any, loader: Any, drafts: Sequence[Draft]) -> bool:
    """Tell whether InfluxDB holds chunks and the loader has noted that: else it would bring them once more."""
    return rig.counts(loader).get("chunks") == len(drafts) and await rig.holds(drafts)


@pytest.fixture
def own_influx(tmp_path: Path) -> Any:
    """An InfluxDB that may be killed."""
    server = InfluxProcess(tmp_path / "own" / "data")
    start(server)
    yield server
    server.kill()


def start(server: InfluxProcess) -> None:
    """Start a server and wait for it."""
    server.start()
    server.wait_ready()


@pytest.mark.slow
def test_an_old_backup_is_filled_up(
    rig: Any, make_chunk: Any, wait_until: Any, own_influx: Any, tmp_path: Path
) -> None:
    """InfluxDB comes back with the data it had before: what it was given since is found missing and written again."""
    backup = tmp_path / "backup"

    async def main() -> None:
        rig.influx = replace(rig.influx, url=own_influx.url, token=own_influx.token)
        await rig.make_buckets()
        drafts = [imu(make_chunk, at_s) for at_s in range(-400, 0)]
        async with rig.loading(rhythm=ALERT) as loader:
            await rig.write(drafts[:150])
            await wait_until(lambda: loaded(rig, loader, drafts[:150]))
            await asyncio.to_thread(own_influx.stop)
            await asyncio.to_thread(shutil.copytree, own_influx.data_dir, backup)
            await asyncio.to_thread(start, own_influx)
            await rig.write(drafts[150:])
            await wait_until(lambda: loaded(rig, loader, drafts))
            await asyncio.to_thread(own_influx.stop)
            await asyncio.to_thread(shutil.rmtree, own_influx.data_dir)
            await asyncio.to_thread(shutil.copytree, backup, own_influx.data_dir)
            await asyncio.to_thread(start, own_influx)
            await wait_until(lambda: rig.holds(drafts))
            await wait_until(lambda: asyncio.sleep(0, rig.counts(loader).get("repaired") == 250 * 100))

    asyncio.run(main())


@pytest.mark.slow
def test_influxdb_killed_while_it_takes_points(rig: Any, make_chunk: Any, wait_until: Any, own_influx: Any) -> None:
    """Killed -9 five times while chunks stream in, InfluxDB holds every value in the end, each counted once."""

    async def main() -> None:
        rig.influx = replace(rig.influx, url=own_influx.url, token=own_influx.token)
        await rig.make_buckets()
        drafts = [imu(make_chunk, at_s, 200, f"s{at_s % 3}") for at_s in range(-600, 0)]
        async with rig.loading(rhythm=BUSY) as loader:
            for at in range(0, 600, 120):
                chunks = rig.counts(loader).get("chunks", 0)
                await rig.write(drafts[at : at + 120])
                await wait_until(lambda now=chunks: asyncio.sleep(0, rig.counts(loader).get("chunks", 0) > now))
                await asyncio.to_thread(own_influx.kill)
                await asyncio.to_thread(start, own_influx)
            await wait_until(lambda: rig.holds(drafts))
            await wait_until(lambda: asyncio.sleep(0, rig.counts(loader).get("chunks") == 600))
            assert rig.counts(loader)["points"] == 600 * 200
            await wait_until(lambda: asyncio.sleep(0, loader.report()["short"] == []))  # a look may still be under way

    asyncio.run(main())


@pytest.mark.slow
@pytest.mark.faults
@pytest.mark.timeout(700)  # its deadlines are for a busy machine
def test_an_hour_without_influxdb(
    rig: Any, new_store_server: Any, make_chunk: Any, wait_until: Any, own_influx: Any
) -> None:
    """An hour of chunks comes while InfluxDB is away and the engine's log holds a tenth of them: none is missing."""
    rig.server = new_store_server(RS_REPLICATION_LOG_SIZE="100")

    async def main() -> None:
        rig.influx = replace(rig.influx, url=own_influx.url, token=own_influx.token)
        await rig.make_buckets("sensor", "meta")
        streams = ("imu", "gps")
        before = [imu(make_chunk, at_s, 10, entry) for at_s in range(-3700, -3600) for entry in streams]
        away = [imu(make_chunk, at_s, 10, entry) for at_s in range(-3600, 0, 5) for entry in streams]
        async with rig.loading(rhythm=ALERT) as loader:
            await rig.write(before)
            await wait_until(lambda: rig.holds(before), PATIENT_S)
            await asyncio.to_thread(own_influx.kill)
            await rig.write(away)
            await wait_until(lambda: asyncio.sleep(0, loader.report()["trouble"] is not None), PATIENT_S)
            async with rig.store() as store:
                info = await store.task(task_name(rig.bucket))
            assert info.pending <= 2 * 100, "the engine's log was to run over"
            await asyncio.to_thread(start, own_influx)
            await wait_until(lambda: rig.holds(before + away), PATIENT_S)
            chunks = len(before + away)
            await wait_until(lambda: asyncio.sleep(0, rig.counts(loader).get("chunks") == chunks), PATIENT_S)
            assert rig.counts(loader) == {"chunks": chunks, "points": chunks * 10, "values": chunks * 20}
            assert loader.report()["found_by_sweep"] > 0
            rows = await loader.scalar_rows(0, FOR_EVER_US, NOW_US)
            assert {row.stream: (row.points, row.held, row.short) for row in rows} == {
                stream: (chunks // 2 * 10, chunks // 2 * 20, {}) for stream in streams
            }

    asyncio.run(main())

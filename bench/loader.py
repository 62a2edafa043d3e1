"""Scalars into InfluxDB: our port and the whole loader path, beside influxdb-client in the same run."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from influxdb_client import InfluxDBClient, WritePrecision
from influxdb_client.client.write_api import SYNCHRONOUS

from fleetbox import chunks
from fleetbox.blobs import Store
from fleetbox.points import Points, lines, slices
from fleetbox.quotas import bucket_spec
from fleetbox.records import Draft
from fleetbox.scalars import BATCH_LINES, ScalarStore
from fleetbox.selectors import Selector
from fleetbox.settings import Influx
from fleetbox_cloud.door import open_door
from fleetbox_cloud.loader import task_name
from fleetbox_cloud.loading import Loading, Rhythm
from fleetbox_local.processes import InfluxProcess, StoreProcess

ROWS = 200_000
FIELDS = 12
CHUNK_ROWS = 500  # 5 s of a 100 Hz stream
STREAMS = 4  # one request per stream is on the wire: more than one lets the store read ahead
DEADLINE_S = 120.0
LAGS = 100  # chunks whose way is timed


def run() -> list[dict[str, Any]]:
    """Measure on fresh servers and return the rows; a point is one row of FIELDS values."""
    with tempfile.TemporaryDirectory() as folder:
        influx, store = InfluxProcess(Path(folder) / "influx"), StoreProcess(Path(folder) / "store")
        try:
            for server in (influx, store):
                server.start()
                server.wait_ready()
            return asyncio.run(_measure(influx, store, Path(folder) / "state"))
        finally:
            influx.kill()
            store.kill()


async def _measure(influx: InfluxProcess, store: StoreProcess, state: Path) -> list[dict[str, Any]]:
    place = Influx(influx.url, influx.token, influx.org, "bench")
    raws, ports = [], []
    for turn in range(2):  # turn about, so that a busy machine meets both
        raws.append(await asyncio.to_thread(_raw, await _made(place, f"raw-{turn}"), _text()))
        ports.append(await _port(await _made(place, f"port-{turn}")))
    raw, port = max(raws), max(ports)
    loaded = await _loader(await _made(place, "rolled"), store, state / "rolled")
    whole = replace(await _made(place, "whole"), raw=(Selector.parse("r1/*"),))
    each = await _loader(whole, store, state / "whole", robot="r1")
    late = await _lags(await _made(place, "lags"), store, state / "lags")
    title = f"InfluxDB, rows of {FIELDS} fields"
    return [
        _row(f"{title}: scalar port from columns (raw: influxdb-client, lines ready made)", port, raw, ">= 0.8x"),
        _row(f"{title}: chunk in the store -> task -> loader -> roll-ups", loaded, raw, ">= 0.9x"),
        _row(f"{title}: the same with every row beside its roll-ups", each, raw, "-"),
        {"name": "chunk in the store -> its seconds in InfluxDB, p50", "value": late[len(late) // 2], "unit": "ms"},
        {
            "name": f"the same, p99 of {len(late)} (a row waits up to 5 s before, until its chunk closes)",
            "value": late[int(len(late) * 0.99)],
            "unit": "ms",
            "goal": "< 1000 ms",
        },
    ]


def _row(name: str, value: float, raw: float, goal: str) -> dict[str, Any]:
    return {"name": name, "value": value, "unit": "points/s", "raw": raw, "ratio": value / raw, "goal": goal}


async def _made(place: Influx, bucket: str) -> Influx:
    place = replace(place, bucket=bucket)
    async with ScalarStore(place) as scalars:
        await scalars.ensure_bucket()
    return place


def _columns(stream: int, rows: int) -> tuple[Any, dict[str, Any]]:
    rng = np.random.default_rng(stream)
    times_us = (int(time.time()) - rows // 100) * 1_000_000 + 10_000 * np.arange(rows)
    return times_us, {f"f{name}": rng.normal(size=rows) for name in range(FIELDS)}


def _text() -> list[str]:
    points = [Points("imu", "r1", "bench", *_columns(0, ROWS))]
    return [line for part in slices(points, BATCH_LINES) for line in lines(part).text]


def _raw(place: Influx, text: Sequence[str]) -> float:
    with InfluxDBClient(place.url, place.token, org=place.org, timeout=60_000) as client:
        write = client.write_api(write_options=SYNCHRONOUS)
        began_s = time.perf_counter()
        for at in range(0, len(text), BATCH_LINES):
            write.write(place.bucket, record=text[at : at + BATCH_LINES], write_precision=WritePrecision.US)
        return len(text) / (time.perf_counter() - began_s)


async def _port(place: Influx) -> float:
    points = Points("imu", "r1", "bench", *_columns(0, ROWS))
    async with ScalarStore(place) as scalars:
        began_s = time.perf_counter()
        report = await scalars.write([points])
        took_s = time.perf_counter() - began_s
    assert report.written == ROWS, report
    return ROWS / took_s


async def _lags(place: Influx, server: StoreProcess, state: Path) -> list[float]:
    """Return how long chunks written one by one take until InfluxDB shows their second, sorted, in ms."""
    found, robot = list[float](), "r3"
    async with Store(server.url, server.token) as store, ScalarStore(place) as scalars:
        await store.ensure_bucket(f"{robot}--sensor", bucket_spec("sensor", 10_000_000_000))
        loading = Loading(lambda: Store(server.url, server.token), place, "bench", state, lambda: "token")
        async with open_door(state, loading.sink.routes()) as url:
            work = asyncio.create_task(loading.run(url, Rhythm(look_s=0.1)))
            try:
                await _until(loading, lambda report: report["running"])
                await asyncio.sleep(1.0)  # the task is made with the next look
                for draft in _drafts()[:LAGS]:
                    await store.write(f"{robot}--sensor", [draft])
                    began_s = time.perf_counter()
                    span_us = draft.time_us, draft.time_us + CHUNK_ROWS * 10_000
                    ask = scalars.rolled(draft.entry, robot, *span_us, "bench")
                    async with asyncio.timeout(DEADLINE_S):
                        while sum((await ask.values_by_minute()).values()) < CHUNK_ROWS * FIELDS:  # noqa: ASYNC110
                            await asyncio.sleep(0.005)
                    found.append((time.perf_counter() - began_s) * 1000)
            finally:
                work.cancel()
                await asyncio.gather(work, return_exceptions=True)
                await store.remove_task(task_name(f"{robot}--sensor"))
                await store.remove_bucket(f"{robot}--sensor")  # the next loader would load it too
    return sorted(found)


async def _loader(place: Influx, server: StoreProcess, state: Path, robot: str = "r2") -> float:
    """Write chunks while the loader waits for InfluxDB, then time from its start to the last point."""
    async with Store(server.url, server.token) as store:
        await store.ensure_bucket(f"{robot}--sensor", bucket_spec("sensor", 10_000_000_000))
        drafts = _drafts()
        loading = Loading(lambda: Store(server.url, server.token), place, "bench", state, lambda: "token")
        async with open_door(state, loading.sink.routes()) as url:
            work = asyncio.create_task(loading.run(url, Rhythm(look_s=0.1)))
            try:
                await _until(loading, lambda report: report["running"])
                began_s = time.perf_counter()
                await store.write(f"{robot}--sensor", drafts)
                await _until(loading, lambda report: report["robots"].get(robot, {}).get("points") == ROWS)
                return ROWS / (time.perf_counter() - began_s)
            finally:
                work.cancel()
                await asyncio.gather(work, return_exceptions=True)
                await store.remove_task(task_name(f"{robot}--sensor"))
                await store.remove_bucket(f"{robot}--sensor")  # the next loader would load it too


def _drafts() -> list[Draft]:
    made = []
    for stream in range(STREAMS):
        times_us, columns = _columns(stream, ROWS // STREAMS)
        for at in range(0, len(times_us), CHUNK_ROWS):
            cut = slice(at, at + CHUNK_ROWS)
            data = chunks.encode(times_us[cut], {name: values[cut] for name, values in columns.items()})
            labels = {"rows": str(CHUNK_ROWS), "t_end": str(times_us[cut][-1])}
            made.append(Draft(f"imu-{stream}", int(times_us[at]), data, labels, chunks.CONTENT_TYPE))
    return made


async def _until(loading: Loading, what: Any) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not what(loading.report()):  # noqa: ASYNC110 - the books are read as a person would
            await asyncio.sleep(0.02)

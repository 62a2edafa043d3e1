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
from fleetbox.settings import Influx
from fleetbox_cloud.door import open_door
from fleetbox_cloud.loading import Loading, Rhythm
from fleetbox_local.processes import InfluxProcess, StoreProcess

ROWS = 200_000
FIELDS = 12
CHUNK_ROWS = 500  # 5 s of a 100 Hz stream
STREAMS = 4  # one request per stream is on the wire: more than one lets the store read ahead
DEADLINE_S = 120.0


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
    loaded = await _loader(await _made(place, "loader"), store, state)
    title = f"InfluxDB, points of {FIELDS} fields"
    return [
        _row(f"{title}: scalar port from columns (raw: influxdb-client, lines ready made)", port, raw, ">= 0.8x"),
        _row(f"{title}: chunk in the store -> task -> loader -> InfluxDB", loaded, raw, ">= 0.5x"),
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


async def _loader(place: Influx, server: StoreProcess, state: Path) -> float:
    """Write chunks while the loader waits for InfluxDB, then time from its start to the last point."""
    async with Store(server.url, server.token) as store:
        await store.ensure_bucket("r1--sensor", bucket_spec("sensor", 10_000_000_000))
        drafts = _drafts()
        loading = Loading(lambda: Store(server.url, server.token), place, "bench", state, lambda: "token")
        async with open_door(state, loading.sink.routes()) as url:
            work = asyncio.create_task(loading.run(url, Rhythm(look_s=0.1)))
            try:
                await _until(loading, lambda report: report["running"])
                began_s = time.perf_counter()
                await store.write("r1--sensor", drafts)
                await _until(loading, lambda report: report["robots"].get("r1", {}).get("points") == ROWS)
                return ROWS / (time.perf_counter() - began_s)
            finally:
                work.cancel()
                await asyncio.gather(work, return_exceptions=True)


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

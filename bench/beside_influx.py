"""Read an hour of 100 Hz x 12 fields into a DataFrame, and the same rows from InfluxDB by its client's two routes."""

from __future__ import annotations

import asyncio
import os
import statistics
import time
from collections.abc import Callable, Sequence
from io import BytesIO
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
from influxdb_client.client.influxdb_client import InfluxDBClient

from bench import rolling
from bench.filling import pour
from bench.rolling import FIELDS, FIRST_US, RATE_HZ, ROBOT, STREAM
from bench.serving import SITE, Served, serving
from bench.timing import timed
from fleetbox.blobs import Store
from fleetbox.points import Points
from fleetbox.scalars import ScalarStore
from fleetbox.settings import Influx
from fleetbox_query.fleet import connect

SECONDS = int(os.environ.get("FLEETBOX_BENCH_SECONDS", "3600"))
OURS, THEIRS = 7, 2  # repeats; the median counts
STOP_US = FIRST_US + SECONDS * 1_000_000

Row = dict[str, Any]


def run() -> list[Row]:
    """Load both with the same rows and return the rows of the benchmark."""
    with serving(influx=True) as served:
        asyncio.run(_fill(served))
        return _measure(served)


def _measure(served: Served) -> list[Row]:
    with connect(served.fleet()) as fleet:
        asked = fleet.select(f"{ROBOT}/{STREAM}").between(FIRST_US, STOP_US)
        ours_ms, used_ms, frame = _medians(lambda: asked.frames(), OURS)
    what = f"{SECONDS / 3600:g} h of {RATE_HZ} Hz x {FIELDS} fields into a DataFrame"
    rows: list[Row] = [{"name": what, "value": ours_ms, "unit": "ms", "goal": "< 200 ms" if SECONDS == 3600 else None}]
    rows.append({"name": f"{what}, this program's CPU time", "value": used_ms, "unit": "ms"})
    asked_there = (("query_data_frame, pivoted by Flux", _flux), ("InfluxQL, CSV parsed by Arrow", _influxql))
    for name, ask in asked_there:
        took_ms, _, other = _medians(lambda ask=ask: ask(served.scalars()), THEIRS)  # type: ignore[misc]
        _check(frame, other, name)
        rows.append({"name": f"{what} (raw: InfluxDB by {name})", "value": ours_ms, "unit": "ms", "raw": took_ms,
                     "ratio": ours_ms / took_ms})  # fmt: skip
    return rows


def _flux(influx: Influx) -> pd.DataFrame:
    with InfluxDBClient(influx.url, token=influx.token, org=influx.org, timeout=600_000) as client:
        found = client.query_api().query_data_frame(
            f'from(bucket: "{influx.bucket}") |> range(start: {FIRST_US // 1_000_000}, stop: {STOP_US // 1_000_000})'
            f' |> filter(fn: (r) => r._measurement == "{STREAM}" and r.robot == "{ROBOT}")'
            ' |> pivot(rowKey: ["_time"], columnKey: ["_field"], valueColumn: "_value")'
        )
    frame: pd.DataFrame = found.set_index("_time")
    return frame


def _influxql(influx: Influx) -> pd.DataFrame:
    """Ask on the client's own connection what it has no call for: InfluxQL, whose CSV has a column per field."""
    fields = ", ".join(f'"f{n}"' for n in range(FIELDS))
    text = f"SELECT {fields} FROM \"{STREAM}\" WHERE robot = '{ROBOT}' AND time >= {FIRST_US}u AND time < {STOP_US}u"
    with InfluxDBClient(influx.url, token=influx.token, org=influx.org, timeout=600_000) as client:
        answer = client.api_client.call_api(
            "/query", "GET", query_params=[("db", influx.bucket), ("epoch", "u"), ("q", text)],
            header_params={"Accept": "application/csv"}, auth_settings=[],
            _preload_content=False, async_req=False, response_type=None,
        )  # fmt: skip
        body = answer[0].data if isinstance(answer, tuple) else answer.data
    frame: pd.DataFrame = pyarrow.csv.read_csv(BytesIO(body)).to_pandas()
    frame.index = pd.DatetimeIndex(pd.to_datetime(frame.pop("time"), unit="us", utc=True))
    return frame


def _check(frame: pd.DataFrame, other: pd.DataFrame, name: str) -> None:
    columns: Sequence[str] = list(frame.columns)
    if len(other) != len(frame) or not np.array_equal(other[columns].to_numpy(), frame.to_numpy()):
        raise SystemExit(f"{name} gives {other.shape}, not the same rows as {frame.shape}")


def _medians(work: Callable[[], pd.DataFrame], repeats: int) -> tuple[float, float, pd.DataFrame]:
    """Return the median of the wall and of this program's CPU time in ms, and the last answer."""
    took, used = [], []
    for _ in range(repeats):
        cpu = time.process_time()
        took_s, found = timed(work)
        took.append(took_s * 1e3)
        used.append((time.process_time() - cpu) * 1e3)
    return statistics.median(took), statistics.median(used), found


async def _fill(served: Served) -> None:
    store = served.store
    times_us = FIRST_US + np.arange(SECONDS * RATE_HZ) * (1_000_000 // RATE_HZ)
    columns = rolling.columns(times_us)
    async with Store(store.url, store.token) as blobs, ScalarStore(served.scalars(), timeout_s=600) as scalars:
        await scalars.ensure_bucket()
        await pour(blobs, f"{ROBOT}--sensor", iter(rolling.chunked(times_us, columns)))
        for at in range(0, len(times_us), 50_000):
            cut = slice(at, at + 50_000)
            part = {name: pa.array(values[cut]) for name, values in columns.items()}
            report = await scalars.write([Points(STREAM, ROBOT, SITE, times_us[cut], part)])
            if report.refused:
                raise SystemExit(f"InfluxDB refused {report.refused}")

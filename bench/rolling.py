"""Roll a day up by minutes, from InfluxDB's seconds and from the chunks, beside influxdb-client on the same seconds."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
from influxdb_client.client.influxdb_client import InfluxDBClient

from bench.filling import T0_US, blob, pour
from bench.serving import SITE, Served, serving
from bench.timing import median_ms
from fleetbox import chunks
from fleetbox.blobs import Store
from fleetbox.points import Points
from fleetbox.records import Draft
from fleetbox.rollups import points_of, rolled
from fleetbox.scalars import ScalarStore
from fleetbox.settings import Influx
from fleetbox_query.fleet import Fleet, connect

HOURS = int(os.environ.get("FLEETBOX_BENCH_HOURS", "24"))  # of 100 Hz x 12 fields: 38 MB of chunks each
ROBOT, STREAM = "r1", "imu"
RATE_HZ, FIELDS, CHUNK_S = 100, 12, 5
FIRST_US = T0_US // 3_600_000_000 * 3_600_000_000
HOUR_US = 3_600_000_000

Row = dict[str, Any]


def run() -> list[Row]:
    """Load a fresh store and a fresh InfluxDB and return the rows."""
    with serving(influx=True) as served:
        asyncio.run(_fill(served))
        return _measure(served)


async def _fill(served: Served) -> None:
    """Write the chunks of so many hours, and their seconds as a loader rolls them up."""
    store = served.store
    async with Store(store.url, store.token) as blobs, ScalarStore(served.scalars(), timeout_s=300) as scalars:
        await scalars.ensure_bucket()
        for hour in range(HOURS):
            times_us = FIRST_US + hour * HOUR_US + np.arange(3_600 * RATE_HZ) * (1_000_000 // RATE_HZ)
            # A beat missing now and then, as in life: seconds of unequal counts.
            times_us = times_us[np.random.default_rng(hour).random(len(times_us)) > 0.001]
            made = columns(times_us)
            await pour(blobs, f"{ROBOT}--sensor", iter(chunked(times_us, made)))
            fields = rolled([Points(STREAM, ROBOT, SITE, times_us, {k: pa.array(v) for k, v in made.items()})])
            report = await scalars.write([points_of(STREAM, ROBOT, SITE, fields)])
            if report.refused:
                raise SystemExit(f"InfluxDB refused {report.refused}")


def _measure(served: Served) -> list[Row]:
    one, every = f"{ROBOT}/{STREAM}:f0", f"{ROBOT}/{STREAM}"
    with connect(served.fleet()) as fed:
        frame = fed.select(every).rollup("1m")
        if set(frame.attrs["sources"].values()) != {f"influx at {SITE}"} or len(frame) != HOURS * 60:
            raise SystemExit(f"{len(frame)} steps from {frame.attrs['sources']}")
        field_ms, all_ms = median_ms(_rollup(fed, one)), median_ms(_rollup(fed, every))
    with connect(served.fleet(scalars=False)) as bare:
        if not np.allclose(bare.select(every).rollup("1m"), frame, rtol=1e-9):
            raise SystemExit("the chunks say otherwise")
        chunks_ms = median_ms(_rollup(bare, every), 2)
    client_ms = median_ms(lambda: _client(served.scalars()), 2)
    what = f"{HOURS} h by the minute, min mean max last count"
    return [
        {"name": f"{what} of 1 field, from InfluxDB's seconds", "value": field_ms, "unit": "ms", "goal": "< 200 ms"},
        {
            "name": f"{what} of {FIELDS} fields, from InfluxDB's seconds (raw: influxdb-client, Flux, the means only)",
            "value": all_ms, "unit": "ms", "raw": client_ms, "ratio": all_ms / client_ms,
        },
        {"name": f"{what} of {FIELDS} fields, from the chunks", "value": chunks_ms, "unit": "ms"},
    ]  # fmt: skip


def _rollup(fleet: Fleet, selector: str) -> Callable[[], object]:
    return lambda: fleet.select(selector).rollup("1m")


def _client(influx: Influx) -> None:
    """Ask the vendor's client for the same minutes of all fields' means."""
    with InfluxDBClient(influx.url, token=influx.token, org=influx.org, timeout=300_000) as client:
        frame = client.query_api().query_data_frame(
            f'from(bucket: "{influx.bucket}") |> range(start: {FIRST_US // 1_000_000}, '
            f"stop: {(FIRST_US + HOURS * HOUR_US) // 1_000_000})"
            f' |> filter(fn: (r) => r._measurement == "{STREAM}" and r._field =~ /[.]mean$/)'
            " |> aggregateWindow(every: 1m, fn: mean, createEmpty: false)"
            ' |> pivot(rowKey: ["_time"], columnKey: ["_field"], valueColumn: "_value")'
        )
    if len(frame) != HOURS * 60:
        raise SystemExit(f"{len(frame)} steps from influxdb-client")


def columns(times_us: Any) -> dict[str, Any]:
    """Return smooth signals with a sensor's noise."""
    rng = np.random.default_rng(1)
    phase = (times_us - FIRST_US) / 1e6
    return {f"f{n}": np.sin(phase * (n + 1)) + rng.normal(0, 0.01, len(times_us)) for n in range(FIELDS)}


def chunked(times_us: Any, fields: dict[str, Any]) -> list[Draft]:
    """Return rows as chunks of CHUNK_S."""
    cuts = np.flatnonzero(np.diff(times_us // (CHUNK_S * 1_000_000))) + 1
    out = []
    for rows in np.split(np.arange(len(times_us)), cuts):
        data = chunks.encode(times_us[rows], {name: values[rows] for name, values in fields.items()})
        first, last = int(times_us[rows[0]]), str(times_us[rows[-1]])
        out.append(blob(ROBOT, STREAM, first, data, chunks.CONTENT_TYPE, rows=str(len(rows)), t_end=last))
    return out

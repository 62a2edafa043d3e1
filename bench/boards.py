"""Boards: their queries, and the 95th percentile of one, on a real InfluxDB with fifty robots in it.

There is an hour of fifty robots of ten streams at full density (robots each 30 s, ledger each minute, hosts each 15 s),
the month before it thinned to one point in BOARDS_THIN, and a day of one robot's roll-ups of a second. The month asked
at full density is calculated: in proportion to the points, so too high where a query's time is not all in points.
BOARDS_THIN=1 loads and measures all of it, 50 million points, which takes hours.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from fleetbox.measurements import AGENT_STREAM, BOOKS, HOST_STREAM, RELAY, ROBOTS, ROLLUPS, SITES, STREAMS, Measurement
from fleetbox.scalars import ScalarStore
from fleetbox.settings import Influx
from fleetbox_dashboards.building import boards
from fleetbox_dashboards.filling import Filling, queries
from fleetbox_local.processes import InfluxProcess

COUNT = 50  # robots
THIN = int(os.environ.get("BOARDS_THIN", "480"))
EACH = int(os.environ.get("BOARDS_STREAMS", "10"))
HOUR_S = 3600
MONTH_S = 30 * 86_400
SECONDS_S = int(os.environ.get("BOARDS_SECONDS", 86_400))  # of one robot: points, a second each
LINES = 4000
ROUNDS = 3
HEALTH = {
    HOST_STREAM: ("cpu", "ram", "disk", "temp_c", "load1", "disk_free_bytes"),
    AGENT_STREAM: ("spool.bytes", "uplink.bytes_s", "dropped"),
}
CHOSEN = {"site": ".*", "kind": ".*", "robots": "", "find": "", "robot": "r1", "stream": "imu", "field": "ax"}


def run() -> list[dict[str, Any]]:
    """Load a fresh InfluxDB and return the rows."""
    with tempfile.TemporaryDirectory() as folder:
        influx = InfluxProcess(Path(folder) / "influx")
        try:
            influx.start()
            influx.wait_ready()
            return asyncio.run(_measure(influx))
        finally:
            influx.kill()


async def _measure(influx: InfluxProcess) -> list[dict[str, Any]]:
    stop_s = int(time.time()) // 60 * 60
    async with ScalarStore(Influx(influx.url, influx.token, influx.org, "boards"), timeout_s=300) as scalars:
        await scalars.ensure_bucket()
        points = await _load(scalars, stop_s)
        rows: list[dict[str, Any]] = [{"name": f"boards: points loaded ({COUNT} robots)", "value": points, "unit": ""}]
        for uid, board in boards().items():
            rows.append({"name": f"{uid}: queries", "value": len(list(queries(board))), "unit": ""})
            rows += await _board(scalars, uid, board, stop_s, HOUR_S)
            rows += await _board(scalars, uid, board, stop_s, MONTH_S)
        field = next(one for one in queries(boards()["fleetbox-robot"]) if "${field:raw}" in one.influxql)
        took = [await _timed(scalars, field, stop_s, SECONDS_S) for _ in range(ROUNDS)]
        rows.append(
            {
                "name": f"robot: a field over {SECONDS_S / 86_400:g} days of seconds",
                "value": max(took) * 1000,
                "unit": "ms",
            }
        )
    return rows


async def _board(
    scalars: ScalarStore, uid: str, board: Mapping[str, Any], stop_s: int, range_s: int
) -> list[dict[str, Any]]:
    rounds, month = (ROUNDS, False) if range_s == HOUR_S else (1, True)
    what = f"a month, one point in {THIN}" if month else "an hour"
    took = sorted([await _timed(scalars, one, stop_s, range_s) for _ in range(rounds) for one in queries(board)])
    p95_ms = took[int(0.95 * len(took))] * 1000
    rows = [
        {"name": f"{uid}: p95 of a query over {what}", "value": p95_ms, "unit": "ms"},
        {"name": f"{uid}: all queries one after another over {what}", "value": sum(took) / rounds, "unit": "s"},
    ]
    if month and THIN > 1:
        most_s = p95_ms / 1000 * THIN * MONTH_S / (MONTH_S + (THIN - 1) * HOUR_S)
        rows.append(
            {"name": f"{uid}: p95 over a month at full density, calculated, at most", "value": most_s, "unit": "s"}
        )
    return rows


async def _timed(scalars: ScalarStore, asked: Any, stop_s: int, range_s: float) -> float:
    filling = Filling(int((stop_s - range_s) * 1000), stop_s * 1000, CHOSEN | {"camera": "s1"})
    began_s = time.perf_counter()
    await scalars.query(filling.fill(asked.influxql, asked.least_interval))
    return time.perf_counter() - began_s


async def _load(scalars: ScalarStore, stop_s: int) -> int:
    count, pending = 0, list[str]()
    on_the_way: list[asyncio.Task[Any]] = []
    for line in _lines(stop_s):
        pending.append(line)
        if len(pending) == LINES:
            on_the_way.append(asyncio.create_task(scalars.write_lines(pending)))
            count, pending = count + LINES, []
            if len(on_the_way) == 2:
                assert not (await on_the_way.pop(0)).refused
    await scalars.write_lines(pending)
    await asyncio.gather(*on_the_way)
    return count + len(pending)


def _lines(stop_s: int) -> Iterator[str]:
    yield from _fleet(stop_s - HOUR_S, stop_s, 1)
    yield from _fleet(stop_s - MONTH_S, stop_s - HOUR_S, THIN)
    imu = _prefix("imu", {"robot": "r1", "site": "edge-1"}, _rolled(["ax"]))
    yield from _times(imu, stop_s - SECONDS_S, stop_s, 1)


def _fleet(start_s: int, stop_s: int, thin: int) -> Iterator[str]:
    for robot in range(COUNT):
        here = {"robot": f"r{robot}", "site": "edge-1"}
        yield from _series(ROBOTS, here, start_s, stop_s, 30 * thin)
        yield from _series(RELAY, here, start_s, stop_s, 30 * thin)
        for stream in range(EACH):
            of_stream = {**here, "stream": f"s{stream}"}
            yield from _series(STREAMS, of_stream, start_s, stop_s, 60 * thin)
            yield from _series(BOOKS, {**of_stream, "class": "sensor"}, start_s, stop_s, 60 * thin)
        for name, fields in HEALTH.items():
            yield from _times(_prefix(name, here, _rolled(fields)), start_s, stop_s, 15 * thin)
    yield from _series(SITES, {"site": "edge-1"}, start_s, stop_s, 30 * thin)


def _rolled(names: Sequence[str]) -> str:
    return ",".join(f"{name}.{what}=1.5" for name in names for what in ROLLUPS)


def _series(measurement: Measurement, tags: Mapping[str, str], start_s: int, stop_s: int, step_s: int) -> Iterator[str]:
    units = measurement.fields.items()
    told = {name: "true" if unit == "bool" else "1.5" if unit else "1i" for name, unit in units if unit != "text"}
    fields = ",".join(f"{name}={value}" for name, value in told.items())
    yield from _times(_prefix(measurement.name, tags, fields), start_s, stop_s, step_s)


def _prefix(name: str, tags: Mapping[str, str], fields: str) -> str:
    return f"{name}{''.join(f',{key}={value}' for key, value in tags.items())} {fields} "


def _times(prefix: str, start_s: int, stop_s: int, step_s: int) -> Iterator[str]:
    for at_s in range(start_s, stop_s, step_s):
        yield f"{prefix}{at_s}000000"

"""Boards: their queries, and the 95th percentile of one, on a real InfluxDB with fifty robots in it.

There is a day of fifty robots' books (each minute) and hosts (each 15 s) at full density, and the month of hours,
relays and sites that Books and Host read beyond a day: of these two boards a month is measured whole. Of the others
there is an hour at full density (robots each 30 s), the month before it thinned to one point in BOARDS_THIN, and a day
of one robot's roll-ups of a second; their month at full density is calculated: in proportion to the points, so too high
where a query's time is not all in points. BOARDS_THIN=1 loads and measures all of it, 50 million points, which takes
hours. BOARDS=books,host loads and measures no more than these two.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from fleetbox.measurements import (
    AGENT_STREAM,
    BOOKS,
    BOOKS_HOURS,
    DEAD_LETTERS,
    HOST_HOURS,
    HOST_NUMBERS,
    HOST_STREAM,
    RELAY,
    ROBOTS,
    ROLLUPS,
    SITES,
    STREAMS,
    Measurement,
)
from fleetbox.scalars import ScalarStore
from fleetbox.settings import Influx
from fleetbox_dashboards.building import boards
from fleetbox_dashboards.filling import Filling, queries
from fleetbox_local.processes import InfluxProcess

COUNT = 50  # robots
THIN = int(os.environ.get("BOARDS_THIN", "480"))
EACH = int(os.environ.get("BOARDS_STREAMS", "10"))
HOUR_S = 3600
DAY_S = 86_400
MONTH_S = 30 * 86_400
SECONDS_S = int(os.environ.get("BOARDS_SECONDS", 86_400))  # of one robot: points, a second each
LINES = 4000
ROUNDS = 3
AGENT = ("spool.bytes", "uplink.bytes_s", "dropped")
WHOLE = ("fleetbox-books", "fleetbox-host")  # boards of which everything they read is there at full density
ASKED = frozenset(f"fleetbox-{name}" for name in os.environ.get("BOARDS", "").split(",") if name)  # none: all
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
            if ASKED and uid not in ASKED:
                continue
            rows.append({"name": f"{uid}: queries", "value": len(list(queries(board))), "unit": ""})
            for range_s in (HOUR_S, *([DAY_S] if uid in WHOLE else []), MONTH_S):
                rows += await _board(scalars, uid, board, stop_s, range_s)
        if ASKED:
            return rows
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
    whole = uid in WHOLE
    rounds, month = (ROUNDS, range_s == MONTH_S) if range_s == HOUR_S or whole else (1, True)
    names = {HOUR_S: "an hour", DAY_S: "a day", MONTH_S: "a whole month" if whole else f"a month, one point in {THIN}"}
    what = names[range_s]
    took = sorted([await _timed(scalars, one, stop_s, range_s) for _ in range(rounds) for one in queries(board)])
    p95_ms = took[int(0.95 * len(took))] * 1000
    rows = [
        {"name": f"{uid}: p95 of a query over {what}", "value": p95_ms, "unit": "ms"},
        {"name": f"{uid}: all queries one after another over {what}", "value": sum(took) / rounds, "unit": "s"},
    ]
    if month and THIN > 1 and not whole:
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
    yield from _watched(stop_s)
    if ASKED:
        return
    yield from _fleet(stop_s - HOUR_S, stop_s, 1)
    yield from _fleet(stop_s - MONTH_S, stop_s - HOUR_S, THIN)
    imu = _prefix("imu", {"robot": "r1", "site": "edge-1"}, _rolled(["ax"]))
    yield from _times(imu, stop_s - SECONDS_S, stop_s, 1)


def _fleet(start_s: int, stop_s: int, thin: int) -> Iterator[str]:
    for robot in range(COUNT):
        here = {"robot": f"r{robot}", "site": "edge-1"}
        yield from _series(ROBOTS, here, start_s, stop_s, 30 * thin)
        for stream in range(EACH):
            yield from _series(STREAMS, {**here, "stream": f"s{stream}"}, start_s, stop_s, 60 * thin)
        yield from _times(_prefix(AGENT_STREAM, here, _rolled(AGENT)), start_s, stop_s, 15 * thin)


def _watched(stop_s: int) -> Iterator[str]:
    """Yield what Books and Host read: the last day as it is told, the month of what is told by the hour or by few."""
    month_s, hour_s = stop_s - MONTH_S, stop_s // HOUR_S * HOUR_S
    for robot in range(COUNT):
        here = {"robot": f"r{robot}", "site": "edge-1"}
        for stream in range(EACH):
            told = {**here, "stream": f"s{stream}", "class": "sensor"}
            yield from _series(BOOKS, told, stop_s - DAY_S - HOUR_S, stop_s, 60)
            yield from _series(BOOKS_HOURS, told, hour_s - MONTH_S, hour_s + 1, HOUR_S)
        host = _rolled(list(HOST_NUMBERS))
        yield from _times(_prefix(HOST_STREAM, here, host), stop_s - DAY_S - HOUR_S, stop_s, 15)
        yield from _times(_prefix(HOST_HOURS.name, here, host), hour_s - MONTH_S, hour_s + 1, HOUR_S)
        yield from _series(RELAY, here, month_s, stop_s, 30)
    yield from _series(DEAD_LETTERS, {"robot": "r1", "site": "edge-1", "reason": "409"}, month_s, stop_s, 30)
    yield from _series(SITES, {"site": "edge-1"}, month_s, stop_s, 30)


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

"""Search a million events, find a labelled stretch among a million records, thin out and align an hour, get a frame."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from bench.filling import ROBOTS, T0_US, blob, fill, pour
from bench.serving import serving
from bench.timing import median_ms
from fleetbox import chunks
from fleetbox.blobs import Store
from fleetbox.records import Draft
from fleetbox_local.processes import StoreProcess
from fleetbox_query.fleet import Fleet, connect

COUNT = int(os.environ.get("FLEETBOX_BENCH_COUNT", "1000000"))  # records and events; fewer for a first look
PICTURES = 2_000  # 100 s at 20 Hz
ASKED = 60  # nearest pictures, for a 95th percentile
ROBOT = ROBOTS[0]

Row = dict[str, Any]


def run() -> list[Row]:
    """Return the rows of the benchmark."""
    before = dict(os.environ)
    try:
        with serving() as served:
            asyncio.run(_fill(served.store))
            os.environ["XDG_CACHE_HOME"] = str(served.folder / "cache")  # an index of events of its own
            with connect(served.fleet()) as fleet:
                return [*_verbs(fleet), *_labels(fleet, served.store), *_events(fleet)]
    finally:
        os.environ.clear()
        os.environ.update(before)


def _verbs(fleet: Fleet) -> list[Row]:
    imu, camera = fleet.select(f"{ROBOT}/imu"), fleet.select(f"{ROBOT}/cam")
    frame = median_ms(lambda: imu.frames())
    rng = np.random.default_rng(1)
    took = []
    for offset in rng.integers(0, PICTURES * 50_000, ASKED).tolist():
        began = time.perf_counter()
        camera.at(T0_US + offset)
        took.append((time.perf_counter() - began) * 1e3)
    return [
        _row("1 h x 100 Hz x 12 fields to pandas", frame, "ms", "< 200 ms"),
        _row("the same, aligned at 30 Hz", median_ms(lambda: imu.align("30 Hz", max_age="100ms").frames()), "ms"),
        _row("the same, 1,000 points a field (minmax)", median_ms(lambda: imu.decimate(1_000)), "ms"),
        _row("the same, into DuckDB", median_ms(lambda: imu.duckdb().close()), "ms"),
        _row("its size, without moving it", median_ms(lambda: imu.size()), "ms"),
        _row("nearest picture, 95th percentile", float(np.percentile(took, 95)), "ms", "< 50 ms"),
    ]


def _labels(fleet: Fleet, server: StoreProcess) -> list[Row]:
    chosen = fleet.select(f"{ROBOT}/log").where(part="7")
    said = chosen.size()
    began = time.perf_counter()
    found = sum(1 for _ in chosen.records(warn=False))
    ours = time.perf_counter() - began
    began = time.perf_counter()
    raw = asyncio.run(_raw(server))
    if found != raw or not found:
        raise SystemExit(f"{found} records found, {raw} by the raw client")
    row = _row(f"{found:,} of {COUNT:,} records by label", ours, "s", "< 2x raw")
    raw_s = time.perf_counter() - began
    return [
        {**row, "raw": raw_s, "ratio": ours / raw_s},
        {**_row(f"what is said of it before ({said.scan:,} looked at)", said.scan_s, "s", "0.5x to 2x"), "raw": ours,
         "ratio": said.scan_s / ours},
    ]  # fmt: skip


def _events(fleet: Fleet) -> list[Row]:
    everything = fleet.events()
    began, used = time.perf_counter(), time.process_time()
    len(everything.search("pallet", severity="high"))
    first, used = time.perf_counter() - began, time.process_time() - used
    near = (48.1 + 0.5, 11.5, "30m")
    asked: dict[str, Callable[[], object]] = {
        "kind and severity": lambda: fleet.events("brake").between(T0_US, T0_US + 10**9).search(severity="high").list(),
        "two words": lambda: everything.search("pallet 77777").list(),
        "a circle": lambda: everything.search(near=near).list(),
        "length": lambda: everything.search(longer="59s", labels={"lane": "7"}).between(T0_US, T0_US + 10**9).list(),
    }
    rows = [_row(f"the first search of {COUNT:,} events, which reads them", first, "s")]
    rows.append(_row("its CPU time, the store's left out", used, "s"))
    rows += [_row(f"later ones, by {name}", median_ms(ask), "ms") for name, ask in asked.items()]
    return rows


async def _raw(server: StoreProcess) -> int:
    async with Store(server.url, server.token) as store:
        when = {"&part": {"$eq": 7}}  # the engine reads label texts as numbers
        return sum([1 async for _ in store.query(f"{ROBOT}--log", ("log",), when=when)])


async def _fill(server: StoreProcess) -> None:
    began_s = time.monotonic()
    async with Store(server.url, server.token) as store:
        await pour(store, f"{ROBOT}--sensor", _chunks())
        await pour(store, f"{ROBOT}--media", _pictures())
    await fill(server.url, server.token, COUNT)
    print(f"{2 * COUNT:,} records written in {time.monotonic() - began_s:.0f} s", file=sys.stderr)


def _chunks() -> Iterator[Draft]:
    rng = np.random.default_rng(0)
    for at in range(720):
        times = T0_US + at * 5_000_000 + np.arange(500) * 10_000
        data = chunks.encode(times, {f"f{n}": rng.normal(size=500) for n in range(12)})
        yield blob(ROBOT, "imu", int(times[0]), data, chunks.CONTENT_TYPE, rows="500", t_end=str(times[-1]))


def _pictures() -> Iterator[Draft]:
    picture = b"\xff\xd8\xff" + os.urandom(60_000)
    return (blob(ROBOT, "cam", T0_US + n * 50_000, picture, "image/jpeg", type="images") for n in range(PICTURES))


def _row(name: str, value: float, unit: str, goal: str | None = None) -> Row:
    return {"name": name, "value": value, "unit": unit, "goal": goal}

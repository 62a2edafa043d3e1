"""50 robots x 31 streams at one store: a bucket per robot beside one shared bucket, records/s and the server's CPU."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from fleetbox.blobs import BucketSpec, Store
from fleetbox.records import Draft
from fleetbox_local.processes import StoreProcess

ROBOTS = 50
STREAMS = 31
WRITERS = 4  # what an edge sees: several robots' tasks at once
CHUNK_BYTES = 3_000  # one 5 s chunk of a 100 Hz stream is about that after packing
MEASURE_S = 12.0
QUOTA = BucketSpec("FIFO", 50_000_000_000)  # never reached: the price is in the summing, not in the evicting


@dataclass(frozen=True, slots=True)
class Layout:
    """Say which bucket and entry one robot's stream is in."""

    name: str
    bucket: Callable[[int], str]
    entry: Callable[[int, int], str]


PER_ROBOT = Layout("per robot", lambda r: f"r{r}--sensor", lambda r, s: f"s{s}")
SHARED = Layout("shared", lambda r: "sensor", lambda r, s: f"r{r}/s{s}")


@dataclass(frozen=True, slots=True)
class Outcome:
    """Hold records/s, and the server's CPU time per record in ms and its share of one core."""

    records_per_s: float
    cpu_ms: float
    cores: float


def run() -> list[dict[str, Any]]:
    """Measure both layouts on a fresh store each and return the rows."""
    per_robot, shared = (_measure(layout) for layout in (PER_ROBOT, SHARED))
    ratio = per_robot.records_per_s / shared.records_per_s
    title = f"{ROBOTS} robots x {STREAMS} streams, {WRITERS} writers"
    return [
        _row(f"{title}: bucket per robot (raw: one shared bucket)", per_robot.records_per_s, "rec/s",
             shared.records_per_s, ratio, "> 3x"),
        _row(f"{title}: server CPU a record", per_robot.cpu_ms, "ms", shared.cpu_ms, per_robot.cpu_ms / shared.cpu_ms),
        _row(f"{title}: server cores busy", per_robot.cores, "cores", shared.cores, None),
    ]  # fmt: skip


def _row(
    name: str, value: float, unit: str, raw: float, ratio: float | None, goal: str | None = None
) -> dict[str, Any]:
    return {"name": name, "value": value, "unit": unit, "raw": raw, "ratio": ratio, "goal": goal}


def _measure(layout: Layout) -> Outcome:
    with tempfile.TemporaryDirectory(prefix="fleetbox-bench-") as folder:
        server = StoreProcess(Path(folder) / "data", env={})
        server.start()
        try:
            server.wait_ready(60)
            return asyncio.run(_load(server, layout))
        finally:
            server.kill()


async def _load(server: StoreProcess, layout: Layout) -> Outcome:
    process = _process_on(server.port)
    async with Store(server.url, server.token) as store:
        for bucket in {layout.bucket(robot) for robot in range(ROBOTS)}:
            await store.ensure_bucket(bucket, QUOTA)
        await _write(store, layout, rounds=1, until_s=float("inf"))  # creates the entries: not what is measured
        cpu_s, started_s = sum(process.cpu_times()[:2]), time.perf_counter()
        written = await _write(store, layout, rounds=10_000, until_s=started_s + MEASURE_S)
        taken_s = time.perf_counter() - started_s
        used_s = sum(process.cpu_times()[:2]) - cpu_s
    return Outcome(written / taken_s, used_s / written * 1e3, used_s / taken_s)


async def _write(store: Store, layout: Layout, rounds: int, until_s: float) -> int:
    """Let each writer send its robots' streams, one record each, round after round."""

    async def writer(number: int) -> int:
        count = 0
        for _ in range(rounds):
            for robot in range(number, ROBOTS, WRITERS):
                now_us, data = time.time_ns() // 1000, os.urandom(CHUNK_BYTES)
                drafts = [
                    Draft(layout.entry(robot, stream), now_us, data, {"robot": f"r{robot}"}, "application/octet-stream")
                    for stream in range(STREAMS)
                ]
                report = await store.write(layout.bucket(robot), drafts)
                count += report.written
                if time.perf_counter() > until_s:
                    return count
        return count

    return sum(await asyncio.gather(*(writer(number) for number in range(WRITERS))))


def _process_on(port: int) -> psutil.Process:
    for process in psutil.Process().children(recursive=True):
        if any(c.laddr.port == port and c.status == psutil.CONN_LISTEN for c in process.net_connections()):
            return process
    raise RuntimeError(f"no child of this process listens on {port}")


if __name__ == "__main__":
    for line in run():
        print(line)
    sys.exit(0)

"""The recorder beside raw reduct-py in the same run: what a call costs, samples per second until readable, memory."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from reduct import Batch, Client

from fleetbox_edge.recorder import Recorder
from fleetbox_local.processes import StoreProcess

FIELDS = 12
RAW_SAMPLES = 8_000  # at about 1,500/s on two cores
RAW_BATCH = 80  # the engine's own limit
LOG_SAMPLES = 1_000_000
COLUMN_SAMPLES = 3_000_000
COLUMN_CALL = 1_000  # rows of one call: a second of a 1 kHz driver
ROUNDS = 3  # the machine is shared: the median round counts
PACED_S = 8.0  # at 1 kHz, as a control loop calls
RSS_S = 15.0
ROW = {f"f{index}": index * 0.1 for index in range(FIELDS)}

RSS_CHILD = """
import resource, sys
from fleetbox_edge.recorder import Recorder
from fleetbox_edge.simulate import run
with Recorder(sys.argv[1]) as recorder:
    run(recorder, "small", float(sys.argv[2]))
    recorder.flush(30)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def run() -> list[dict[str, Any]]:
    """Measure on a fresh store and return the rows."""
    with tempfile.TemporaryDirectory(prefix="fleetbox-bench-") as name:
        folder = Path(name)
        server = StoreProcess(folder / "data")
        server.start()
        server.wait_ready(30)
        try:
            return _measure(folder, server)
        finally:
            server.kill()


def _measure(folder: Path, server: StoreProcess) -> list[dict[str, Any]]:
    config = _config(folder / "up", server.url, server.token)
    down = _config(folder / "down", "http://127.0.0.1:9", "none")
    raw = asyncio.run(_raw(server))
    logged = _median(lambda: _log(config))
    columns = _median(lambda: _columns(config))
    rows = [
        _row(f"log() of {FIELDS} fields, until readable", logged, "samples/s", raw, ">= 150 000, >= 100x"),
        _row(f"log_columns() of {FIELDS} fields, until readable", columns, "samples/s", raw, ">= 500 000"),
    ]
    for state, file in (("", config), (", store down", down)):
        p50, p99 = _latency(file)
        rows += [
            _row(f"log() p50{state}", p50, "us", None, "<= 50"),
            _row(f"log() p99{state}", p99, "us", None, "<= 1 000"),
        ]
    return [*rows, _row("RSS of a recorder and its agent, small profile", _rss(config), "MB", None, "<= 400")]


def _row(name: str, value: float, unit: str, raw: float | None, goal: str) -> dict[str, Any]:
    return {"name": name, "value": value, "unit": unit, "raw": raw, "ratio": value / raw if raw else None, "goal": goal}


def _config(folder: Path, url: str, token: str) -> Path:
    folder.mkdir()
    (folder / "token").write_text(token)
    file = folder / "robot.toml"
    file.write_text(f'robot = "r1"\nstore = "{url}"\nstore_token = {{ file = "token" }}\nstate = "state"\n')
    return file


def _median(measure: Any) -> float:
    return float(sorted(measure() for _ in range(ROUNDS))[ROUNDS // 2])


async def _raw(server: StoreProcess) -> float:
    """Return samples/s of one record per sample, as text of its numbers would be at the smallest: 96 bytes."""
    payload = np.arange(FIELDS, dtype=float).tobytes()
    async with Client(server.url, api_token=server.token) as client:
        bucket = await client.create_bucket("raw", exist_ok=True)
        stamp = time.time_ns() // 1000
        started = time.perf_counter()
        for first in range(0, RAW_SAMPLES, RAW_BATCH):
            batch = Batch()
            for index in range(first, first + RAW_BATCH):
                batch.add(stamp + index, payload, labels={"robot": "r1"})
            await bucket.write_batch("imu", batch)
        return RAW_SAMPLES / (time.perf_counter() - started)


def _log(config: Path) -> float:
    with Recorder(config) as recorder:
        recorder.log("imu", ROW)
        recorder.flush(60)
        started = time.perf_counter()
        for _ in range(LOG_SAMPLES):
            recorder.log("imu", ROW)
        recorder.flush(120)
        return LOG_SAMPLES / (time.perf_counter() - started)


def _columns(config: Path) -> float:
    random = np.random.default_rng(1)
    times = time.time_ns() // 1000 + np.arange(COLUMN_SAMPLES) * 100
    arrays = {name: random.random(COLUMN_CALL) for name in ROW}
    with Recorder(config) as recorder:
        recorder.log("imu", ROW)
        recorder.flush(60)
        started = time.perf_counter()
        for first in range(0, COLUMN_SAMPLES, COLUMN_CALL):
            recorder.log_columns("bulk", times[first : first + COLUMN_CALL], arrays)
        recorder.flush(120)
        return COLUMN_SAMPLES / (time.perf_counter() - started)


def _latency(config: Path) -> tuple[float, float]:
    """Return p50 and p99 in µs of a call every millisecond, as a control loop makes it."""
    took = []
    with Recorder(config) as recorder:
        for _ in range(100):
            recorder.log("imu", ROW)
        gc.collect()
        due = time.perf_counter()
        while len(took) < PACED_S * 1_000:
            due += 0.001
            time.sleep(max(0.0, due - time.perf_counter()))
            before = time.perf_counter()
            recorder.log("imu", ROW)
            took.append(time.perf_counter() - before)
        recorder.close(0.5)
    took.sort()
    return took[len(took) // 2] * 1e6, took[int(len(took) * 0.99)] * 1e6


def _rss(config: Path) -> float:
    """Return the peak resident memory in MB of a process that records and does the duties."""
    command = [sys.executable, "-c", RSS_CHILD, str(config), str(RSS_S)]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[-1]) * 1024 / 1e6


if __name__ == "__main__":
    for row in run():
        print(row)

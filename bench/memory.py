"""How far the memory of a program grows that reads a long selection of many robots, at several lengths of it.

Eight robots of a bucket each hold pictures, rows in chunks of 5 s and small chunks of 1 s. Every way of reading runs
in a program of its own over the first part and then over all: a figure that grows with the length is a leak.
FLEETBOX_BENCH_GB="1,4,12" reads more; what was written goes at the end.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from bench.filling import T0_US, blob, pour
from fleetbox import chunks
from fleetbox.blobs import Store
from fleetbox.records import Draft
from fleetbox_local.processes import StoreProcess

LENGTHS_GB = tuple(float(one) for one in os.environ.get("FLEETBOX_BENCH_GB", "0.1,0.4").split(","))
ROBOTS = tuple(f"r{n}" for n in range(1, 9))
STEP_US = 5_000_000
PICTURES, PICTURE_BYTES = 20, 100_000  # a step of a robot: four a second
ROWS, FIELDS = 500, 12
STEP_BYTES = len(ROBOTS) * (PICTURES * PICTURE_BYTES + ROWS * (FIELDS + 1) * 8)
WAYS = ("records", "batches", "rollup", "mcap", "parquet")
READER = """
import sys
from pathlib import Path
from fleetbox.settings import load_fleet
from fleetbox_query.exports.exporting import export
from fleetbox_query.fleet import connect
def most_kb():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
_, fleet_file, way, start, short, stop, out = sys.argv
def read(asked, way):
    if way == "records":
        return sum(1 for _ in asked.records())
    if way == "batches":
        return sum(batch.table.num_rows for batch in asked.batches())
    if way == "rollup":
        return len(asked.rollup("1m"))
    return export(asked, way, out).tally.total
with connect(load_fleet(Path(fleet_file))) as fleet:
    asked = fleet.select("r*/imu" if way == "rollup" else "r*/**")
    read(asked.between(int(start), int(short)), way)
    before = most_kb()
    assert read(asked.between(int(start), int(stop)), way)
print(before / 1000, most_kb() / 1000)
"""

Row = dict[str, Any]


def run() -> list[Row]:
    """Return the peak of each way at each length."""
    folder = Path(tempfile.mkdtemp(prefix="fleetbox-bench-"))
    store = StoreProcess(folder / "data")
    store.start()
    try:
        store.wait_ready(60)
        asyncio.run(_fill(store, _steps(max(LENGTHS_GB))))
        (folder / "token").write_text(store.token)
        path = folder / "fleet.toml"
        path.write_text(f'fleet = "bench"\n[site.edge-1]\nstore = "{store.url}"\ntoken = {{ file = "token" }}\n')
        return [_row(path, way, length_gb) for way in WAYS for length_gb in LENGTHS_GB]
    finally:
        store.kill()
        shutil.rmtree(folder, ignore_errors=True)


def _row(path: Path, way: str, length_gb: float) -> Row:
    out = path.parent / ("out.mcap" if way == "mcap" else f"out-{way}")  # Parquet of many streams is a folder
    stop_us = T0_US + _steps(length_gb) * STEP_US
    short_us = T0_US + 2 * STEP_US  # what a program needs once: libraries, connections, buffers
    words = [str(path), way, *map(str, (T0_US, short_us, stop_us, out))]
    done = subprocess.run([sys.executable, "-c", READER, *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{way} of {length_gb:g} GB: {done.stderr[-2000:]}")
    if out.is_dir():
        shutil.rmtree(out)
    out.unlink(missing_ok=True)
    before, most = map(float, done.stdout.split())
    print(f"{way} of {length_gb:g} GB: {most:.0f} MB, of 10 s of it {before:.0f}", file=sys.stderr, flush=True)
    return {
        "name": f"memory of {way}, {length_gb:g} GB of {len(ROBOTS)} robots (raw: of 10 s of it)",
        "value": most, "unit": "MB", "raw": before, "ratio": most / before, "goal": "the same at each length",
    }  # fmt: skip


def _steps(length_gb: float) -> int:
    return max(3, round(length_gb * 1e9 / STEP_BYTES))


async def _fill(process: StoreProcess, steps: int) -> None:
    async with Store(process.url, process.token) as store:
        await asyncio.gather(
            *(pour(store, f"{robot}--media", _pictures(robot, steps)) for robot in ROBOTS),
            *(pour(store, f"{robot}--sensor", _chunks(robot, steps)) for robot in ROBOTS),
        )


def _pictures(robot: str, steps: int) -> Iterator[Draft]:
    data = b"\xff\xd8\xff" + os.urandom(PICTURE_BYTES - 3)
    for at in range(steps * PICTURES):
        yield blob(robot, "cam/front", T0_US + at * STEP_US // PICTURES, data, "image/jpeg", type="images")


def _chunks(robot: str, steps: int) -> Iterator[Draft]:
    values = np.random.default_rng(1).normal(size=ROWS)
    for step in range(steps):
        first_us = T0_US + step * STEP_US
        yield _chunk(robot, "imu", first_us + np.arange(ROWS) * (STEP_US // ROWS), values, FIELDS)
        for second in range(STEP_US // 1_000_000):
            times_us = first_us + second * 1_000_000 + np.arange(5) * 200_000
            yield _chunk(robot, "state", times_us, values[:5], 3)


def _chunk(robot: str, stream: str, times_us: Any, values: Any, fields: int) -> Draft:
    data = chunks.encode(times_us, {f"f{n}": values for n in range(fields)})
    own = {"rows": str(len(times_us)), "t_end": str(times_us[-1])}
    return blob(robot, stream, int(times_us[0]), data, chunks.CONTENT_TYPE, **own)

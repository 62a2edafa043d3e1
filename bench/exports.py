"""How fast streams leave as files: MCAP of a camera, and of rows, against reading the same from the store alone.

The store is a real one on this machine; the pictures are random bytes behind a JPEG's mark, which no compression
shrinks. An export fsyncs and hashes what it writes; the raw figure is reading the same records, writing nothing. The
libraries are loaded before: a second of imports would say little about ten minutes of rows. "of CPU time" is what it
costs on a machine whose disk and cores others use too.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import xxhash

from fleetbox import chunks
from fleetbox.blobs import BucketSpec, Store
from fleetbox.records import Draft
from fleetbox.settings import load_fleet
from fleetbox_local.processes import StoreProcess
from fleetbox_query.exports.exporting import export
from fleetbox_query.exports.job import Options
from fleetbox_query.fleet import connect
from fleetbox_query.selection import Selection

START_US = 1_760_000_000_000_000
PICTURES, PICTURE_BYTES = 3_000, 100_000  # 100 s of a camera at 30 Hz
ROWS, FIELDS = 60_000, 12  # ten minutes of 100 Hz
LONG = 20_000  # pictures, 2 GB: far more than an export may hold in memory
LONG_STEP_US = 33_333
MEMORY = """
import sys
from pathlib import Path
from fleetbox.settings import load_fleet
from fleetbox_query.exports.exporting import export
from fleetbox_query.fleet import connect
def most_kb():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
with connect(load_fleet(Path(sys.argv[1]))) as fleet:
    small = fleet.select("r1/cam/front").between(int(sys.argv[3]), int(sys.argv[3]) + 1_000_000)
    export(small, "mcap", sys.argv[2])
    before = most_kb()
    done = export(fleet.select("r1/cam/long"), "mcap", sys.argv[2])
assert done.tally.total == int(sys.argv[4]), done.tally
print((most_kb() - before) / 1000)
"""


def run() -> list[dict[str, Any]]:
    """Measure each format on one store."""
    folder = Path(tempfile.mkdtemp(prefix="fleetbox-bench-"))
    store = StoreProcess(folder / "data")
    store.start()
    try:
        store.wait_ready(60)
        asyncio.run(_fill(store))
        return _measure(store, folder)
    finally:
        store.kill()
        shutil.rmtree(folder, ignore_errors=True)


def _measure(store: StoreProcess, folder: Path) -> list[dict[str, Any]]:
    (folder / "token").write_text(store.token)
    (folder / "fleet.toml").write_text(
        f'fleet = "bench"\n[site.edge-1]\nstore = "{store.url}"\ntoken = {{ file = "token" }}\n'
    )
    with connect(load_fleet(folder / "fleet.toml")) as fleet:
        stop_us = START_US + 4_000_000_000
        camera = fleet.select("r1/cam/front").between(START_US, stop_us)
        rows = fleet.select("r1/imu").between(START_US, stop_us)
        read_s = _seconds(lambda: [None for _ in camera.records()])
        size_mb = PICTURES * PICTURE_BYTES / 1e6
        made = [_row("MCAP, 100 kB pictures", camera, "mcap", folder, size_mb, read_s, ">= 150 MB/s")]
        made.append(_row("JPEG files, 100 kB pictures", camera, "jpeg", folder, size_mb, read_s, None))
        table_s = _seconds(rows.arrow)
        size_mb = ROWS * (FIELDS + 1) * 8 / 1e6
        for format_ in ("parquet", "csv", "hdf5", "safetensors", "mcap"):
            made.append(_row(f"{format_}, ten minutes of 100 Hz x 12", rows, format_, folder, size_mb, table_s, None))
    made = [row for rows_ in made for row in rows_]
    return [*made, _memory(folder)]


def _memory(folder: Path) -> dict[str, Any]:
    """Return how far the memory of a program grows that exports 2 GB."""
    words = [
        sys.executable,
        "-c",
        MEMORY,
        str(folder / "fleet.toml"),
        str(folder / "long.mcap"),
        str(START_US),
        str(LONG),
    ]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    name = f"memory of exporting {LONG * PICTURE_BYTES / 1e9:g} GB of pictures to MCAP"
    return {"name": name, "value": float(done.stdout), "unit": "MB", "raw": None, "ratio": None, "goal": "<= 400"}


def _row(
    name: str, asked: Selection, format_: str, folder: Path, size_mb: float, raw_s: float, goal: str | None
) -> list[dict[str, Any]]:
    out = folder / f"out.{format_}" if format_ != "jpeg" else folder / "out"
    export(asked.between(START_US, START_US + 10_000_000), format_, out, Options())
    used_s = time.process_time()
    took_s = _seconds(lambda: export(asked, format_, out, Options()))
    used_s = time.process_time() - used_s
    rate, raw = size_mb / took_s, size_mb / raw_s
    shutil.rmtree(out) if out.is_dir() else out.unlink()
    whole = {"name": f"export {name}", "value": rate, "unit": "MB/s", "raw": raw, "ratio": rate / raw, "goal": goal}
    cpu = {"name": f"export {name}, of CPU time", "value": size_mb / used_s, "unit": "MB/s"}
    return [whole, {**cpu, "raw": None, "ratio": None, "goal": None}]


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


async def _fill(process: StoreProcess) -> None:
    random = np.random.default_rng(7)
    async with Store(process.url, process.token, name="edge-1") as store:
        for cls in ("media", "sensor"):
            await store.ensure_bucket(f"r1--{cls}", BucketSpec("NONE", 0))
        data = b"\xff\xd8\xff" + os.urandom(PICTURE_BYTES - 3)
        labels = {"robot": "r1", "type": "images", "xxh": xxhash.xxh3_64_hexdigest(data)}
        for first in range(0, PICTURES, 50):
            times = [START_US + at * 33_333 for at in range(first, first + 50)]
            await store.write("r1--media", [Draft("cam/front", at, data, labels, "image/jpeg") for at in times])
        for first in range(0, LONG, 50):
            times = [START_US + at * LONG_STEP_US for at in range(first, first + 50)]
            await store.write("r1--media", [Draft("cam/long", at, data, labels, "image/jpeg") for at in times])
        drafts = []
        for first in range(0, ROWS, 500):
            times = [START_US + at * 10_000 for at in range(first, first + 500)]
            body = chunks.encode(times, {f"f{at}": random.normal(size=500) for at in range(FIELDS)})
            own = {"rows": "500", "t_end": str(times[-1]), "type": "time_series", "robot": "r1"}
            drafts.append(Draft("imu", times[0], body, own, chunks.CONTENT_TYPE))
        for at in range(0, len(drafts), 50):
            await store.write("r1--sensor", drafts[at : at + 50])

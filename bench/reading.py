"""Read one hour of one 100 Hz 12-field stream into a DataFrame, and weigh chunk lengths and compressions by it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
import xxhash

from bench.serving import SITE, Served, serving
from bench.timing import median_ms
from fleetbox import chunks
from fleetbox.blobs import BucketSpec, Store
from fleetbox.records import Draft
from fleetbox_local.processes import StoreProcess
from fleetbox_query.fleet import Fleet, connect

SECONDS = 3_600
RATE_HZ = 100
FIELDS = 12
T0_US = 1_760_000_000_000_000
LENGTHS_S = (1, 5, 10)
COMPRESSIONS: tuple[Literal["none", "lz4", "zstd"], ...] = ("none", "lz4", "zstd")
GOAL_MS = 1_000.0
ROBOT = "r1"

Row = dict[str, Any]


def run() -> list[Row]:
    """Return the rows of the benchmark; times in ms, sizes in MB."""
    with serving() as served:
        return _measure(served)


def _measure(served: Served) -> list[Row]:
    sizes = asyncio.run(_fill(served.store))
    rows: list[Row] = []
    with connect(served.fleet()) as fleet:
        frame = fleet.select(f"{ROBOT}/{_stream(5, 'none')}").frames()
        if frame.shape != (SECONDS * RATE_HZ, FIELDS):
            raise SystemExit(f"read back {frame.shape}")
        for length_s in LENGTHS_S:
            for compression in COMPRESSIONS:
                stream = _stream(length_s, compression)
                took = median_ms(_reads(fleet, stream))
                raw = median_ms(lambda stream=stream: asyncio.run(_raw(served.store, stream)))  # type: ignore[misc]
                name = f"1 h read, {length_s} s chunks, {compression}, {sizes[stream] / 1e6:.0f} MB"
                goal = f"< {GOAL_MS:.0f} ms" if length_s * 1_000_000 == chunks.BOUND_US else None
                rows.append({"name": name, "value": took, "unit": "ms", "raw": raw, "ratio": took / raw, "goal": goal})
        rows.append(_rows_row(fleet))
    return rows


def _reads(fleet: Fleet, stream: str) -> Callable[[], object]:
    return lambda: fleet.select(f"{ROBOT}/{stream}").frames()


def _rows_row(fleet: Fleet) -> Row:
    """Measure the way without pandas, as the command line's ndjson takes it."""
    stream = _stream(5, "none")
    started = time.perf_counter()
    count = sum(1 for _ in fleet.select(f"{ROBOT}/{stream}").records())
    rate = count / (time.perf_counter() - started)
    return {"name": "records(), plain rows", "value": rate, "unit": "rows/s", "raw": None, "ratio": None, "goal": None}


async def _raw(server: StoreProcess, stream: str) -> int:
    """Read the same bytes with raw reduct-py, undecoded."""
    from reduct import Client

    async with Client(server.url, api_token=server.token, timeout=60) as client:
        bucket = await client.get_bucket(f"{ROBOT}--sensor")
        total = 0
        async for record in bucket.query(stream):
            total += len(await record.read_all())
        return total


async def _fill(server: StoreProcess) -> dict[str, int]:
    sizes = {}
    async with Store(server.url, server.token, name=SITE) as store:
        await store.ensure_bucket(f"{ROBOT}--sensor", BucketSpec("NONE", 0))
        for length_s in LENGTHS_S:
            for compression in COMPRESSIONS:
                drafts = _drafts(length_s, compression)
                report = await store.write(f"{ROBOT}--sensor", drafts)
                if report.refused:
                    raise SystemExit(f"refused: {report.refused[0]}")
                stream = _stream(length_s, compression)
                sizes[stream] = sum(len(draft.data) for draft in drafts)
                schema = {"type": "time_series", "fields": {}, "chunk_bound_us": length_s * 1_000_000}
                await store.write_attachment(f"{ROBOT}--sensor", stream, "schema", schema)
    return sizes


def _drafts(length_s: int, compression: Literal["none", "lz4", "zstd"]) -> Sequence[Draft]:
    """Return an hour of chunks: smooth signals with sensor noise, as an IMU and joints give them."""
    noise = np.random.default_rng(1)
    rows = length_s * RATE_HZ
    out = []
    for first in range(0, SECONDS * RATE_HZ, rows):
        times = T0_US + (np.arange(first, first + rows) * (1_000_000 // RATE_HZ))
        phase = np.arange(first, first + rows) / RATE_HZ
        columns = {f"f{n}": np.sin(phase * (n + 1)) + noise.normal(0, 0.01, rows) for n in range(FIELDS)}
        data = chunks.encode(times, columns, compression=compression)
        labels = {
            "robot": ROBOT, "type": "time_series", "rows": str(rows), "t_end": str(times[-1]),
            "seq": str(first), "session": "bench", "xxh": xxhash.xxh3_64_hexdigest(data),
        }  # fmt: skip
        out.append(Draft(_stream(length_s, compression), int(times[0]), data, labels, chunks.CONTENT_TYPE))
    return out


def _stream(length_s: int, compression: str) -> str:
    return f"imu-{length_s}s-{compression}"


if __name__ == "__main__":
    for row in run():
        raw = "" if row["raw"] is None else f"raw {row['raw']:8.0f}  ratio {row['ratio']:.2f}"
        print(f"{row['name']:<44} {row['value']:9.0f} {row['unit']:<7} {raw}  {row['goal'] or ''}")

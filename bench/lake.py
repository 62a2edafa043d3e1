"""Sync an hour of ten 100 Hz streams into a lake, then nothing, then one late record; read a day's means from it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import xxhash
from deltalake import DeltaTable

from bench.serving import SITE, Served, serving
from bench.timing import median_ms, timed
from fleetbox import chunks
from fleetbox.blobs import BucketSpec, Store
from fleetbox.naming import site_bucket
from fleetbox.records import Draft
from fleetbox_local.processes import StoreProcess
from fleetbox_query.fleet import Fleet, connect
from fleetbox_query.lake import sync_lake
from fleetbox_replication.census import Census, CensusScope

SECONDS = 3_600
RATE_HZ = 100
STREAMS = 10
FIELDS = 12
CHUNK_S = 5
T0_US = 1_760_054_400_000_000
ROBOT = "r1"
GOAL_ROWS_PER_S = 100_000  # ten times what 100 robots of one such stream record

Row = dict[str, Any]


def run() -> list[Row]:
    """Return the rows of the benchmark."""
    with serving() as served:
        return _measure(served)


def _measure(served: Served) -> list[Row]:
    server, folder = served.store, served.folder
    asyncio.run(_fill(server, folder))
    rows = STREAMS * SECONDS * RATE_HZ
    with connect(served.fleet()) as fleet:
        lake = folder / "lake"
        first_s, synced = timed(lambda: sync_lake(fleet.session, lake))
        if synced.total("rows") != rows or not synced.complete:
            raise SystemExit(f"synced {synced.total('rows')} of {rows} rows")
        nothing_s, _ = timed(lambda: sync_lake(fleet.session, lake))
        asyncio.run(_late(server, folder))
        late_s, synced = timed(lambda: sync_lake(fleet.session, lake))
        if synced.total("rows") != RATE_HZ * CHUNK_S:
            raise SystemExit(f"a late record brought {synced.total('rows')} rows")
        raw_ms = median_ms(lambda: _by_sdk(fleet))
        read_ms = median_ms(lambda: _by_lake(lake))
    stored = sum(path.stat().st_size for path in lake.glob("scalars/**/*.parquet"))
    return [
        _row("lake: first sync of 10 streams x 1 h", rows / first_s, "rows/s", goal=GOAL_ROWS_PER_S),
        _row("lake: its size beside the chunks'", stored / 1e6, "MB", raw=_chunk_bytes() / 1e6),
        _row("lake: sync with nothing new", nothing_s * 1e3, "ms"),
        _row("lake: one late record among 7,200", late_s * 1e3, "ms"),
        _row("lake: mean per minute of 1 h, DuckDB, against frames()", read_ms, "ms", raw=raw_ms),
    ]


def _by_lake(lake: Path) -> None:
    held = DeltaTable(str(lake / "scalars" / "s0")).to_pyarrow_dataset()
    asked = "SELECT epoch_us(time_us) // 60000000, avg(f0) FROM held GROUP BY 1"
    if duckdb.from_arrow(held).query("held", asked).to_arrow_table().num_rows < SECONDS // 60:
        raise SystemExit("minutes are missing")


def _by_sdk(fleet: Fleet) -> None:
    frame = fleet.select(f"{ROBOT}/s0:f0").frames()
    if len(frame["f0"].resample("1min").mean()) < SECONDS // 60:
        raise SystemExit("minutes are missing")


async def _fill(server: StoreProcess, folder: Path) -> None:
    async with Store(server.url, server.token) as store:
        for cls in ("sensor", "meta"):
            await store.ensure_bucket(site_bucket(ROBOT, cls), BucketSpec("NONE", 0))
        for stream in range(STREAMS):
            drafts = [_chunk(stream, at) for at in range(SECONDS // CHUNK_S)]
            await store.write(site_bucket(ROBOT, "sensor"), drafts)
        await _tell(store, folder)


async def _late(server: StoreProcess, folder: Path) -> None:
    async with Store(server.url, server.token) as store:
        await store.write(site_bucket(ROBOT, "sensor"), [_chunk(0, SECONDS // CHUNK_S // 2, T0_US + 1)])
        await _tell(store, folder)


async def _tell(store: Store, folder: Path) -> None:
    async def own() -> list[str]:
        return [ROBOT]

    census = Census(lambda: store, CensusScope(SITE, own, site_bucket), folder / "census")
    while await census.flush():
        pass


def _chunk(stream: int, at: int, zero_us: int = T0_US) -> Draft:
    noise = np.random.default_rng(at)
    count = CHUNK_S * RATE_HZ
    times = zero_us + (np.arange(count) + at * count) * (1_000_000 // RATE_HZ)
    data = chunks.encode(times, {f"f{n}": noise.normal(size=count).round(4) for n in range(FIELDS)})
    labels = {
        "robot": ROBOT, "type": "time_series", "session": "s", "seq": str(at * count), "rows": str(count),
        "t_end": str(times[-1]), "xxh": xxhash.xxh3_64_hexdigest(data),
    }  # fmt: skip
    return Draft(f"s{stream}", int(times[0]), data, labels, chunks.CONTENT_TYPE)


def _chunk_bytes() -> float:
    return float(len(_chunk(0, 0).data) * STREAMS * SECONDS // CHUNK_S)


def _row(name: str, value: float, unit: str, raw: float | None = None, goal: object = None) -> Row:
    return {"name": name, "value": value, "unit": unit, "raw": raw, "goal": goal}

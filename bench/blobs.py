"""Blobs through the port beside raw reduct-py in the same run: MB/s written and read, and the client's CPU."""

from __future__ import annotations

import asyncio
import os
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reduct import Bucket, Client, RecordBatch

from fleetbox.blobs import BucketSpec, Store
from fleetbox.records import Draft
from fleetbox_local.processes import StoreProcess

BATCH_BYTES = 8_000_000  # what the raw client sends at once, as upstream's own benchmark does
BATCH_RECORDS = 80
ROUNDS = 5  # raw and ours take turns; the median of the ratios is reported
RING = BucketSpec("FIFO", 50_000_000_000)


@dataclass(frozen=True, slots=True)
class Load:
    """Say what is written: so many blobs of a size, over so many entries, like cameras of one robot."""

    name: str
    size: int
    count: int
    entries: int


LOADS = (
    Load("100 kB blobs, 1 stream", 100_000, 1_200, 1),
    Load("100 kB blobs, 4 streams", 100_000, 1_200, 4),
    Load("2 MB blobs, 1 stream", 2_000_000, 100, 1),
    Load("2 MB blobs, 4 streams", 2_000_000, 100, 4),
    Load("256 KiB chunks, 31 streams", 262_144, 600, 31),
)
SMALL = Load("200 B records, 5 streams", 200, 4_000, 5)


@dataclass(frozen=True, slots=True)
class Pace:
    """Hold bytes/s and the client's CPU in ms a record."""

    bytes_per_s: float
    cpu_ms: float


def run() -> list[dict[str, Any]]:
    """Measure on a fresh store and return the rows."""
    with tempfile.TemporaryDirectory(prefix="fleetbox-bench-") as folder:
        server = StoreProcess(Path(folder) / "data")
        server.start()
        try:
            server.wait_ready(60)
            return asyncio.run(_measure(server.url, server.token))
        finally:
            server.kill()


async def _measure(url: str, token: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    async with Client(url, token, timeout=30) as client, Store(url, token) as store:
        for load in LOADS:
            rows += await _rows(client, store, load, writing=True)
        rows += await _rows(client, store, SMALL, writing=False)
    return rows


async def _rows(client: Client, store: Store, load: Load, *, writing: bool) -> list[dict[str, Any]]:
    raw: list[Pace] = []
    ours: list[Pace] = []
    for number in range(ROUNDS):
        name = f"bench-{time.time_ns()}"
        await store.ensure_bucket(name, RING)
        bucket = await client.get_bucket(name)
        turns = [(raw, "raw", _write_raw(bucket)), (ours, "ours", _write_ours(store, name))]
        if not writing:
            await _write_ours(store, name)(_drafts(load, "ours"))
            turns = [(raw, "", _read_raw(bucket, load)), (ours, "", _read_ours(store, name, load))]
        for paces, prefix, work in turns if number % 2 else reversed(turns):
            paces.append(await _timed(work, _drafts(load, prefix), load))
        await store.remove_bucket(name)
    ratio = statistics.median(our.bytes_per_s / other.bytes_per_s for our, other in zip(ours, raw, strict=True))
    did = "written" if writing else "read"
    title = f"{load.name} {did}"
    return [
        _row(title, "MB/s", _median(ours, "bytes_per_s") / 1e6, _median(raw, "bytes_per_s") / 1e6, ratio, ">= 0.9x"),
        _row(f"{title}: client CPU a record", "ms", _median(ours, "cpu_ms"), _median(raw, "cpu_ms")),
    ]


async def _timed(work: Callable[[Sequence[Draft]], Awaitable[None]], drafts: Sequence[Draft], load: Load) -> Pace:
    cpu_s, start_s = _cpu_s(), time.perf_counter()
    await work(drafts)
    took_s = time.perf_counter() - start_s
    return Pace(load.size * load.count / took_s, 1e3 * (_cpu_s() - cpu_s) / load.count)


def _write_raw(bucket: Bucket) -> Callable[[Sequence[Draft]], Awaitable[None]]:
    async def work(drafts: Sequence[Draft]) -> None:
        step = max(1, min(BATCH_RECORDS, BATCH_BYTES // len(drafts[0].data)))
        for start in range(0, len(drafts), step):
            batch = RecordBatch()
            for draft in drafts[start : start + step]:
                batch.add(draft.entry, draft.time_us, draft.data, content_type=draft.content_type, labels=draft.labels)
            errors = await bucket.write_record_batch(batch)
            assert not errors, errors

    return work


def _write_ours(store: Store, bucket: str) -> Callable[[Sequence[Draft]], Awaitable[None]]:
    async def work(drafts: Sequence[Draft]) -> None:
        report = await store.write(bucket, drafts)
        assert report.written == len(drafts), report

    return work


def _read_raw(bucket: Bucket, load: Load) -> Callable[[Sequence[Draft]], Awaitable[None]]:
    async def work(drafts: Sequence[Draft]) -> None:
        sizes = [len(await record.read_all()) async for record in bucket.query(["*"])]
        assert len(sizes) == load.count, sizes

    return work


def _read_ours(store: Store, bucket: str, load: Load) -> Callable[[Sequence[Draft]], Awaitable[None]]:
    async def work(drafts: Sequence[Draft]) -> None:
        sizes = [len(record.data) async for record in store.query(bucket)]
        assert len(sizes) == load.count, sizes

    return work


def _drafts(load: Load, prefix: str) -> list[Draft]:
    data = os.urandom(load.size)
    labels = {"robot": "r1", "type": "images", "session": "b4nch"}
    return [
        Draft(
            f"{prefix}{number % load.entries}",
            1_000_000 + number,
            data,
            {**labels, "seq": str(number), "xxh": f"{number:016x}"},
            "application/octet-stream",
        )
        for number in range(load.count)
    ]


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _median(paces: Sequence[Pace], field: str) -> float:
    return statistics.median(getattr(pace, field) for pace in paces)


def _row(
    name: str, unit: str, value: float, raw: float, ratio: float | None = None, goal: str | None = None
) -> dict[str, Any]:
    shown = value / raw if ratio is None and raw else ratio
    return {"name": name, "value": value, "unit": unit, "raw": raw, "ratio": shown, "goal": goal}


if __name__ == "__main__":
    from bench.__main__ import main

    sys.exit(main(["blobs"]))

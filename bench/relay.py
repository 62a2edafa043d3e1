"""The relay beside the direct hop in the same run: MB/s and records/s from the first record to the last arrived."""

from __future__ import annotations

import asyncio
import resource
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fleetbox.blobs import BucketSpec, Store, TaskSpec
from fleetbox.records import Draft
from fleetbox_local.processes import StoreProcess
from fleetbox_replication.relay import Relay
from fleetbox_replication.relay_secret import relay_secret

ROUNDS = 3  # direct and relayed take turns; the median of the ratios is reported
RING = BucketSpec("NONE", 0)
BASE_US = 1_700_000_000_000_000


@dataclass(frozen=True, slots=True)
class Load:
    """Say what crosses the hop: so many records of a size, over so many streams, and the goal as a ratio."""

    name: str
    size: int
    count: int
    streams: int
    goal: str


LOADS = (
    Load("relay, 4 kB chunks, 4 streams", 4_000, 4_000, 4, ">= 0.7x direct"),
    Load("relay, 1 MB blobs, 2 streams", 1_000_000, 300, 2, ">= 0.5x direct"),
)


def run() -> list[dict[str, Any]]:
    """Measure on fresh stores and return the rows."""
    return asyncio.run(_run())


async def _run() -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="fleetbox-bench-") as folder:
        async with _hop(Path(folder)) as (here, there, urls):
            for load in LOADS:
                rows += await _rows(here, there, urls, load)
    return rows


async def _rows(here: Store, there: Store, urls: Sequence[tuple[str, str]], load: Load) -> list[dict[str, Any]]:
    direct, relayed, ratios, cpu_ms = [], [], [], []
    for _ in range(ROUNDS):
        direct.append(await _pace(here, there, load, *urls[0]))
        before_s = _cpu_s()
        relayed.append(await _pace(here, there, load, *urls[1]))
        cpu_ms.append((_cpu_s() - before_s) / load.count * 1000)
        ratios.append(relayed[-1] / direct[-1])
    unit, scale = ("MB/s", load.size / 1e6) if load.size > 100_000 else ("records/s", 1.0)
    value, raw = (statistics.median(paces) * scale for paces in (relayed, direct))
    shown = {"name": load.name, "value": value, "unit": unit, "raw": raw, "ratio": statistics.median(ratios)}
    cost = {"name": f"{load.name}: relay's CPU", "value": statistics.median(cpu_ms), "unit": "ms/record"}
    return [{**shown, "goal": load.goal}, {**cost, "raw": None, "ratio": None, "goal": None}]


async def _pace(here: Store, there: Store, load: Load, url: str, token: str) -> float:
    """Return records/s through a task that ships to `url`: records wait in the source, then are relabelled at once."""
    bucket = f"b{time.monotonic_ns()}"
    await here.ensure_bucket(bucket, RING)
    await there.ensure_bucket(bucket, RING)
    await _fill(here, bucket, load)
    await here.put_task(TaskSpec(bucket, bucket, bucket, url, token, (), None))
    times = {f"s{stream}": _times(load) for stream in range(load.streams)}
    await here.relabel(bucket, {entry: own[:1] for entry, own in times.items()}, {"keep": "1"})
    await _arrived(there, bucket, load.streams)  # the task is connected
    started = time.perf_counter()
    await here.relabel(bucket, {entry: own[1:] for entry, own in times.items()}, {"keep": "1"})
    await _arrived(there, bucket, load.count)
    took_s = time.perf_counter() - started
    await here.remove_task(bucket)
    await here.remove_bucket(bucket)
    await there.remove_bucket(bucket)
    return load.count / took_s


async def _fill(here: Store, bucket: str, load: Load) -> None:
    data = bytes(range(256)) * (load.size // 256 + 1)
    for stream in range(load.streams):
        drafts = [Draft(f"s{stream}", at, data[: load.size], {"seq": str(at)}, "image/jpeg") for at in _times(load)]
        for start in range(0, len(drafts), 80):
            await here.write(bucket, drafts[start : start + 80])


def _times(load: Load) -> list[int]:
    return [BASE_US + step * 10_000 for step in range(load.count // load.streams)]


async def _arrived(there: Store, bucket: str, count: int) -> None:
    """Wait until the destination counts so many records; nothing is cut here, so its count is true."""
    while sum(entry.records for entry in await there.entries(bucket)) < count:  # noqa: ASYNC110 - nothing tells
        await asyncio.sleep(0.01)


@asynccontextmanager
async def _hop(folder: Path) -> AsyncIterator[tuple[Store, Store, list[tuple[str, str]]]]:
    servers = [StoreProcess(folder / name) for name in ("here", "there")]
    try:
        for server in servers:
            server.start()
            server.wait_ready(60)
        source, destination = servers
        secret = relay_secret(source.token)
        relay = Relay("http://127.0.0.1:0", destination.url, destination.token, secret)
        await relay.start()
        async with Store(source.url, source.token) as here, Store(destination.url, destination.token) as there:
            yield here, there, [(destination.url, destination.token), (relay.url, secret)]
        await relay.stop()
    finally:
        for server in servers:
            server.kill()


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime

"""The relay's cap and order: how true the cap is on the wire, and how soon an event passes a backlog of 1 GB."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fleetbox.blobs import BucketSpec, Store, TaskSpec
from fleetbox.records import Draft
from fleetbox.settings import Uplink
from fleetbox_local.links import Link
from fleetbox_local.processes import StoreProcess
from fleetbox_replication.filters import hop_filter
from fleetbox_replication.relay import Pace, Relay, RelayOptions

CAPS = (1_000_000, 20_000_000)  # bytes/s: a mobile uplink of 8 Mbit/s, a shared office line
WINDOW_S = 10.0  # the cap is judged over any ten seconds
BACKLOG_BYTES = 1_000_000_000  # in full, not scaled: it waits in the source, and nothing of it is read to the end
SMALL_BACKLOG_BYTES = 60_000_000  # for the slow cap: it lasts a minute, and what is measured ends long before
BLOB_BYTES = 1_000_000
CLASSES = ("media", "sensor", "kept")  # what the event has to pass, all at once
EVENTS = 5  # one after the other; the slowest is told
RING = BucketSpec("NONE", 0)
BASE_US = 1_700_000_000_000_000


def run() -> list[dict[str, Any]]:
    """Measure on fresh stores and return the rows."""
    return asyncio.run(_run())


@dataclass(frozen=True, slots=True)
class _Small:
    bucket: str
    entry: str
    size: int


EVENT = _Small("r1--meta", "event", 500)
SMALL_FRAME = _Small("r1--small", "s0/preview", 40_000)


@dataclass(frozen=True, slots=True)
class _Hop:
    here: Store
    there: Store
    relay: Relay
    link: Link


async def _run() -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for cap in CAPS:
        backlog = BACKLOG_BYTES if cap == max(CAPS) else SMALL_BACKLOG_BYTES
        with tempfile.TemporaryDirectory(prefix="fleetbox-bench-") as folder:
            async with _hop(Path(folder), cap) as hop:
                rows += await _rows(hop, cap, backlog)
    return rows


async def _rows(hop: _Hop, cap: int, backlog: int) -> list[dict[str, Any]]:
    for cls in (*CLASSES, "small", "meta"):
        bucket = f"r1--{cls}"
        await hop.here.ensure_bucket(bucket, RING)
        await hop.there.ensure_bucket(bucket, RING)
        when = hop_filter(cls, from_robot=True, uplink=Uplink.model_construct(max=cap))
        await hop.here.put_task(TaskSpec(bucket, bucket, bucket, hop.relay.url, "secret", ("*",), when))
    for cls in CLASSES:
        await _fill(hop.here, f"r1--{cls}", backlog // len(CLASSES))
    await _moving(hop)
    watching = asyncio.create_task(_windows(hop.link))
    took_s = [await _arrives(hop, EVENT, number) for number in range(EVENTS)]
    small_s = [await _arrives(hop, SMALL_FRAME, number) for number in range(EVENTS)]
    paces = await watching
    name = f"pacing, cap {cap / 1e6:g} MB/s"
    far_off = max(paces, key=lambda pace: abs(pace / cap - 1))
    behind = f"past {backlog / 1e9:g} GB of backlog, cap {cap / 1e6:g} MB/s"
    return [
        {"name": f"{name}: the worst 10 s on the wire", "value": far_off / 1e6, "unit": "MB/s", "raw": cap / 1e6,
         "ratio": far_off / cap, "goal": "within 10 %"},
        {"name": f"event {behind}", "value": max(took_s), "unit": "s", "raw": None, "ratio": None, "goal": "<= 5 s"},
        {"name": f"preview {behind}", "value": max(small_s), "unit": "s", "raw": None, "ratio": None,
         "goal": "<= 10 s"},
    ]  # fmt: skip


async def _fill(here: Store, bucket: str, size: int) -> None:
    data = bytes(range(256)) * (BLOB_BYTES // 256 + 1)
    for number in range(size // BLOB_BYTES):
        at_us = BASE_US + number * 10_000
        labels = {"keep": "1", "seq": str(number)}
        await here.write(bucket, [Draft(f"s{number % 4}", at_us, data[:BLOB_BYTES], labels, "image/jpeg")])


async def _moving(hop: _Hop) -> None:
    """Wait until every class is on the wire."""
    while hop.relay.pace.waiting < len(CLASSES):  # noqa: ASYNC110 - nothing tells
        await asyncio.sleep(0.05)


async def _windows(link: Link) -> list[float]:
    """Return the bytes a second on the wire over every window of ten seconds within twenty, a second apart."""
    seen: list[tuple[float, int]] = []
    for _ in range(int(2 * WINDOW_S) + 1):
        seen.append((time.monotonic(), link.bytes_up))
        await asyncio.sleep(1.0)
    steps = int(WINDOW_S)
    pairs = zip(seen, seen[steps:], strict=False)
    return [(after - before) / (later_s - since_s) for (since_s, before), (later_s, after) in pairs]


async def _arrives(hop: _Hop, what: _Small, number: int) -> float:
    """Return how long one small record takes from its write to being readable at the destination, in s."""
    started = time.monotonic()
    at_us = BASE_US + number
    await hop.here.write(what.bucket, [Draft(what.entry, at_us, bytes(what.size), {"keep": "1"}, "image/jpeg")])
    while what.entry not in {info.name for info in await hop.there.entries(what.bucket)} or not [  # noqa: ASYNC110
        head async for head in hop.there.query(what.bucket, (what.entry,), start_us=at_us, stop_us=at_us + 1, head=True)
    ]:
        await asyncio.sleep(0.02)
    return time.monotonic() - started


@asynccontextmanager
async def _hop(folder: Path, cap: int) -> AsyncIterator[_Hop]:
    servers = [StoreProcess(folder / name) for name in ("here", "there")]
    try:
        for server in servers:
            server.start()
            server.wait_ready(60)
        source, destination = servers
        with Link("127.0.0.1", destination.port) as link:
            relay = Relay("http://127.0.0.1:0", link.url, destination.token, "secret", RelayOptions(pace=Pace(cap)))
            await relay.start()
            async with Store(source.url, source.token) as here, Store(destination.url, destination.token) as there:
                yield _Hop(here, there, relay, link)
            await relay.stop()
    finally:
        for server in servers:
            server.kill()

"""What reconciling costs: an hour checked, bytes on the wire, holes found among many records, repair throughput."""

from __future__ import annotations

import asyncio
import random
import statistics
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import xxhash

from fleetbox.blobs import BucketSpec, Store, TaskSpec
from fleetbox.ledger import MINUTE_US, Line, Page, Span, count_of, minute_of, write_page
from fleetbox.naming import CLASSES, site_bucket
from fleetbox.records import Draft, Head
from fleetbox_local.processes import StoreProcess
from fleetbox_replication.filters import hop_filter
from fleetbox_replication.reconcile import Options, Reconciler, Route

ROBOT = "r1"
BASE_US = 1_700_000_040_000_000  # the start of a minute
STREAMS, CHUNK_S = 31, 5  # a robot of the size the field has, in chunks of the packer's bound
HOLES = 1_000
LOOKS = 12  # a minute of them
RECORDS = 100_000  # a soak takes 1,000,000
REPAIRED, REPAIRED_BYTES, ROUNDS = 2_000, 4_000, 3
NOWHERE = "http://127.0.0.1:9"


def run(records: int = RECORDS) -> list[dict[str, Any]]:
    """Measure on fresh stores and return the rows; `records` is how many the holes are punched into."""
    return asyncio.run(_run(records))


async def _run(records: int) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="fleetbox-bench-") as folder:
        async with _pair(Path(folder)) as pair:
            rows += await _hour(pair)
        async with _pair(Path(folder) / "holes") as pair:
            rows += await _holes(pair, records)
        async with _pair(Path(folder) / "repair") as pair:
            rows += await _repair(pair)
    return rows


# -- an hour with nothing missing -------------------------------------------------------------------------------------


async def _hour(pair: Pair) -> list[dict[str, Any]]:
    minutes = STREAMS * 60
    times = range(0, 3600, CHUNK_S)
    for stream in range(STREAMS):
        drafts = [_draft(f"s{stream}", second, 60) for second in times]
        await pair.here.write(site_bucket(ROBOT, "sensor"), drafts)
        await pair.there.write(site_bucket(ROBOT, "sensor"), drafts)
    await pair.tell_minutes(pair.here)
    await pair.tell_minutes(pair.there)
    await pair.make_task(NOWHERE, "x")
    reconciler, started = pair.reconciler(), time.perf_counter()
    await reconciler.step()
    took_s = time.perf_counter() - started
    report = reconciler.report()
    assert report["open"] == 0
    wire_bytes = pair.meter.total
    for _ in range(LOOKS):
        await reconciler.step()
    idle_bytes = pair.meter.total - wire_bytes
    await reconciler.close()
    name = f"one hour of {STREAMS} streams checked"
    return [
        _row(name, took_s, "s", "<= 5 s"),
        _row(f"{name}: on the wire, both ways", wire_bytes / minutes, "bytes/stream-minute", "<= 64"),
        _row("a look while nothing is open: on the wire", idle_bytes / LOOKS, "bytes", None),
    ]


# -- holes among many records -----------------------------------------------------------------------------------------


async def _holes(pair: Pair, records: int) -> list[dict[str, Any]]:
    """Punch holes into what has arrived, let both ends tell what they hold, and time the rest."""
    chance, bucket = random.Random(4), site_bucket(ROBOT, "sensor")
    each = records // STREAMS
    holes = set(chance.sample(range(each * STREAMS), HOLES))
    for stream in range(STREAMS):
        for first in range(0, each, 4_000):
            numbers = range(first, min(each, first + 4_000))
            drafts = [_draft(f"s{stream}", number, 60) for number in numbers]
            await pair.here.write(bucket, drafts)
            await pair.there.write(bucket, [drafts[n - first] for n in numbers if stream * each + n not in holes])
    await pair.tell_minutes(pair.here)
    await pair.tell_minutes(pair.there)
    await pair.make_task(NOWHERE, "x")
    reconciler, started = pair.reconciler(), time.perf_counter()
    await reconciler.step()
    took_s = time.perf_counter() - started
    brought, left = reconciler.report()["brought"], reconciler.report()["open"]
    await reconciler.close()
    found = f"{len(holes)} holes in {each * STREAMS:,} records".replace(",", " ")
    return [
        _row(f"{found}: found and filled", 100.0 * brought / len(holes), "%", "100 %"),
        _row(f"{found}: minutes left open", left, "minutes", "0"),
        _row(f"{found}: time", took_s, "s", None),
    ]


# -- repair beside the task -------------------------------------------------------------------------------------------


async def _repair(pair: Pair) -> list[dict[str, Any]]:
    """Let the engine's own task, then the reconciler, bring the same records; the median of the ratios is reported."""
    native, repaired = [], []
    for turn in range(ROUNDS):
        drafts = [_draft(f"s{n % 4}", n, REPAIRED_BYTES, keep=False) for n in range(REPAIRED)]
        times = {f"s{at}": [item.time_us for item in drafts if item.entry == f"s{at}"] for at in range(4)}
        sent, copied = f"n{turn}", f"c{turn}"
        for robot in (sent, copied):
            await pair.provision(robot)
            await pair.here.write(site_bucket(robot, "sensor"), drafts)
        await pair.make_task(pair.far_url, pair.far_token, sent)
        started = time.perf_counter()
        await pair.here.relabel(site_bucket(sent, "sensor"), times, {"keep": "1"})
        await _counted(pair.there, site_bucket(sent, "sensor"), REPAIRED)
        native.append(REPAIRED / (time.perf_counter() - started))
        await pair.here.remove_task(f"{sent}--sensor-to-cloud")

        await pair.here.relabel(site_bucket(copied, "sensor"), times, {"keep": "1"})
        await pair.make_task(NOWHERE, "x", copied)
        reconciler, started = pair.reconciler(), time.perf_counter()
        await reconciler.step()
        repaired.append(REPAIRED / (time.perf_counter() - started))
        assert reconciler.report()["brought"] == REPAIRED
        await reconciler.close()
        await pair.here.remove_task(f"{copied}--sensor-to-cloud")
    ratio = statistics.median(ours / theirs for ours, theirs in zip(repaired, native, strict=True))
    value, raw = statistics.median(repaired), statistics.median(native)
    name = f"repair beside native replication, {REPAIRED_BYTES // 1000} kB"
    return [{"name": name, "value": value, "unit": "records/s", "raw": raw, "ratio": ratio, "goal": None}]


async def _counted(there: Store, bucket: str, count: int) -> None:
    while sum(entry.records for entry in await there.entries(bucket)) < count:  # noqa: ASYNC110 - nothing tells
        await asyncio.sleep(0.01)


# -- two ends ---------------------------------------------------------------------------------------------------------


class Meter:
    """Stand between a client and a store, and count the bytes of both ways."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.total = 0
        self.url = ""

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """Listen on a free port."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield
        finally:
            server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._port)
        await asyncio.gather(self._pump(reader, far_writer), self._pump(far_reader, writer))

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            self.total += len(data)
            writer.write(data)
            await writer.drain()
        writer.close()


class _NoRelay:
    cuts = 0

    def brought(self, records: int) -> None:
        """Count nothing."""

    def turn(self, bucket: str, entry: str) -> Any:
        """Nobody writes beside the reconciler."""
        return nullcontext()


@dataclass
class Pair:
    """An edge site and a cloud with one robot's buckets; the reconciler's way there is metered."""

    here: Store
    there: Store
    meter: Meter
    far_url: str
    far_token: str
    folder: Path
    _lives: int = 0

    async def provision(self, robot: str) -> None:
        """Create a robot's buckets at both ends."""
        for store in (self.here, self.there):
            for cls in CLASSES:
                await store.ensure_bucket(site_bucket(robot, cls), BucketSpec("NONE", 0))

    async def make_task(self, url: str, secret: str, robot: str = ROBOT) -> None:
        """Create the sensor task."""
        bucket, when = site_bucket(robot, "sensor"), hop_filter("sensor", from_robot=False)
        name = f"{robot}--sensor-to-cloud"
        await self.here.put_task(TaskSpec(name, bucket, bucket, url, secret, ("**",), when))

    def reconciler(self) -> Reconciler:
        """Return a reconciler that knows nothing yet."""
        self._lives += 1
        route = Route("edge-1", "cloud", self.folder / str(self._lives))
        return Reconciler(
            lambda: self.here, lambda: Store(self.meter.url, self.far_token), _NoRelay(), route, Options(sleep=_at_once)
        )

    async def tell_minutes(self, store: Store) -> None:
        """Write a page a minute, as a census does."""
        lines: dict[int, list[Line]] = {}
        heads: dict[tuple[str, int], list[Head]] = {}
        async for head in store.query(site_bucket(ROBOT, "sensor"), head=True):
            heads.setdefault((head.entry, minute_of(head.time_us)), []).append(head)
        for (stream, minute_us), some in heads.items():
            held, times = count_of(some), [head.time_us for head in some]
            first = int(some[0].labels["seq"])
            spans = (Span("a1b2c3d4", first, first + len(some), len(some)),)
            line = Line("sensor", stream, minute_us, held, held, held, len(some), min(times), max(times), spans)
            lines.setdefault(minute_us, []).append(line)
        place = "edge-1" if store is self.here else "cloud"
        for minute_us, told in sorted(lines.items()):
            page = Page(place, ROBOT, minute_us + MINUTE_US, tuple(told))
            await write_page(store, site_bucket(ROBOT, "meta"), page)


async def _at_once(seconds: float) -> None:
    await asyncio.sleep(0)


@asynccontextmanager
async def _pair(folder: Path) -> AsyncIterator[Pair]:
    servers = [StoreProcess(folder / name) for name in ("here", "there")]
    try:
        for server in servers:
            server.start()
            server.wait_ready(60)
        near, far = servers
        meter = Meter(far.port)
        async with meter.listening(), Store(near.url, near.token) as here, Store(far.url, far.token) as there:
            pair = Pair(here, there, meter, far.url, far.token, folder / "state")
            await pair.provision(ROBOT)
            yield pair
    finally:
        for server in servers:
            server.kill()


def _draft(stream: str, second: int, size: int, *, keep: bool = True) -> Draft:
    data = f"{stream} {second} ".encode().ljust(size, b".")
    labels = {"robot": ROBOT, "type": "time_series", "session": "a1b2c3d4", "seq": str(second)}
    labels |= {"xxh": xxhash.xxh3_64_hexdigest(data), **({"keep": "1", "policy": "0f1e2d3c"} if keep else {})}
    return Draft(stream, BASE_US + second * 1_000_000, data, labels, "application/octet-stream")


def _row(name: str, value: float, unit: str, goal: str | None) -> dict[str, Any]:
    return {"name": name, "value": value, "unit": unit, "raw": None, "ratio": None, "goal": goal}

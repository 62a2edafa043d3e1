"""The ledger's price: an hour of a 31-stream robot counted and paged, bytes a stream-minute, what looking on costs."""

from __future__ import annotations

import asyncio
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil

from fleetbox.blobs import BucketSpec, Store
from fleetbox.ledger import MINUTE_US, minute_of, read_pages
from fleetbox.naming import CLASSES
from fleetbox.records import Draft
from fleetbox_local.processes import StoreProcess
from fleetbox_replication.census import Census, CensusScope, Rhythm

CHUNKED = 30  # streams of 100 Hz in 5 s chunks
CHUNK_US = 5_000_000
FRAME_US = 33_333  # one camera
HOUR = 60
ROBOTS = 50
START_US = minute_of(1_790_000_000_000_000)
GOAL_WIRE_BYTES = 64  # a stream-minute
GOAL_SHARE = 0.03  # of one core


@dataclass(frozen=True, slots=True)
class Spent:
    """Hold what something took: wall time, and CPU time of this process and of the store, in s."""

    wall_s: float
    own_s: float
    store_s: float

    @property
    def cpu_s(self) -> float:
        """Return the CPU time of both."""
        return self.own_s + self.store_s


def run() -> list[dict[str, Any]]:
    """Measure on fresh stores and return the rows."""
    return [*_on_a_store(_robot), *_on_a_store(_site)]


def _on_a_store(measure: Any) -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory(prefix="fleetbox-bench-") as folder:
        server = StoreProcess(Path(folder) / "data")
        server.start()
        try:
            server.wait_ready(60)
            rows: list[dict[str, Any]] = asyncio.run(measure(server, Path(folder)))
            return rows
        finally:
            server.kill()


async def _robot(server: StoreProcess, folder: Path) -> list[dict[str, Any]]:
    """Count an hour that was there before, then minutes as they come."""
    async with Store(server.url, server.token) as store:
        for cls in CLASSES:
            await store.ensure_bucket(cls, BucketSpec("FIFO", 50_000_000_000))
        records = await _record(store, START_US, HOUR)
        clock = [START_US + (HOUR + 2) * MINUTE_US]
        census = _census(store, folder, "r1", ["r1"], clock)
        with _spending(server.port) as hour:
            await census.flush()
        listed = await _list(store, server.port)
        share, told_s = await _steady(store, server.port, census, clock)
        wire_bytes = await _wire_bytes(store, "meta", "ledger")
    title = f"ledger: {CHUNKED} chunk streams and a 30 fps camera"
    return [
        _row(f"{title}, one hour listed and paged", hour[0].wall_s, "s", listed.wall_s, "<= 1.3x listing"),
        _row(f"{title}, one hour: CPU of census and store", hour[0].cpu_s, "s", listed.cpu_s),
        _row(f"{title}, records counted", records / hour[0].wall_s, "rec/s", records / listed.wall_s),
        _row("ledger: a line on the wire, in a minute's page", wire_bytes, "B/stream-minute", None,
             f"<= {GOAL_WIRE_BYTES}"),
        _row(f"{title}, steady: census", share.own_s, "cores", None, f"<= {GOAL_SHARE}"),
        _row(f"{title}, steady: its store for it", share.store_s, "cores", None),
        _row(f"{title}, the look that tells a minute", told_s, "s", None),
    ]  # fmt: skip


async def _site(server: StoreProcess, folder: Path) -> list[dict[str, Any]]:
    """Look on at many robots' buckets, with the newest minute of each to tell."""
    async with Store(server.url, server.token) as store:
        robots = [f"r{number}" for number in range(ROBOTS)]
        for robot in robots:
            for cls in CLASSES:
                await store.ensure_bucket(f"{robot}--{cls}", BucketSpec("FIFO", 5_000_000_000))
            await _record(store, START_US, 1, f"{robot}--", camera=False)
        clock = [START_US + MINUTE_US]
        census = _census(store, folder, "edge", robots, clock)
        await census.look()
        with _spending(server.port) as idle:
            await census.look()
        clock[0] += 30_000_000
        with _spending(server.port) as busy:
            lines = await census.look()
    rhythm = Rhythm()
    looks = 60 / rhythm.look_s
    own = (busy[0].own_s + (looks - 1) * idle[0].own_s) / 60
    served = (busy[0].store_s + (looks - 1) * idle[0].store_s) / 60
    title = f"ledger: a site with {ROBOTS} robots x {CHUNKED} streams"
    assert lines == ROBOTS * CHUNKED, f"{lines} lines told"
    return [
        _row(f"{title}, a look with nothing new", idle[0].wall_s, "s", None),
        _row(f"{title}, a minute of all told", busy[0].wall_s, "s", None),
        _row(f"{title}, steady: census", own, "cores", None),
        _row(f"{title}, steady: its store for it", served, "cores", None),
    ]


def _census(store: Store, folder: Path, place: str, robots: list[str], clock: list[int]) -> Census:
    async def named() -> list[str]:
        return robots

    own = place == robots[0]
    scope = CensusScope(place, named, lambda robot, cls: cls if own else f"{robot}--{cls}")
    rhythm = replace(Rhythm(), flush_s=600.0)
    return Census(lambda: store, scope, folder / "census", rhythm, now_us=lambda: clock[0])


async def _record(store: Store, start_us: int, minutes: int, prefix: str = "", *, camera: bool = True) -> int:
    """Write what a robot records in so many minutes; return the number of records."""
    stop_us, written = start_us + minutes * MINUTE_US, 0
    for number, at in enumerate(range(start_us, stop_us, CHUNK_US)):
        labels = {"type": "time_series", "rows": "500", "t_end": str(at + 4_990_000), "seq": str(number * 500)}
        drafts = [_draft(f"s{stream}", at + stream * 1009, labels) for stream in range(CHUNKED)]
        written += (await store.write(f"{prefix}sensor", drafts)).written
    frames = [_draft("cam/front", at, {"type": "images", "seq": str(at)}) for at in range(start_us, stop_us, FRAME_US)]
    for first in range(0, len(frames) if camera else 0, 80):
        written += (await store.write(f"{prefix}media", frames[first : first + 80])).written
    return written


def _draft(stream: str, at_us: int, labels: dict[str, str]) -> Draft:
    common = {"robot": "r1", "session": "20261121t055117-3f2a", "xxh": f"{at_us:016x}"}
    size = 50 + at_us * 7919 % 61  # no two minutes alike: equal lines would pack smaller than real ones
    return Draft(stream, at_us + at_us * 31 % 997, b"x" * size, {**common, **labels}, "application/octet-stream")


async def _list(store: Store, port: int) -> Spent:
    """Return what it takes only to list the same hour: the raw engine's part."""
    with _spending(port) as spent:
        for cls in ("sensor", "media"):
            async for _ in store.query(cls, start_us=0, head=True):
                pass
    return spent[0]


async def _steady(store: Store, port: int, census: Census, clock: list[int]) -> tuple[Spent, float]:
    """Return the shares of a core while minutes come, and the wall time of the longest look."""
    own_s = store_s = busy_s = 0.0
    minutes = 3
    for number in range(HOUR, HOUR + minutes):
        await _record(store, START_US + number * MINUTE_US, 1)
        for _ in range(6):
            clock[0] = max(clock[0], START_US + number * MINUTE_US) + 10_000_000
            with _spending(port) as spent:
                await census.look()
            own_s, store_s = own_s + spent[0].own_s, store_s + spent[0].store_s
            busy_s = max(busy_s, spent[0].wall_s)
    return Spent(0.0, own_s / (60 * minutes), store_s / (60 * minutes)), busy_s


async def _wire_bytes(store: Store, bucket: str, entry: str) -> float:
    """Return the bytes a line takes in the last minute's page, with the labels of the record."""
    pages = [page async for _, page in read_pages(store, bucket, (entry,))]
    heads = [head async for head in store.query(bucket, (entry,), start_us=0, head=True)]
    labels = sum(len(name) + len(value) + 2 for name, value in heads[-1].labels.items())
    return (heads[-1].size + labels) / len(pages[-1].lines)


@contextmanager
def _spending(port: int) -> Iterator[list[Spent]]:
    process = _process_on(port)
    spent: list[Spent] = []
    wall_s, own_s, store_s = time.perf_counter(), _own_s(), sum(process.cpu_times()[:2])
    yield spent
    store_s = sum(process.cpu_times()[:2]) - store_s
    spent.append(Spent(time.perf_counter() - wall_s, _own_s() - own_s, store_s))


def _own_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _process_on(port: int) -> psutil.Process:
    for process in psutil.Process().children(recursive=True):
        if any(c.laddr.port == port and c.status == psutil.CONN_LISTEN for c in process.net_connections()):
            return process
    raise RuntimeError(f"no child of this process listens on {port}")


def _row(name: str, value: float, unit: str, raw: float | None = None, goal: str | None = None) -> dict[str, Any]:
    ratio = value / raw if raw else None
    return {"name": name, "value": value, "unit": unit, "raw": raw, "ratio": ratio, "goal": goal}


if __name__ == "__main__":
    for line in run():
        print(line)
    sys.exit(0)

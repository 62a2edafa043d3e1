"""Lag of robot -> edge -> cloud at several round-trip times, and the time from a mark to the last frame before it."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import xxhash

from bench.links import RTTS_MS, Link
from fleetbox.blobs import Store
from fleetbox.events import Event, new_event, write_event
from fleetbox.naming import CLASSES, site_bucket
from fleetbox.quotas import bucket_spec
from fleetbox.records import Draft
from fleetbox.settings import HopRule, Place, Policy, Tier
from fleetbox_local.processes import StoreProcess
from fleetbox_replication.labeler import Duty, Labeler
from fleetbox_replication.relay import Relay
from fleetbox_replication.relay_secret import relay_secret
from fleetbox_replication.scopes import one_robot
from fleetbox_replication.tasks import wanted_tasks

ROBOT = "r1"
QUOTA_BYTES = 5_000_000_000  # FIFO as in the field; never reached here
MEASURE_S = 10.0
POLL_S = 0.02  # how often a destination is asked; the resolution of every figure here
SETTLE_S = 60.0
FRAMES, FRAME_BYTES = 300, 25_000  # ten seconds of 30 fps, 640x360 JPEG
# What the demo's policy selects at write: (class, stream, bytes a record), one record a second each.
SELECTED = (
    *(("sensor", name, 3_000) for name in ("health", "battery", "pose/slow", "joints/slow", "gps", "wifi")),
    *(("log", name, 200) for name in ("log/text", "log/warnings")),
    *(("small", f"cam/{name}/preview", 6_000) for name in ("front", "rear", "left", "right")),
)
CAMERA = "cam/front"
HOPS: tuple[tuple[int, int, str, Tier, str], ...] = (
    (0, 1, ROBOT, "robot", "edge-1"),
    (1, 2, "edge-1", "edge", "cloud"),
)


@dataclass(frozen=True, slots=True)
class Tiers:
    """Hold clients for the three stores of one robot's route."""

    robot: Store
    edge: Store
    cloud: Store


@dataclass(slots=True)
class Seen:
    """Note when each record was first seen at a destination; keys are (entry, time_us), values seconds."""

    sent_s: dict[tuple[str, int], float] = field(default_factory=dict)
    seen_s: dict[tuple[str, int], float] = field(default_factory=dict)

    def lags_s(self) -> list[float]:
        """Return the lag of each record that arrived, sorted."""
        return sorted(self.seen_s[key] - sent_s for key, sent_s in self.sent_s.items() if key in self.seen_s)


def run() -> list[dict[str, Any]]:
    """Measure every RTT and return the rows; `raw` is the same hop without our relays, in the same run."""
    return [row for rtt_ms in RTTS_MS for row in _at(rtt_ms)]


def _at(rtt_ms: float) -> list[dict[str, Any]]:
    relayed, direct = (asyncio.run(_measure(rtt_ms, relays)) for relays in (True, False))
    where = f"{rtt_ms:.0f} ms RTT a hop, {len(SELECTED)} streams"
    rows = [
        _row(f"robot -> {tier}, {where}: lag {name}", relayed[tier, name], direct[tier, name])
        for tier in ("edge", "cloud")
        for name in ("p50", "p99")
    ]
    name = f"mark -> last of {FRAMES} frames before it at the cloud, {rtt_ms:.0f} ms RTT a hop"
    return [*rows, _row(name, relayed["mark", "last"], direct["mark", "last"])]


def _row(name: str, value_s: float, raw_s: float) -> dict[str, Any]:
    return {"name": name, "value": value_s, "unit": "s", "raw": raw_s, "ratio": value_s / raw_s, "goal": None}


async def _measure(rtt_ms: float, relays: bool) -> dict[tuple[str, str], float]:
    figures: dict[tuple[str, str], float] = {}
    async with _tiers(rtt_ms, relays) as tiers:
        there = {"edge": tiers.edge, "cloud": tiers.cloud}
        seen = {tier: Seen() for tier in there}
        watches = [asyncio.create_task(_watch(store, seen[tier])) for tier, store in there.items()]
        try:
            await _record(tiers.robot, list(seen.values()))
            await _until(lambda: _all_seen(seen.values()))
        finally:
            for watch in watches:
                watch.cancel()
            await asyncio.gather(*watches, return_exceptions=True)
        for tier, one in seen.items():
            lags = one.lags_s()
            figures[tier, "p50"] = lags[len(lags) // 2]
            figures[tier, "p99"] = lags[min(len(lags) - 1, len(lags) * 99 // 100)]
        figures["mark", "last"] = await _mark(tiers)
    return figures


async def _record(robot: Store, seen: list[Seen]) -> None:
    """Write each selected stream once a second, staggered, and note when each write was acknowledged."""
    stop_s = time.perf_counter() + MEASURE_S
    number = 0
    while time.perf_counter() < stop_s:
        cls, stream, size = SELECTED[number % len(SELECTED)]
        time_us = time.time_ns() // 1000
        await robot.write(cls, [_draft(stream, time_us, size, keep="1", policy="bench")])
        for one in seen:
            one.sent_s[stream, time_us] = time.perf_counter()
        number += 1
        await asyncio.sleep(1 / len(SELECTED))


async def _watch(store: Store, seen: Seen) -> None:
    """Ask a destination again and again what it holds that was not seen yet."""
    since_us = time.time_ns() // 1000
    while True:
        waiting = seen.sent_s.keys() - seen.seen_s.keys()
        start_us = min((time_us for _, time_us in waiting), default=since_us)
        for cls in {cls for cls, *_ in SELECTED}:
            async for head in store.query(site_bucket(ROBOT, cls), start_us=start_us, head=True):
                seen.seen_s.setdefault((head.entry, head.time_us), time.perf_counter())
        await asyncio.sleep(POLL_S)


async def _mark(tiers: Tiers) -> float:
    """Mark a moment whose frames are in the ring only, and return the seconds until the cloud holds them all."""
    moment_us = time.time_ns() // 1000
    frames = [_draft(CAMERA, moment_us - (n + 1) * 33_333, FRAME_BYTES) for n in reversed(range(FRAMES))]
    await tiers.robot.write("media", frames)
    labeler = Labeler(tiers.robot, Duty(one_robot(ROBOT, Policy)))
    await labeler.step()  # an agent's labeler has been running for long
    work = asyncio.create_task(labeler.run())
    started_s = time.perf_counter()
    start_us = moment_us - 10_500_000
    event = new_event(Event("", "hard_brake", ROBOT, moment_us, start_us, moment_us + 5_000_000))
    await write_event(tiers.robot, "meta", event, moment_us)
    labeler.notify()
    try:
        await _until(lambda: _holds_all(tiers.cloud, start_us))
        return time.perf_counter() - started_s
    finally:
        work.cancel()
        with suppress(asyncio.CancelledError):
            await work


async def _until(condition: Callable[[], Awaitable[bool]]) -> None:
    deadline_s = time.perf_counter() + SETTLE_S
    while not await condition():
        if time.perf_counter() > deadline_s:
            raise TimeoutError(f"records did not arrive within {SETTLE_S:.0f} s")
        await asyncio.sleep(POLL_S)


async def _all_seen(seen: Iterable[Seen]) -> bool:
    return all(one.seen_s.keys() >= one.sent_s.keys() for one in seen)


async def _holds_all(cloud: Store, start_us: int) -> bool:
    heads = cloud.query(site_bucket(ROBOT, "media"), (CAMERA,), start_us=start_us, head=True)
    return len([head async for head in heads]) >= FRAMES


def _draft(stream: str, time_us: int, size: int, **labels: str) -> Draft:
    data = os.urandom(size)
    base = {"robot": ROBOT, "type": "file", "xxh": xxhash.xxh3_64_hexdigest(data)}
    return Draft(stream, time_us, data, {**base, **labels}, "application/octet-stream")


@asynccontextmanager
async def _tiers(rtt_ms: float, relays: bool) -> AsyncIterator[Tiers]:
    """Start three stores with a link of this RTT between each two, and the tasks of both hops."""
    async with AsyncExitStack() as stack:
        servers = [stack.enter_context(_server()) for _ in range(3)]
        stores = [await stack.enter_async_context(Store(server.url, server.token)) for server in servers]
        for store, name in zip(stores, (lambda cls: cls, _at_site, _at_site), strict=True):
            for cls in CLASSES:
                await store.ensure_bucket(name(cls), bucket_spec(cls, QUOTA_BYTES))
        for here, there, place, tier, following in HOPS:
            link = stack.enter_context(Link("127.0.0.1", servers[there].port, rtt_ms))
            url, secret = link.url, servers[there].token
            if relays:
                relay = Relay("http://127.0.0.1:0", link.url, secret, secret := relay_secret(servers[here].token))
                await relay.start()
                stack.push_async_callback(relay.stop)
                url = relay.url
            source = Place(place, tier, servers[here].url, servers[here].token, url, following)
            for task in wanted_tasks(source, [ROBOT], HopRule(), secret):
                await stores[here].put_task(task)
        yield Tiers(*stores)


@contextmanager
def _server() -> Iterator[StoreProcess]:
    with tempfile.TemporaryDirectory(prefix="fleetbox-bench-") as folder:
        server = StoreProcess(Path(folder) / "data", env={})
        server.start()
        try:
            server.wait_ready(60)
            yield server
        finally:
            server.kill()


def _at_site(cls: str) -> str:
    return site_bucket(ROBOT, cls)


if __name__ == "__main__":
    for line in run():
        print(line)
    sys.exit(0)

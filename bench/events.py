"""Events over shared records: bytes stored against the union of their windows, labelling, and from cause to label."""

from __future__ import annotations

import asyncio
import os
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import xxhash

from fleetbox.blobs import Store
from fleetbox.events import Event, new_event, read_events, write_event
from fleetbox.naming import CLASSES, site_bucket
from fleetbox.quotas import bucket_spec
from fleetbox.records import Draft
from fleetbox.settings import HopRule, Place, Policy
from fleetbox_edge.recorder import Recorder
from fleetbox_edge.simulate.camera import frame
from fleetbox_local.processes import StoreProcess
from fleetbox_replication.labeler import Duty, Labeler
from fleetbox_replication.relay import Relay
from fleetbox_replication.relay_secret import relay_secret
from fleetbox_replication.scopes import one_robot, robot_scope
from fleetbox_replication.tasks import wanted_tasks
from fleetbox_replication.window import label_window

ROBOT, SITE = "r1", "edge-1"
SECOND_US = 1_000_000
EVENTS, APART_US, PRE_US, POST_US = 12, 2 * SECOND_US, 20 * SECOND_US, 5 * SECOND_US
CALM_S = 60  # in which nothing happens: what one pass is measured on
RECORDED_S = CALM_S + 90  # and the windows of the events
CAMERA, FPS, FRAME_BYTES = "cam/front", 15, 20_000
CHUNKS = tuple(f"sensor{number}" for number in range(11))  # a chunk a second each
CHUNK_BYTES = 3_000
QUOTA_BYTES = 5_000_000_000  # never reached here
CAUSES = 10  # moments measured from cause to label; the median counts
POLL_S = 0.005  # the resolution of the time from cause to label
SETTLE_S = 60.0


@dataclass(frozen=True, slots=True)
class Stored:
    """Hold bytes: of the union of all windows, of each window by itself, what labelling added, what the site holds."""

    union: int
    apart: int
    added: int
    at_site: int


def run() -> list[dict[str, Any]]:
    """Measure and return the rows."""
    stored, label_s = asyncio.run(_overlapping())
    with _server() as server, tempfile.TemporaryDirectory(prefix="fleetbox-bench-") as folder:
        causes_s = _causes(server, Path(folder))
    many = f"{EVENTS} overlapping events"
    return [
        {"name": f"{many}: bytes at the site / union of windows", "value": stored.at_site / stored.union, "unit": "x",
         "raw": stored.apart / stored.union, "ratio": None, "goal": "<= 1.01; raw: a copy per event"},
        {"name": f"{many}: bytes that labelling added on the robot / union", "value": stored.added / stored.union,
         "unit": "x", "raw": None, "ratio": None, "goal": "<= 0.01"},
        {"name": "one pass labels 1,000 records of 12 streams", "value": label_s, "unit": "s", "raw": None,
         "ratio": None, "goal": "<= 1 s"},
        {"name": "rec.mark -> label on the last frame before it, p50", "value": statistics.median(causes_s),
         "unit": "s", "raw": None, "ratio": None, "goal": None},
        {"name": "rec.mark -> label on the last frame before it, worst", "value": max(causes_s), "unit": "s",
         "raw": None, "ratio": None, "goal": None},
    ]  # fmt: skip


async def _overlapping() -> tuple[Stored, float]:
    async with _two_stores() as (robot, site):
        last_us = time.time_ns() // 1000 - 10 * SECOND_US
        await _record(robot, last_us)
        first_us = last_us - 60 * SECOND_US
        marks = [_event(first_us + number * APART_US) for number in range(EVENTS)]
        before = await _disk_bytes(robot)
        for number, event in enumerate(marks):
            await write_event(robot, "meta", event, last_us + number)
        await _labelled(robot)
        added = await _disk_bytes(robot) - before
        sizes = await _sizes(robot, "")
        inside = [[size for at, size in sizes.values() if e.start_us <= at <= e.stop_us] for e in marks]
        union = sum(size for at, size in sizes.values() if any(e.start_us <= at <= e.stop_us for e in marks))
        await _until(lambda: _arrived(site, union))
        at_site = sum(size for _, size in (await _sizes(site, f"{ROBOT}--")).values())
        stored = Stored(union, sum(map(sum, inside)), added, at_site)
        return stored, await _one_pass(robot, last_us - RECORDED_S * SECOND_US)


async def _one_pass(robot: Store, start_us: int) -> float:
    """Return the seconds per 1,000 records of a pass over a window that no event has touched."""
    event = new_event(Event("", "calm", ROBOT, start_us, start_us, start_us + (CALM_S - 1) * SECOND_US))
    began_s = time.perf_counter()
    done = await label_window(robot, event, robot_scope(ROBOT, Policy()))
    return (time.perf_counter() - began_s) * 1_000 / done.labelled.total()


def _event(time_us: int) -> Event:
    return new_event(Event("", "bench", ROBOT, time_us, time_us - PRE_US, time_us + POST_US))


async def _record(robot: Store, last_us: int) -> None:
    """Write a camera's frames and the chunks of eleven streams up to a time; no record reaches across a window."""
    first_us = last_us - RECORDED_S * SECOND_US
    frames = [_draft(CAMERA, first_us + n * SECOND_US // FPS, FRAME_BYTES) for n in range(RECORDED_S * FPS)]
    await robot.write("media", frames)
    for number, stream in enumerate(CHUNKS):
        drafts = [_draft(stream, first_us + n * SECOND_US + number, CHUNK_BYTES) for n in range(RECORDED_S)]
        await robot.write("sensor", drafts)


def _draft(stream: str, time_us: int, size: int) -> Draft:
    data = os.urandom(size)
    labels = {"robot": ROBOT, "type": "file", "xxh": xxhash.xxh3_64_hexdigest(data)}
    return Draft(stream, time_us, data, labels, "application/octet-stream")


async def _labelled(robot: Store) -> None:
    """Run the labeler until every event is closed."""
    labeler = Labeler(robot, Duty(one_robot(ROBOT, Policy)))
    work = asyncio.create_task(labeler.run())
    try:
        await _until(lambda: _all_closed(robot))
    finally:
        work.cancel()
        with suppress(asyncio.CancelledError):
            await work


async def _all_closed(robot: Store) -> bool:
    events = await read_events(robot, ["meta"])
    return len(events) == EVENTS and all(event.state == "labelled" for event in events)


async def _sizes(store: Store, prefix: str) -> dict[tuple[str, int], tuple[int, int]]:
    """Return (time, bytes) of each record of sensor and media, by stream and time."""
    found = {}
    for cls in ("sensor", "media"):
        async for head in store.query(f"{prefix}{cls}", start_us=0, head=True):
            found[head.entry, head.time_us] = head.time_us, head.size
    return found


async def _arrived(site: Store, wanted_bytes: int) -> bool:
    return sum(size for _, size in (await _sizes(site, f"{ROBOT}--")).values()) >= wanted_bytes


async def _disk_bytes(store: Store) -> int:
    """Return the bytes that the engine counts for the buckets of sensor and media."""
    return sum([info.size_bytes for cls in ("sensor", "media") for info in await store.entries(cls)])


async def _until(condition: Callable[[], Awaitable[bool]]) -> None:
    deadline_s = time.perf_counter() + SETTLE_S
    while not await condition():
        if time.perf_counter() > deadline_s:
            raise TimeoutError(f"not within {SETTLE_S:.0f} s")
        await asyncio.sleep(0.1)


def _causes(server: StoreProcess, folder: Path) -> list[float]:
    """Return, for several marks of a running recorder, the seconds until the last frame before each has its label."""
    (folder / "token").write_text(server.token)
    (folder / "policy.toml").write_text('[event.default]\npre = "300ms"\npost = "0s"\n')
    (folder / "robot.toml").write_text(
        f'robot = "{ROBOT}"\nstore = "{server.url}"\nstore_token = {{ file = "token" }}\nstate = "state"\n'
        'policy = "policy.toml"\n'
    )
    picture, found = frame(1.0, 1, None), []
    with Recorder(folder / "robot.toml") as recorder:
        for _ in range(CAUSES):
            for _ in range(30):
                recorder.log(CAMERA, picture)
                time.sleep(1 / 30)
            last_us = time.time_ns() // 1000
            recorder.log(CAMERA, picture, time=last_us)
            began_s = time.perf_counter()
            recorder.mark("cause")
            asyncio.run(_has_label(server, last_us))
            found.append(time.perf_counter() - began_s)
    return found


async def _has_label(server: StoreProcess, time_us: int) -> None:
    async with Store(server.url, server.token) as store:

        async def labelled() -> bool:
            heads = store.query("media", (CAMERA,), start_us=time_us, stop_us=time_us + 1, head=True)
            return any(["keep" in head.labels async for head in heads])

        deadline_s = time.perf_counter() + SETTLE_S
        while not await labelled():
            if time.perf_counter() > deadline_s:
                raise TimeoutError(f"no label within {SETTLE_S:.0f} s")
            await asyncio.sleep(POLL_S)


@asynccontextmanager
async def _two_stores() -> AsyncIterator[tuple[Store, Store]]:
    """Start a robot's and a site's store with the tasks between them."""
    async with AsyncExitStack() as stack:
        servers = [stack.enter_context(_server()) for _ in range(2)]
        robot, site = [await stack.enter_async_context(Store(server.url, server.token)) for server in servers]
        for cls in CLASSES:
            await robot.ensure_bucket(cls, bucket_spec(cls, QUOTA_BYTES))
            await site.ensure_bucket(site_bucket(ROBOT, cls), bucket_spec(cls, QUOTA_BYTES))
        secret = relay_secret(servers[0].token)
        relay = Relay("http://127.0.0.1:0", servers[1].url, servers[1].token, secret)
        await relay.start()
        stack.push_async_callback(relay.stop)
        place = Place(ROBOT, "robot", servers[0].url, servers[0].token, relay.url, SITE)
        for task in wanted_tasks(place, [ROBOT], HopRule(), secret):
            await robot.put_task(task)
        yield robot, site


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

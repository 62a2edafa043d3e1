"""The engine alone beside fleetbox: a native task of its own on the same way, so that one fault meets both."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass

import xxhash

from fleetbox.blobs import BucketSpec, Store, TaskSpec
from fleetbox.errors import FleetboxError, NotFound
from fleetbox.records import Draft
from fleetbox_local.drill.scene import Scene
from fleetbox_local.drill.setting import ROBOT
from fleetbox_local.fleet_files import at_site

SOURCE = "alone"
THERE = f"{ROBOT}--alone"  # within what the robot's token may write, so that a fault of the token meets it too
TASK = "alone-to-edge"
STREAMS = {"text": 300, "picture": 20_000}  # bytes a record, as the drill's own writer has them
PAUSE_S = 0.05
SETTLE_S = 15.0  # without a new record at the edge for so long, and nothing pending: the engine is done
LIMIT_S = 90.0
LOOK_S = 0.5


@dataclass(frozen=True, slots=True)
class Account:
    """Say what became of the records of the engine's own task, and what it says itself."""

    written: int
    lost: int
    pending: int
    active: bool


class Beside:
    """Keep a bucket of the robot's store shipped by a task that points straight at the edge."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._times: dict[str, set[int]] = {stream: set() for stream in STREAMS}
        self._stop = False

    def open(self) -> None:
        """Make the buckets and the task."""
        self._scene.run(self._open())
        self._scene.beside.append(THERE)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Write records for the length of the block; only those that the robot's store acknowledged count."""
        self._stop = False
        work: Future[None] = self._scene.start(self._write())
        try:
            yield
        finally:
            self._stop = True
            work.result()

    def close(self) -> Account:
        """Hand the task the token as it is now, wait until the engine is done and count."""
        return self._scene.run(self._close())

    async def _open(self) -> None:
        async with self._scene.store("robot") as source, self._scene.store("edge") as there:
            for store, bucket in ((source, SOURCE), (there, THERE)):
                await store.ensure_bucket(bucket, BucketSpec("NONE", 0))
            await source.put_task(self._task())

    def _task(self) -> TaskSpec:
        token = (self._scene.secrets / f"{at_site(ROBOT, 'edge')}.token").read_text().strip()
        return TaskSpec(TASK, SOURCE, THERE, self._scene.link.url, token)

    async def _write(self) -> None:
        while not self._stop:
            with contextlib.suppress(FleetboxError):  # the store is being killed: what it did not take does not count
                async with self._scene.store("robot") as store:
                    while not self._stop:
                        await self._write_once(store)
                        await asyncio.sleep(PAUSE_S)
            await asyncio.sleep(PAUSE_S)

    async def _write_once(self, store: Store) -> None:
        now_us = time.time_ns() // 1000
        for stream, size in STREAMS.items():
            data = now_us.to_bytes(8, "big") * (size // 8)
            draft = Draft(stream, now_us, data, {"xxh": xxhash.xxh3_64_hexdigest(data)}, "application/octet-stream")
            if not (await store.write(SOURCE, [draft])).refused:
                self._times[stream].add(now_us)

    async def _close(self) -> Account:
        async with self._scene.store("robot") as source, self._scene.store("edge") as there:
            await source.put_task(self._task())
            missing, last_change, deadline = -1, time.monotonic(), time.monotonic() + LIMIT_S
            while time.monotonic() < deadline:
                task, now_missing = await source.task(TASK), await self._missing(there)
                if now_missing != missing:
                    missing, last_change = now_missing, time.monotonic()
                if not missing or (task and not task.pending and time.monotonic() - last_change > SETTLE_S):
                    break
                await asyncio.sleep(LOOK_S)
            told = await source.task(TASK)
            assert told is not None
        written = sum(map(len, self._times.values()))
        return Account(written, missing, told.pending, told.active)

    async def _missing(self, there: Store) -> int:
        held: dict[str, set[int]] = {stream: set() for stream in STREAMS}
        with contextlib.suppress(NotFound):
            async for head in there.query(THERE, head=True):
                held[head.entry].add(head.time_us)
        return sum(len(times - held[stream]) for stream, times in self._times.items())

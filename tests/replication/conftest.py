"""A robot's records in a real store, as the agent would have written them."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field

import pytest
import xxhash

from fleetbox.blobs import BucketSpec, Store
from fleetbox.events import Event, new_event
from fleetbox.naming import CLASSES
from fleetbox.records import Draft
from fleetbox_replication.window import Scope

SECOND = 1_000_000


@dataclass
class Robot:
    """One robot's buckets in a store: `<name>--<class>`, so that robots can share a test server."""

    store: Store
    name: str = field(default_factory=lambda: f"r{uuid.uuid4().hex[:8]}")
    own: bool = False  # True: the store is the robot's own, and its buckets are the classes

    def bucket(self, cls: str) -> str:
        """Name the bucket of a class."""
        return cls if self.own else f"{self.name}--{cls}"

    def scope(self, site: str = "", allowed: Callable[[str], bool] = lambda stream: True) -> Scope:
        """Return what a labeler needs to know of this robot."""
        return Scope(self.name, {cls: self.bucket(cls) for cls in CLASSES}, site, allowed)

    async def provision(self) -> None:
        """Create a bucket per class."""
        for cls in CLASSES:
            await self.store.ensure_bucket(self.bucket(cls), BucketSpec("NONE", 0))

    async def write(self, cls: str, stream: str, times_us: Sequence[int], size: int = 100, **labels: str) -> None:
        """Write one record per time."""
        drafts = []
        for number, time_us in enumerate(times_us):
            data = f"{stream} {number} ".encode().ljust(size, b".")
            base = {"robot": self.name, "type": "file", "seq": str(number), "xxh": xxhash.xxh3_64_hexdigest(data)}
            drafts.append(Draft(stream, time_us, data, {**base, **labels}, "application/octet-stream"))
        report = await self.store.write(self.bucket(cls), drafts)
        assert report.refused == []

    async def labels(self, cls: str, stream: str) -> dict[int, dict[str, str]]:
        """Return the labels of a stream's records by time."""
        heads = self.store.query(self.bucket(cls), (stream,), start_us=0, head=True)
        return {head.time_us: head.labels async for head in heads}

    async def kept(self, cls: str, stream: str) -> list[int]:
        """Return the times of a stream's records that are selected for the cloud."""
        return [time_us for time_us, labels in (await self.labels(cls, stream)).items() if labels.get("keep") == "1"]

    def event(self, time_us: int, pre_s: float = 10, post_s: float = 5, streams: tuple[str, ...] = ("**",)) -> Event:
        """Return an event around a moment."""
        start_us, stop_us = time_us - int(pre_s * SECOND), time_us + int(post_s * SECOND)
        return new_event(Event("", "hard_brake", self.name, time_us, start_us, stop_us, streams, policy="abcd1234"))


async def until(condition: Callable[[], Awaitable[bool]], timeout_s: float = 150.0) -> None:
    """Return once the condition holds; fail after timeout_s."""
    deadline_s = time.monotonic() + timeout_s
    while not await condition():
        assert time.monotonic() < deadline_s, "the condition did not come true in time"
        await asyncio.sleep(0.02)


@pytest.fixture
def now_us() -> Iterator[int]:
    """A moment in whole seconds."""
    return time.time_ns() // 1_000_000_000 * SECOND

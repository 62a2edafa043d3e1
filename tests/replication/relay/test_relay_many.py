"""One relay for several buckets, stores and robots: what holds up one of them holds up no other."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import xxhash
from refusing_proxy import Refusal, RefusingProxy

from fleetbox.blobs import BucketSpec, Store, TaskSpec
from fleetbox.naming import CLASSES
from fleetbox.records import Draft
from fleetbox_local.links import Link
from fleetbox_local.ports import free_port
from fleetbox_replication.dead_letters import DeadLetters, letters_of
from fleetbox_replication.filters import hop_filter
from fleetbox_replication.relay import Pace, Relay, RelayOptions
from fleetbox_replication.relay.counters import Refusal as Refused

SECRET = "one relay, one secret"
PLAIN = BucketSpec("NONE", 0)
BIG = ("media", "kept", "sensor")


@dataclass
class Hop:
    """A relay with its source stores and its destination."""

    sources: Sequence[Store]
    there: Store
    relay: Relay
    proxy: RefusingProxy

    async def open(self, source: Store, bucket: str, cls: str | None = None) -> None:
        """Make a bucket at both ends and the task between them."""
        for store in (source, self.there):
            await store.ensure_bucket(bucket, PLAIN)
        when = hop_filter(cls, from_robot=True) if cls else None
        await source.put_task(TaskSpec(bucket, bucket, bucket, self.relay.url, SECRET, ("*",), when))

    async def count(self, bucket: str, entry: str) -> int:
        """Count what a query lists at the destination."""
        if entry not in {info.name for info in await self.there.entries(bucket)}:
            return 0
        return len([head async for head in self.there.query(bucket, (entry,), start_us=0, head=True)])

    async def until(self, bucket: str, entry: str, count: int, deadline_s: float = 60.0) -> float:
        """Wait until so many records are listed there; return how long it took, in s."""
        started = time.monotonic()
        while (found := await self.count(bucket, entry)) < count:
            assert time.monotonic() < started + deadline_s, (bucket, entry, found, self.relay.counters())
            await asyncio.sleep(0.05)
        return time.monotonic() - started

    async def refusing(self, bucket: str, deadline_s: float = 60.0) -> Refused:
        """Wait until the destination holds up a bucket; return its answer."""
        stop = time.monotonic() + deadline_s
        while (held := self.relay.refusing(bucket)) is None:
            assert time.monotonic() < stop, (bucket, self.relay.counters())
            await asyncio.sleep(0.05)
        return held


def drafts(entry: str, count: int, size: int, **labels: str) -> list[Draft]:
    """Return records of an entry."""
    data = bytes(range(256)) * (size // 256 + 1)
    base = {"keep": "1", "xxh": xxhash.xxh3_64_hexdigest(data[:size]), **labels}
    return [
        Draft(entry, 1_000_000 + at * 1_000, data[:size], {**base, "seq": str(at)}, "image/jpeg") for at in range(count)
    ]


@pytest.fixture
def many(new_store_server: Callable[..., Any], tmp_path: Path) -> Callable[..., Any]:
    """Open a relay between `sources` stores and one destination behind a proxy that can refuse."""

    @asynccontextmanager
    async def opened(sources: int = 1, pace: Pace | None = None, mbit_s: float | None = None) -> AsyncIterator[Hop]:
        letters = DeadLetters(letters_of(tmp_path / "state"))
        async with AsyncExitStack() as stack:
            stack.callback(letters.close)
            servers = [new_store_server(RS_REPLICATION_TIMEOUT="1") for _ in range(sources)]
            far = new_store_server()
            proxy = RefusingProxy(far.port)
            await proxy.start()
            stack.push_async_callback(proxy.stop)
            url = proxy.url
            if mbit_s:
                url = stack.enter_context(Link("127.0.0.1", far.port, mbit_s=mbit_s)).url
            listen = f"http://127.0.0.1:{free_port()}"  # stays its own while it is stopped
            relay = Relay(listen, url, far.token, SECRET, RelayOptions(letters=letters, pace=pace))
            await relay.start()
            stack.push_async_callback(relay.stop)
            stores = [await stack.enter_async_context(Store(own.url, own.token)) for own in servers]
            yield Hop(stores, await stack.enter_async_context(Store(far.url, far.token)), relay, proxy)

    return opened


def test_two_stores_and_several_buckets_share_a_relay(many: Callable[..., Any]) -> None:
    """Two source stores send two buckets each through one relay to one destination; all of it arrives."""

    async def run() -> None:
        async with many(sources=2) as h:
            for number, source in enumerate(h.sources):
                for cls in ("sensor", "meta"):
                    bucket = f"r{number}--{cls}"
                    await h.open(source, bucket, cls)
                    await source.write(bucket, drafts("imu", 200, 300))
            for bucket in ("r0--sensor", "r0--meta", "r1--sensor", "r1--meta"):
                await h.until(bucket, "imu", 200)

    asyncio.run(run())


@pytest.mark.slow
def test_one_refused_robot_among_twenty_harms_no_other(many: Callable[..., Any]) -> None:
    """A site passes on twenty robots; one robot's bucket is refused, the others flow as if it were not there."""

    async def run() -> None:
        async with many() as h:
            (site,) = h.sources
            robots = [f"r{number}" for number in range(20)]
            h.proxy.refusal = Refusal(403, "not yours", path="/b/r7--sensor", methods=("POST", "PATCH", "HEAD"))
            for robot in robots:
                await h.open(site, f"{robot}--sensor", "sensor")
            for robot in robots:
                await site.write(f"{robot}--sensor", drafts("imu", 100, 2_000))
            others = [robot for robot in robots if robot != "r7"]
            await asyncio.gather(*(h.until(f"{robot}--sensor", "imu", 100) for robot in others))
            held = await h.refusing("r7--sensor")
            assert (held.status, held.message) == (403, "not yours")
            assert all(h.relay.refusing(f"{robot}--sensor") is None for robot in others)
            assert h.relay.counters()["dead_letters"]["open"] == 0
            h.proxy.refusal = None
            await h.until("r7--sensor", "imu", 100)

    asyncio.run(run())


@pytest.mark.slow
@pytest.mark.parametrize("capped_by", ["relay", "link"])
def test_an_event_overtakes_a_backlog(many: Callable[..., Any], capped_by: str) -> None:
    """Behind 30 MB of pictures and chunks an event is at the destination within 5 s, by a cap or on a narrow link."""
    pace = Pace(4_000_000) if capped_by == "relay" else Pace()

    async def run() -> None:
        async with many(pace=pace, mbit_s=32.0 if capped_by == "link" else None) as h:
            (robot,) = h.sources
            for cls in CLASSES:
                await h.open(robot, f"r1--{cls}", cls)
            await h.relay.stop()  # the link is down: a backlog gathers
            for entry in ("cam/front", "cam/left"):
                for part in range(5):
                    records = drafts(entry, 50, 100_000)[part * 10 : part * 10 + 10]
                    await robot.write("r1--media", records)
                    await robot.write("r1--kept", records)
                    await robot.write("r1--sensor", records)
            await h.relay.start()
            while not h.relay.counters()["in_flight"]:  # noqa: ASYNC110 - nothing tells
                await asyncio.sleep(0.05)
            await robot.write("r1--meta", drafts("event", 1, 500))
            await h.until("r1--meta", "event", 1, 60.0)
            passed = [await h.count(f"r1--{cls}", cam) for cls in BIG for cam in ("cam/front", "cam/left")]
            assert sum(passed) <= 200, "5 s of a link of 4 MB/s; not a clock's: others may have the processor"

    asyncio.run(run())

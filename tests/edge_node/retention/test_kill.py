"""Kill the agent with SIGKILL while it removes records or makes videos of them: each is accounted for once."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import xxhash

from fleetbox.blobs import Store
from fleetbox.ledger import MINUTE_US, Removal, read_ledger
from fleetbox.naming import RING_CLASSES
from fleetbox.quotas import bucket_spec
from fleetbox.records import Draft
from fleetbox.types import video
from tests.edge_node.conftest import Robot
from tests.edge_node.retention.waiting import until
from tests.edge_node.transcoding.pictures import moving, uneven

COUNT = 30  # records of a stream
OLD_US = 120 * MINUTE_US

# An agent that does its idle work at once. For each point named on its input it forks one that kills itself there, and
# tells how that ended; with an empty line it works itself. Importing everything once a test is enough.
AGENT = """
import os, signal, sys, time
from functools import partial
import fleetbox_edge.duties as duties
import fleetbox_edge.retention.removing as removing
from fleetbox.blobs import Store
from fleetbox_edge.housekeeping import Housekeeping
from fleetbox_edge.recorder import Recorder
from fleetbox_edge.transcoding import Transcoder
from fleetbox_replication.labeler import Labeler, Pace

def dying(owner, name, share=1.0):
    done = getattr(owner, name)
    async def and_die(*given):
        *first, last = given
        await done(*first, last if share == 1.0 else last[: int(len(last) * share)])
        os.kill(os.getpid(), signal.SIGKILL)
    setattr(owner, name, and_die)

duties.Labeler = partial(Labeler, pace=Pace(chores_s=0.2))
Housekeeping._is_idle = lambda self: True
for line in sys.stdin:
    point = line.strip()
    if not point or not (child := os.fork()):
        break
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
if point == "before": dying(Store, "delete", 0.0)
if point == "half": dying(Store, "delete", 0.5)
if point == "after": dying(Store, "delete")
if point == "told": dying(removing, "write_page")
if point == "filmed": dying(Transcoder, "_keep")
recorder = Recorder(sys.argv[1])
time.sleep(600)
"""


class Agent:
    """The agents of one robot, one after the other."""

    def __init__(self, robot: Robot) -> None:
        command = [sys.executable, "-c", AGENT, str(robot.file)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def killed_at(self, point: str) -> None:
        """Let an agent work until it kills itself there."""
        assert self._process.stdout is not None
        self.work(point)
        assert int(self._process.stdout.readline()) == -signal.SIGKILL, point

    def work(self, point: str = "") -> None:
        """Let an agent work."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{point}\n")
        self._process.stdin.flush()

    def end(self) -> None:
        """Kill what runs still."""
        self._process.kill()
        self._process.communicate()


@contextmanager
def agents(robot: Robot) -> Iterator[Agent]:
    """Start agents, and leave none."""
    made = Agent(robot)
    try:
        yield made
    finally:
        made.end()


async def record(store: Store, cls: str, stream: str, pictures: list[bytes], keep: str | None = None) -> list[int]:
    """Write records of two hours ago; return their times in µs."""
    for name in (*RING_CLASSES, "meta"):
        await store.ensure_bucket(name, bucket_spec(name, 1_000_000_000))
    start_us = time.time_ns() // 1000 - OLD_US
    times = list(uneven(start_us - start_us % (10 * MINUTE_US), len(pictures)))
    drafts = []
    for seq, (time_us, data) in enumerate(zip(times, pictures, strict=True)):
        labels = {"type": "images", "session": "s", "seq": str(seq), "xxh": xxhash.xxh3_64_hexdigest(data)}
        labels |= {"keep": keep, "policy": "abc"} if keep else {}
        drafts.append(Draft(stream, time_us, data, labels, "image/jpeg"))
    assert not (await store.write(cls, drafts)).refused
    return times


async def times_of(store: Store, cls: str, stream: str) -> list[int]:
    """Return the times of a stream's records."""
    return [head.time_us async for head in store.query(cls, (stream,), start_us=0, head=True) if head.entry == stream]


async def removals(store: Store, robot: Robot) -> list[Removal]:
    """Return what the robot's ledger says was removed."""
    return (await read_ledger(store, "meta", robot.id)).removals


@pytest.mark.timeout(600)  # five agents one after the other, each with its import
def test_killed_in_the_middle_of_a_removal_each_record_is_counted_once(robot: Robot) -> None:
    """Before anything went, when half had gone, when all of a note had, and when it was told but not forgotten."""
    robot.write(policy='[stream."old/*"]\nretention = "30m"\n')
    streams = ["old/one", "old/two", "old/three"]

    async def main(agent: Agent) -> None:
        async with Store(robot.url, robot.token) as store:
            for stream in streams:
                await record(store, "log", stream, [bytes([at]) * 500 for at in range(COUNT)])
            kept = await record(store, "log", "old/wanted", [b"x" * 500] * COUNT, keep="1")
            for point in ("before", "half", "after", "told"):
                await asyncio.to_thread(agent.killed_at, point)
                gone = sum(one.records for one in await removals(store, robot))
                left = [len(await times_of(store, "log", stream)) for stream in streams]
                assert gone <= len(streams) * COUNT - sum(left), "nothing is told before it is so"

            async def done() -> bool:
                return sum(one.records for one in await removals(store, robot)) >= len(streams) * COUNT

            agent.work()
            await until(done, "all is removed and told")
            told: Counter[str] = Counter()
            for one in await removals(store, robot):
                told[one.stream] += one.records
                assert (one.reason, one.undelivered) == ("older than the policy keeps", 0)
            assert told == dict.fromkeys(streams, COUNT)
            assert [await times_of(store, "log", stream) for stream in streams] == [[]] * len(streams)
            assert await times_of(store, "log", "old/wanted") == kept

    with agents(robot) as agent:
        asyncio.run(main(agent))


@pytest.mark.timeout(600)
def test_killed_between_a_video_and_its_pictures_nothing_is_lost_and_nothing_twice(robot: Robot) -> None:
    """With the video written and all pictures there, with half of them gone, and with their going told."""
    robot.write(policy='[stream."cam/*"]\nvideo = { after = "1m", least_psnr = 30.0, most_share = 0.9 }\n')

    async def main(agent: Agent) -> None:
        async with Store(robot.url, robot.token) as store:
            times = await record(store, "media", "cam/front", moving(2 * COUNT))

            async def filmed() -> list[int]:
                found = [await store.read("media", "cam/front/video", at) for at in
                         await times_of(store, "media", "cam/front/video")]  # fmt: skip
                return sorted(one.time_us + offset for one in found for offset in video.offsets_us(one.data))

            for point in ("filmed", "half", "told"):
                await asyncio.to_thread(agent.killed_at, point)
                pictures, frames = await times_of(store, "media", "cam/front"), await filmed()
                assert sorted({*pictures, *frames}) == times, point
                assert len(frames) == len(set(frames)), point

            async def done() -> bool:
                gone = sum(one.records for one in await removals(store, robot))
                return gone >= len(times) and not await times_of(store, "media", "cam/front")

            agent.work()
            await until(done, "all pictures are videos")
            assert await filmed() == times
            told = await removals(store, robot)
            assert sum(one.records for one in told) == len(times)
            assert {one.reason for one in told} == {"in a video"}

    with agents(robot) as agent:
        asyncio.run(main(agent))

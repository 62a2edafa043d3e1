"""Act 5, Fault: the same full quota twice, side by side: the engine alone loses what fleetbox keeps waiting."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

import xxhash

import fleetbox as fb
from fleetbox.blobs import BucketSpec, Store, TaskSpec, TokenSpec
from fleetbox.checks import run_checks
from fleetbox.errors import FleetboxError, NotFound
from fleetbox.records import Draft
from fleetbox_local.demo.stage import FAULTY as STREAM
from fleetbox_local.demo.stage import Stage

ROBOT = "r2"  # not the one that brakes: its log waits a while
ALONE = "alone"  # buckets, task and token of the hop without fleetbox, gone after the act
BEFORE, DURING = 100, 500  # log lines before the quota is full, and while it is
FULL_BYTES = 1_000  # less than both buckets hold by then
LOOK_S = 0.2
PATIENCE_S = 120.0  # the engine tries again 10 s after a refusal; a busy laptop with fourteen containers gets more
CHECKS_S = 20.0  # the same laptop, asked what is wrong while two robots record


@dataclass(slots=True)
class Hop:
    """Point at one of the two ways from the robot to the edge."""

    source: Store
    there: Store
    src_bucket: str
    dst_bucket: str

    async def held(self, store: Store, bucket: str) -> int:
        """Count the lines that a store really gives out: what an entry counts proves nothing."""
        try:
            return sum([1 async for _ in store.query(bucket, (STREAM,), head=True)])
        except NotFound:
            return 0

    async def arrived(self) -> int:
        """Count the lines at the edge."""
        return await self.held(self.there, self.dst_bucket)

    async def set_full(self) -> BucketSpec:
        """Set a HARD quota below what is there and return what was before."""
        before = await self.there.bucket_spec(self.dst_bucket)
        assert before is not None
        await self.there.ensure_bucket(self.dst_bucket, replace(before, quota_type="HARD", quota_bytes=FULL_BYTES))
        return before


async def play(stage: Stage) -> None:
    """Fill and lift the quota on both ways, while the robots go on recording; keep the figures for `report`."""
    robot = stage.fleet.robot_place(ROBOT)
    assert robot is not None
    edge = stage.place("edge")
    async with stage.store(robot) as source, stage.store(edge) as there:
        alone = Hop(source, there, ALONE, ALONE)
        relayed = Hop(source, there, robot.bucket(ROBOT, "log"), edge.bucket(ROBOT, "log"))
        await _open_alone(alone, edge.url)
        try:
            stage.facts["fault"] = await _compare(stage, alone, relayed)
        finally:
            await source.remove_task(ALONE)
            for store in (source, there):
                await store.remove_bucket(ALONE)
            await there.remove_token(ALONE)


def report(stage: Stage) -> None:
    """Say what became of the lines on both ways."""
    facts = stage.facts["fault"]
    engine, ours = facts["engine_alone"], facts["fleetbox"]
    stage.say(
        f"5 FAULT   while they recorded, {facts['records']} log lines of {ROBOT} met a full quota at the edge, twice\n"
        f"          the engine alone  says pending {engine['pending']}, active {str(engine['active']).lower()}: "
        f"{engine['gone']} lines are gone, lifting the quota brings none back\n"
        f"          with fleetbox     {ours['waited']} lines wait, named: {ours['named']}; "
        f"all {ours['arrived']} are at the edge {ours['seconds_back']:.1f} s after it was lifted"
    )


async def _compare(stage: Stage, alone: Hop, relayed: Hop) -> dict[str, object]:
    total = BEFORE + DURING
    await asyncio.gather(_write(stage, alone, 0, BEFORE), _log(stage, 0, BEFORE))
    await _until(lambda: _all_there((alone, relayed), BEFORE), "the first lines did not reach the edge")
    before = [await hop.set_full() for hop in (alone, relayed)]
    await asyncio.gather(_write(stage, alone, BEFORE, DURING), _log(stage, BEFORE, DURING))
    await _until(lambda: _has_nothing_left(alone), "the engine's own task did not come to its end")
    named = await _named(stage, relayed.dst_bucket)
    told = await alone.source.task(ALONE)
    assert told is not None
    waited = total - await relayed.arrived()
    for hop, spec in zip((alone, relayed), before, strict=True):
        await hop.there.ensure_bucket(hop.dst_bucket, spec)
    lifted = time.monotonic()
    await _until(lambda: _all_there((relayed,), total), "the lines did not come back")
    back_s = time.monotonic() - lifted
    return {
        "records": total,
        "engine_alone": {"pending": told.pending, "active": told.active, "gone": total - await alone.arrived()},
        "fleetbox": {
            "waited": waited,
            "named": named,
            "arrived": await relayed.arrived(),
            "seconds_back": round(back_s, 1),
        },
    }


async def _open_alone(hop: Hop, edge_url: str) -> None:
    """Make a native task that points straight at the edge's store, as the engine's manual shows it."""
    for store in (hop.source, hop.there):
        await store.ensure_bucket(ALONE, BucketSpec("NONE", 0))
    token = await hop.there.ensure_token(TokenSpec(ALONE, (ALONE,), (ALONE,)))
    assert token is not None
    await hop.source.put_task(TaskSpec(ALONE, ALONE, ALONE, edge_url, token))


async def _write(stage: Stage, hop: Hop, first: int, count: int) -> None:
    """Write the lines into the scratch bucket, as any client of the engine would."""
    now_us = time.time_ns() // 1000
    drafts = []
    for number in range(first, first + count):
        data = _line(number).encode()
        drafts.append(Draft(STREAM, now_us + number, data, {"xxh": xxhash.xxh3_64_hexdigest(data)}, "text/plain"))
    await hop.source.write(hop.src_bucket, drafts)


async def _log(stage: Stage, first: int, count: int) -> None:
    """Log the same lines through a recorder."""

    def record() -> None:
        with fb.Recorder(stage.directory / ROBOT / "robot.toml", duties=False) as recorder:
            for number in range(first, first + count):
                recorder.log(STREAM, _line(number))
            recorder.flush(PATIENCE_S)

    await asyncio.to_thread(record)


def _line(number: int) -> str:
    return f"line {number} " + "." * 200


async def _all_there(hops: tuple[Hop, ...], count: int) -> bool:
    return all([await hop.arrived() >= count for hop in hops])


async def _has_nothing_left(hop: Hop) -> bool:
    task = await hop.source.task(ALONE)
    return task is not None and task.pending == 0 and task.errored > 0


async def _named(stage: Stage, bucket: str) -> str:
    """Wait until `doctor` names what is refused, and return its words."""
    words: list[str] = []

    async def found() -> bool:
        checks = await run_checks(stage.fleet, ROBOT, CHECKS_S)
        words[:] = [check.phrase or check.text for check in checks if check.verdict != "PASS" and bucket in check.text]
        return bool(words)

    await _until(found, f"nobody named what {bucket} refuses")
    return words[0]


async def _until(done: Callable[[], Awaitable[bool]], otherwise: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not await done():
        if time.monotonic() > deadline:
            raise FleetboxError(f"{otherwise} within {PATIENCE_S:.0f} s", f"fleetbox doctor {ROBOT}")
        await asyncio.sleep(LOOK_S)

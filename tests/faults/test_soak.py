"""The long ones, for `make soak`: an outage longer than the engine can remember, kills by the hundred."""

from __future__ import annotations

import asyncio
import random
import time
from pathlib import Path

import pytest
import xxhash

from fleetbox.blobs import Store
from fleetbox.records import Draft
from fleetbox_local.drill.faults import crashes
from fleetbox_local.drill.faults.network import cut
from fleetbox_local.drill.playing import play_alone
from fleetbox_local.drill.scenario import Scenario
from fleetbox_local.drill.scene import Scene
from fleetbox_local.drill.setting import RING, ROBOT, Setting

TRANSACTIONS = 2_000_000  # the engine's log holds one million a stream and task
STREAM = "log/soak"
WRITERS = 8  # 3,000 records a second on two cores
BATCH = 80
STEP_US = 1_000
DRAIN_S = 7_200.0
KILLS = 300
PATIENT = Setting(flush_s=1_800.0)  # each kill of the store can leave a half-written record that is healed in a minute
ROOMY = Setting(ring=RING.replace('log = "100 MB"', 'log = "8 GB"'))


@pytest.mark.soak
@pytest.mark.timeout(4 * 3_600)
def test_an_outage_of_two_million_transactions_on_one_stream(tmp_path: Path) -> None:
    """Twice as many records as the engine's log holds are written while the link is cut; every one is at the edge."""
    with Scene(tmp_path, ROOMY) as scene:
        first_us = time.time_ns() // 1000 - TRANSACTIONS * STEP_US
        with cut(scene):
            scene.run(_fill(scene, first_us))
        asyncio.run(_drained(scene, first_us))


@pytest.mark.soak
@pytest.mark.timeout(2 * 3_600)
def test_300_kills_at_random_moments(tmp_path: Path) -> None:
    """Stores, agent and program are killed while records flow: no acknowledged record, no logged row is lost."""
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")  # noqa: T201 - shown when the test fails: the same kills again
    fault = crashes.at_random(KILLS, random.Random(seed))
    scenario = Scenario("kills", "soak", f"{KILLS} kills at random moments", "-", fault, setting=PATIENT, during=20)

    outcome = play_alone(tmp_path, scenario, print)

    assert outcome.faults == ()
    assert outcome.promised > KILLS


async def _fill(scene: Scene, first_us: int) -> None:
    async with scene.store("robot") as store:
        await asyncio.gather(*(_write(store, first_us, writer) for writer in range(WRITERS)))


async def _write(store: Store, first_us: int, writer: int) -> None:
    """Write every eighth batch: together the writers fill the stream in order of time, nearly."""
    for start in range(writer * BATCH, TRANSACTIONS, WRITERS * BATCH):
        drafts = []
        for number in range(start, min(start + BATCH, TRANSACTIONS)):
            data = number.to_bytes(8, "big")
            labels = {"robot": ROBOT, "type": "file", "keep": "1", "seq": str(number)}
            labels["xxh"] = xxhash.xxh3_64_hexdigest(data)
            drafts.append(Draft(STREAM, first_us + number * STEP_US, data, labels, "application/octet-stream"))
        assert not (await store.write("log", drafts)).refused


async def _drained(scene: Scene, first_us: int) -> None:
    """Wait until the edge lists every single one."""
    place, deadline = scene.place("edge"), time.monotonic() + DRAIN_S
    wanted = {first_us + number * STEP_US for number in range(TRANSACTIONS)}
    async with Store.at(place) as store:
        bucket = place.bucket(ROBOT, "log")
        while True:
            held = {head.time_us async for head in store.query(bucket, (STREAM,), head=True)}
            if not (missing := len(wanted - held)):
                return
            assert time.monotonic() < deadline, f"{missing} records are not at the edge"
            await asyncio.sleep(30)

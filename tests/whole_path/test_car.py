"""A real car's recording, from the file over the robot to the cloud, value by value."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from pathlib import Path

from car_truth import CAR_MESSAGES, Truth, car_or_skip, check_objects, check_store, read_truth

from fleetbox.blobs import Store
from fleetbox.errors import NotFound
from fleetbox.settings import Place, load_fleet
from fleetbox_local.fleet import LocalFleet

ROBOT = "car-1"
ARRIVAL_S = 200.0  # loopback takes one; the engine waits 10 s after any trouble, and other tests take the processor


def test_every_value_at_the_robot_and_at_the_cloud(tmp_path: Path) -> None:
    """Ingested at the robot, replicated by native tasks: every value and all three clocks are there at both ends."""
    car = car_or_skip()
    truth = read_truth(car)
    with LocalFleet(tmp_path, [ROBOT], influx=False) as local:
        first = _fleetbox(local, "ingest", str(car), "--robot", ROBOT, "--json")
        again = _fleetbox(local, "ingest", str(car), "--robot", ROBOT, "--json")
        fleet = load_fleet(local.fleet_file)
        route = fleet.route(ROBOT)
        asyncio.run(_compare(route, truth))
        lines = _fleetbox(local, "query", f"{ROBOT}/**", "--tier", "cloud", "--format", "ndjson").splitlines()

    files = [json.loads(text)["files"][0] for text in (first, again)]
    assert [(file["messages"], file["already"] > 0) for file in files] == [(CAR_MESSAGES, False), (CAR_MESSAGES, True)]
    assert files[1]["written"] == 0
    assert check_objects((json.loads(line) for line in lines), truth, ROBOT) > 3 * CAR_MESSAGES


async def _compare(route: list[Place], truth: Truth) -> None:
    robot, cloud = route[0], route[-1]
    async with Store(robot.url, robot.current_token()) as ring, Store(cloud.url, cloud.current_token()) as far:
        wanted = {(head.entry, head.time_us) async for head in ring.query("kept", head=True)}
        deadline = time.monotonic() + ARRIVAL_S
        while wanted - await _held(far):
            assert time.monotonic() < deadline, "the recording did not arrive at the cloud"
            await asyncio.sleep(0.1)
        assert await check_store(ring, "kept", truth) == await check_store(far, f"{ROBOT}--kept", truth) > 0


async def _held(store: Store) -> set[tuple[str, int]]:
    try:
        return {(head.entry, head.time_us) async for head in store.query(f"{ROBOT}--kept", head=True)}
    except NotFound:
        return set()


def _fleetbox(local: LocalFleet, *words: str) -> str:
    command = [sys.executable, "-m", "fleetbox", words[0], "--fleet", str(local.fleet_file), *words[1:]]
    answer = subprocess.run(command, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    return answer.stdout

"""A local fleet with its agents and sites is a working fleet."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from fleetbox.blobs import Store
from fleetbox.errors import FleetboxError
from fleetbox.records import Draft
from fleetbox.settings import Place, load_fleet
from fleetbox_local.fleet import LocalFleet
from fleetbox_local.keeper import Keeper
from fleetbox_local.settling import wait_for_tasks

DEADLINE_S = 150.0  # the engine tries again 5 to 10 s after each refusal, and there are two hops


async def write(place: Place) -> int:
    """Write one record that is selected to travel into a robot's ring; return its time."""
    now_us = time.time_ns() // 1000
    async with Store(place.url, place.current_token(), name=place.name) as store:
        await store.write("sensor", [Draft("a/b", now_us, b"payload", {"keep": "1"}, "text/plain")])
    return now_us


async def arrived(place: Place, time_us: int) -> bytes:
    """Wait until the record is at another place and return its bytes."""
    async with Store(place.url, place.current_token(), name=place.name) as store:
        deadline = time.monotonic() + DEADLINE_S
        while time.monotonic() < deadline:
            async for record in store.query(place.bucket("r1", "sensor"), start_us=time_us, stop_us=time_us + 1):
                return record.data
            await asyncio.sleep(0.1)
    raise AssertionError(f"nothing arrived at {place.name}")


@pytest.mark.timeout(600)
def test_records_travel(tmp_path: Path) -> None:
    """A selected record goes from the robot to the cloud; a killed agent is started again; all end gracefully."""
    with LocalFleet(tmp_path / "fleet", ["r1"], influx=False) as fleet:
        robot, edge, cloud = load_fleet(fleet.fleet_file).route("r1")
        time_us = asyncio.run(write(robot))
        assert [asyncio.run(arrived(place, time_us)) for place in (edge, cloud)] == [b"payload"] * 2

        agent = fleet.nodes["r1 agent"]
        agent.kill()
        said: list[str] = []
        keeper = Keeper(fleet, said.append)
        deadline = time.monotonic() + DEADLINE_S
        while "r1 agent runs again" not in said:
            assert time.monotonic() < deadline
            keeper.step()
            time.sleep(0.05)
        assert any("r1 agent ended with code -9" in text for text in said)
        ended = dict(fleet.stop())
    assert {ended[name] for name in ("r1 agent", "edge site", "r1 store", "edge store", "cloud store")} == {"stopped"}


def test_who_waits_for_tasks_hears_of_an_end(tmp_path: Path) -> None:
    """A process that ended makes no task: that is told at once, not when the time is over."""

    def ended() -> None:
        raise FleetboxError("r1 agent ended with code 1")

    with LocalFleet(tmp_path / "fleet", ["r1"], influx=False, nodes=False) as fleet:
        settings = load_fleet(fleet.fleet_file)
        with pytest.raises(FleetboxError, match="r1 agent ended with code 1"):
            asyncio.run(wait_for_tasks(settings, 1e9, ended))

"""What `doctor` says of a robot's rings: by its own store, and by its agent's last word at the site."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import pytest
from conftest import StoreServer

from fleetbox.blobs import Store
from fleetbox.checks import Check
from fleetbox.ledger import MINUTE_US, minute_of
from fleetbox.naming import CLASSES
from fleetbox.quotas import bucket_spec
from fleetbox.records import Draft
from fleetbox.settings import find_fleet
from fleetbox_edge.door import RobotDoor
from fleetbox_edge.forecast import HOUR_US
from fleetbox_edge.guard import Guard, GuardOptions
from fleetbox_edge.health import STREAM, draft, last_told
from fleetbox_edge.ring_check import ring

from .conftest import Robot

RING = 'ring = { sensor = "1 MB", media = "1 MB", log = "1 MB", kept = "1 MB", leave_free = "0 B" }'


@dataclass(frozen=True)
class Waiting:
    """A minute that the site is not proven to hold."""

    cls: str
    minute_us: int


def judged(robot: Robot) -> list[Check]:
    """Return the check of the robot's rings."""
    return asyncio.run(ring(find_fleet(robot.file), robot.id))


def watch(robot: Robot, waiting: Iterable[Waiting] = ()) -> None:
    """Fill a ring over an hour and let the guard look at it once, as an agent does."""

    async def main() -> None:
        door = RobotDoor(robot.settings.place())
        try:
            for cls in CLASSES:
                await door.ensure_bucket(cls)
            now_us = time.time_ns() // 1000
            times = range(now_us - HOUR_US, now_us, HOUR_US // 100)
            await door.store.write("sensor", [Draft("imu", at_us, bytes(5_000), {}, "") for at_us in times])
            options = GuardOptions(unproven=lambda: waiting)
            await Guard(door, robot.settings, lambda *_: True, options).look()
        finally:
            await door.close()

    asyncio.run(main())


def test_a_robot_tells_how_long_its_rings_hold(robot: Robot) -> None:
    """An hour fills a sixth of a ring: it holds six; before there is a ring nothing is said."""
    robot.write(RING.replace('"1 MB"', '"3 MB"', 1))
    assert judged(robot) == []
    watch(robot)
    (check,) = judged(robot)
    assert check.verdict == "PASS"
    held = re.search(r"sensor holds (\d\.\d) h, full in (\d\.\d) h; kept", check.text)
    assert held
    assert float(held[1]) == pytest.approx(6, abs=0.3)
    assert float(held[2]) == pytest.approx(5, abs=0.3)


def test_what_waits_too_long_is_named(robot: Robot) -> None:
    """A minute not proven for most of what the ring holds is named; one that has left the ring is another's to tell."""
    robot.write(RING.replace('"1 MB"', '"600 kB"', 1))
    now_us = minute_of(time.time_ns() // 1000)
    watch(robot, [Waiting("sensor", now_us - 5 * HOUR_US), Waiting("sensor", now_us - HOUR_US + MINUTE_US)])
    (check,) = judged(robot)
    assert (check.verdict, check.name, check.subject) == ("WARN", "ring", robot.id)
    assert "oldest unproven record of sensor" in check.text
    assert check.next_step


def test_a_robot_out_of_reach_is_judged_by_its_last_word(
    robot: Robot, new_store_server: Callable[..., StoreServer]
) -> None:
    """With its own store down, what the agent told last is read at its site, and said to be old when it is."""
    site = new_store_server()
    (robot.folder / "site").write_text(site.token)
    robot.write(f'{RING}\nsite = "{site.url}"\nsite_token = {{ file = "site" }}')
    watch(robot)

    async def main() -> None:
        async with Store(robot.url, robot.token) as own, Store(site.url, site.token) as there:
            told = await last_told(own, "meta")
            assert told is not None
            assert [entry.name for entry in await own.entries("meta")] == [STREAM]
            await there.ensure_bucket(f"{robot.id}--meta", bucket_spec("meta"))
            await there.write(f"{robot.id}--meta", [draft(replace(told, at_us=told.at_us - HOUR_US, at_risk=3))])

    asyncio.run(main())
    assert [check.verdict for check in judged(robot)] == ["PASS"]
    robot.url = "http://127.0.0.1:9"
    robot.write(f'{RING}\nsite = "{site.url}"\nsite_token = {{ file = "site" }}')
    (check,) = judged(robot)
    assert (check.verdict, check.phrase) == ("FAIL", "promoted records at risk")
    assert "as its agent told" in check.text

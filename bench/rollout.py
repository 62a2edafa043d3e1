"""A policy from the cloud to 50 robots: until each follows it, until the cloud knows; records lost at the switch.

Two robots are whole (their own store, a recorder at full load); 48 are real couriers with a policy on disk, without a
store: fifty stores and agents on two cores would measure the cores. Cloud, edge and their processes are real.
"""

from __future__ import annotations

import asyncio
import queue
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import xxhash

from fleetbox import chunks
from fleetbox.blobs import Store
from fleetbox.labels import Labels
from fleetbox.naming import CLASSES
from fleetbox.policies import followed_now
from fleetbox.records import Draft
from fleetbox.settings import FleetSettings, load_fleet, load_robot, parse_policy
from fleetbox.signing import public_of
from fleetbox_cloud.desk import applying
from fleetbox_cloud.desk.planning import Wish
from fleetbox_edge.courier import Courier, Memory, Switch
from fleetbox_edge.live_policy import live_policy
from fleetbox_edge.recorder import Recorder
from fleetbox_local.fleet import LocalFleet
from fleetbox_local.fleet_files import robot_toml
from fleetbox_local.seating import Seat
from fleetbox_local.site_tokens import provision_sites

WHOLE = ("r1", "r2")
LIGHT = tuple(f"v{number:02}" for number in range(48))
ROUNDS = 5  # switches; the worst is told
STREAMS, ROW_EVERY_S = 4, 0.002  # 2,000 rows/s a robot
DEADLINE_S = 90.0
GOAL_S = 10.0
FAR_US = 1 << 60


def run() -> list[dict[str, Any]]:
    """Measure on a fresh fleet and return the rows."""
    with tempfile.TemporaryDirectory(prefix="fleetbox-bench-") as folder, ExitStack() as stack:
        local = stack.enter_context(LocalFleet(Path(folder) / "fleet", WHOLE, influx=False, nodes=False))
        fleet = _enlarge(local)
        for site in ("cloud", "edge"):
            stack.enter_context(_site(local.fleet_file, site))
        asyncio.run(_ready(fleet))  # what is written before its task exists waits for the reconciler
        stack.enter_context(_couriers(local, fleet))
        writers = [stack.enter_context(_writing(local.directory / name)) for name in WHOLE]
        times = asyncio.run(_rounds(fleet))
        for writer in writers:
            writer.end()
        lost, doubled = (sum(found) for found in zip(*(asyncio.run(_count(fleet, w)) for w in writers), strict=True))
    count, rows = len(WHOLE) + len(LIGHT), sum(sum(writer.logged.values()) for writer in writers)
    title = f"policy from the cloud to {count} robots"
    first, nearly_all, known = zip(*times, strict=True)
    return [
        _row(f"{title}: the first follows it, median of {ROUNDS}", median(first), "s"),
        _row(f"{title}: 99 % follow it, median of {ROUNDS}", median(nearly_all), "s", f"< {GOAL_S:g} s"),
        _row(f"{title}: 99 % follow it, worst of {ROUNDS}", max(nearly_all), "s"),
        _row(f"{title}: the cloud knows of all, median of {ROUNDS}", median(known), "s"),
        _row(f"rows lost at {ROUNDS} switches, of {rows:,}", lost, "rows", "0"),
        _row(f"rows doubled at {ROUNDS} switches", doubled, "rows", "0"),
    ]


def _row(name: str, value: float, unit: str, goal: str | None = None) -> dict[str, Any]:
    return {"name": name, "value": value, "unit": unit, "raw": None, "ratio": None, "goal": goal}


async def _ready(fleet: FleetSettings) -> None:
    """Return when the edge has a task for each robot and class."""

    async def look() -> bool | None:
        return len(await edge.tasks()) >= len(CLASSES) * (len(WHOLE) + len(LIGHT)) or None

    async with Store.at(fleet.site_place("edge")) as edge:
        await _until(look)


async def _rounds(fleet: FleetSettings) -> list[tuple[float, float, float]]:
    """Send one policy after another; return per round when the first, 99 %, and the cloud's books had it, in s."""
    place, robots = fleet.site_place("cloud"), [*WHOLE, *LIGHT]
    async with Store.at(fleet.site_place("edge")) as edge, Store.at(place) as cloud:
        await _until(lambda: _follow(cloud, robots, ""))  # all have said what their own file says
        found = []
        for number in range(ROUNDS):
            ship = "event" if number % 2 else "always"
            text = f'name = "round"\nversion = {number + 1}\n[stream."imu*"]\nship = "{ship}"\n'
            wish = Wish(parse_policy(text), text, FAR_US, ("*",), (100,))
            drafted = (await applying.preview(fleet, place, wish)).rollout
            sent_us = time.time_ns() // 1000
            await applying.send(place, drafted)
            stamps = await _until(lambda order=drafted.id: _follow(edge, robots, order))
            await _until(lambda order=drafted.id: _follow(cloud, robots, order))
            delays = sorted((stamp - sent_us) / 1e6 for stamp in stamps)
            known_s = (time.time_ns() // 1000 - sent_us) / 1e6
            found.append((delays[0], delays[int(0.99 * (len(delays) - 1))], known_s))
    return found


async def _follow(store: Store, robots: Sequence[str], order: str) -> list[int] | None:
    """Return when each robot came to follow what an order brought, None while one does not; stamps in µs."""
    stamps = []
    for robot in robots:
        told = await followed_now(store, f"{robot}--meta")
        if told is None or told.order != order:
            return None
        stamps.append(told.time_us)
    return stamps


async def _until(look: Any) -> Any:
    async with asyncio.timeout(DEADLINE_S):
        while (found := await look()) is None:  # noqa: ASYNC110 - what happens in servers sets no event here
            await asyncio.sleep(0.1)
    return found


def _enlarge(local: LocalFleet) -> FleetSettings:
    """Add the robots without a store to the fleet's file, and give them desks and tokens."""
    more = "".join(f'\n[[robots]]\nmatch = "{name}"\nsite  = "edge"\n' for name in LIGHT)
    local.fleet_file.write_text(local.fleet_file.read_text() + more)
    fleet = load_fleet(local.fleet_file)
    asyncio.run(provision_sites(fleet, local.directory / "secrets"))
    return fleet


@contextmanager
def _site(fleet_file: Path, site: str) -> Iterator[None]:
    verb = [sys.executable, "-m", "fleetbox", "site", "run", "--fleet", str(fleet_file), "--site", site]
    with fleet_file.with_name(f"{site}.log").open("wb") as log:
        child = subprocess.Popen(verb, stdout=log, stderr=log)
    try:
        yield
    finally:
        child.terminate()
        child.wait()


@contextmanager
def _couriers(local: LocalFleet, fleet: FleetSettings) -> Iterator[None]:
    """Run a courier for each robot without a store, in one thread."""
    assert local.seating is not None
    assert fleet.policy_key is not None
    public = public_of(fleet.policy_key.read())
    for name in LIGHT:
        seat = Seat(name, "robot", 9, 9, local.directory / name)
        seat.directory.mkdir()
        (seat.directory / "robot.toml").write_text(robot_toml(seat, local.seating.edge, public))
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()

    async def main() -> None:
        work = [asyncio.create_task(_courier(local.directory / name, fleet)) for name in LIGHT]
        await stop.wait()
        for task in work:
            task.cancel()
        await asyncio.gather(*work, return_exceptions=True)

    thread = threading.Thread(target=lambda: loop.run_until_complete(main()))
    thread.start()
    try:
        yield
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()


async def _courier(folder: Path, fleet: FleetSettings) -> None:
    settings = load_robot(folder / "robot.toml")
    said: asyncio.Queue[Draft] = asyncio.Queue()

    def now_us() -> int:
        return time.time_ns() // 1000

    def tell(stream: str, data: bytes, labels: Labels) -> None:
        own = {"robot": settings.robot, "type": "json", "keep": "1", "xxh": xxhash.xxh3_64_hexdigest(data)}
        said.put_nowait(Draft(stream, now_us() + said.qsize(), data, {**own, **labels}, "application/json"))

    async def held() -> dict[str, tuple[int, int]]:
        return {}

    async def carry() -> None:
        async with Store.at(fleet.site_place("edge")) as store:
            while True:
                await store.write(f"{settings.robot}--meta", [await said.get()])

    live = live_policy(settings.policy, settings.state)
    switch = Switch(settings, live, Memory.at(settings.state / "policy"), tell, now_us)
    await asyncio.gather(Courier(settings, switch, tell, held, now_us).run(), carry())


class _Writer:
    """Log rows to one robot, each with its number."""

    def __init__(self, folder: Path, recorder: Recorder) -> None:
        self.robot, self.logged = folder.name, Counter[str]()
        self._recorder, self._stop = recorder, threading.Event()
        self._errors: queue.Queue[BaseException] = queue.Queue()
        self._thread = threading.Thread(target=self._work)
        self._thread.start()

    def end(self) -> None:
        """Stop logging and wait until the store has all of it."""
        self._stop.set()
        self._thread.join()
        if not self._errors.empty():
            raise self._errors.get()
        self._recorder.flush(DEADLINE_S)

    def _work(self) -> None:
        try:
            while not self._stop.wait(ROW_EVERY_S):
                for stream in range(STREAMS):
                    name = f"imu{stream}"
                    self._recorder.log(name, {"n": self.logged[name]})
                    self.logged[name] += 1
        except BaseException as error:
            self._errors.put(error)


@contextmanager
def _writing(folder: Path) -> Iterator[_Writer]:
    with Recorder(folder / "robot.toml") as recorder:
        writer = _Writer(folder, recorder)
        try:
            yield writer
        finally:
            writer.end()


async def _count(fleet: FleetSettings, writer: _Writer) -> tuple[int, int]:
    """Return how many rows a robot's store lacks, and how many it holds twice."""
    place = fleet.robot_place(writer.robot)
    assert place is not None
    lost = doubled = 0
    async with Store.at(place) as store:
        for stream, logged in writer.logged.items():
            found: Counter[int] = Counter()
            async for record in store.query("sensor", [stream], start_us=0, stop_us=FAR_US):
                found.update(int(row["n"]) for row in chunks.rows(record.data))
            lost += logged - len(found)
            doubled += sum(found.values()) - len(found)
    return lost, doubled

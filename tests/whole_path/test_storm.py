"""One robot, an edge, a cloud, and everything that goes wrong between them while the agent writes."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.request import urlopen

import pytest
import xxhash
from conftest import PROMPT

from fleetbox import chunks
from fleetbox.blobs import BucketSpec, Store
from fleetbox.errors import NotFound, StoreRefused, Unreachable
from fleetbox.records import Record
from fleetbox.settings import FleetSettings, Place, load_fleet
from fleetbox_cloud.provision import wanted
from fleetbox_cloud.tokens import replace_token, save_token
from fleetbox_local.child import Child, Command
from fleetbox_local.fleet import LocalFleet
from fleetbox_local.links import Link

WRITER = Path(__file__).with_name("writer.py")
CLASSES = ("sensor", "media", "log")
RESETS = 20
KILLS = 1  # a writer killed between log() and its note of it repeats one number: written, not yet promised
ALWAYS = '[stream."**"]\nship = "always"\n'
DEADLINE_S = 240.0  # a half-written record is healed after a minute, and there are two hops


@dataclass
class Robot:
    """The writer and what it has promised so far."""

    config: Path
    progress: Path
    log: Path
    child: Child | None = None

    def start(self) -> None:
        """Start the writer, or start it again where it was."""
        self.child = Child(
            Command("writer", (sys.executable, str(WRITER), str(self.config), str(self.progress)), self.log)
        )
        self.child.start()

    def promised(self) -> int:
        """Return how many numbers `log()` has returned for."""
        return int(self.progress.read_bytes() or b"0") if self.progress.exists() else 0

    def wait_for(self, more: int) -> None:
        """Wait until so many more numbers are promised."""
        goal, deadline = self.promised() + more, time.monotonic() + 120
        while self.promised() < goal:
            assert self.child is not None
            assert self.child.alive, "\n".join(self.child.tail(40))
            assert time.monotonic() < deadline, "the writer stands still"
            time.sleep(0.05)


@pytest.fixture
def local(tmp_path: Path) -> Iterator[LocalFleet]:
    """The stores of one robot, an edge and a cloud, provisioned; every stream always ships."""
    (tmp_path / "policy.toml").write_text(ALWAYS)
    prompt = dict.fromkeys(("r1", "edge"), PROMPT)
    with LocalFleet(tmp_path, ["r1"], influx=False, nodes=False, store_env=prompt) as fleet:
        yield fleet


@pytest.mark.slow
@pytest.mark.timeout(1800)  # it waits for many things in turn, each as long as a busy machine needs
def test_everything_selected_arrives_through_every_fault(local: LocalFleet, tmp_path: Path) -> None:
    """Resets, kills, a full quota and a revoked token, while writing: every promised number is readable everywhere."""
    fleet = load_fleet(local.fleet_file)
    site = Child(
        Command(
            "edge site",
            _fleetbox("site", "run", "--fleet", str(local.fleet_file), "--site", "edge"),
            tmp_path / "site.log",
        )
    )
    with Link("127.0.0.1", local.stores["edge"].port) as link:
        robot = _robot_behind(link, tmp_path)
        site.start()
        robot.start()
        try:
            robot.wait_for(100)
            _reset_often(link, robot)
            _kill_and_restart_edge(local, robot)
            _kill_and_restart_writer(robot)
            asyncio.run(_fill_and_lift_quota(fleet, robot))
            asyncio.run(_revoke_and_replace_token(fleet, tmp_path, robot))
            robot.wait_for(100)
            assert robot.child is not None
            robot.child.terminate()
            assert robot.child.wait(150), "the writer did not flush"
            assert robot.child.exit_code == 0, "\n".join(robot.child.tail(40))
            asyncio.run(_settle(fleet, robot, tmp_path))
        finally:
            for child in (robot.child, site):
                if child is not None:
                    child.stop(10)


def _fleetbox(*words: str) -> tuple[str, ...]:
    return (sys.executable, "-m", "fleetbox", *words)


def _robot_behind(link: Link, directory: Path) -> Robot:
    """Put the link between the robot's relay and the edge."""
    config = directory / "r1" / "robot.toml"
    lines = [
        f'site        = "{link.url}"' if line.startswith("site  ") else line for line in config.read_text().splitlines()
    ]
    lines.append('agent = { health = "off" }')  # everything is compared while the agent runs
    config.write_text("\n".join(lines) + "\n")
    return Robot(config, directory / "progress", directory / "writer.log")


def _reset_often(link: Link, robot: Robot) -> None:
    for _ in range(RESETS):
        link.reset_after(30_000)  # in the middle of a request, whatever its size
        robot.wait_for(25)


def _kill_and_restart_edge(local: LocalFleet, robot: Robot) -> None:
    edge = local.stores["edge"]
    edge.kill()
    robot.wait_for(200)
    edge.start()
    edge.wait_ready()


def _kill_and_restart_writer(robot: Robot) -> None:
    assert robot.child is not None
    robot.child.kill()
    robot.start()
    robot.wait_for(100)


async def _fill_and_lift_quota(fleet: FleetSettings, robot: Robot) -> None:
    place = fleet.site_place("edge")
    async with Store(place.url, place.current_token()) as store:
        before = await store.bucket_spec("r1--media")
        assert before is not None
        await store.ensure_bucket(
            "r1--media", BucketSpec("HARD", 1_000, before.max_block_records, before.max_block_bytes)
        )
        await asyncio.to_thread(robot.wait_for, 400)
        stuck = await _listed(store, "r1--media")
        await asyncio.to_thread(robot.wait_for, 400)
        assert not await _listed(store, "r1--media") - stuck, "the quota did not hold anything back"
        await store.ensure_bucket("r1--media", before)


async def _revoke_and_replace_token(fleet: FleetSettings, directory: Path, robot: Robot) -> None:
    place = fleet.site_place("edge")
    want = wanted(fleet, "edge").tokens["r1"]
    async with Store(place.url, place.current_token()) as store:
        await store.remove_token("r1")
        await asyncio.to_thread(robot.wait_for, 400)
        save_token(directory / "secrets", "r1-at-edge", await replace_token(store, want))


async def _settle(fleet: FleetSettings, robot: Robot, directory: Path) -> None:
    """Keep an agent running for the rest of the way, wait, then count everything one by one."""
    agent = Child(Command("agent", _fleetbox("agent", "run", "--config", str(robot.config)), directory / "agent.log"))
    agent.start()
    try:
        own = fleet.robot_place("r1")
        assert own is not None
        async with Store(own.url, own.current_token()) as ring:
            recorded = await _everything(ring, own)
            _check_promises(recorded, robot.promised())
            for place in (fleet.site_place("edge"), fleet.site_place("cloud")):
                async with Store(place.url, place.current_token()) as store:
                    await _arrive(store, place, recorded, [own.relay, fleet.site_place("edge").relay])
                    await asyncio.to_thread(_mend, fleet)
                    assert await _everything(store, place) == recorded
    finally:
        agent.stop(10)


def _mend(fleet: FleetSettings) -> None:
    """Read every payload: a request of a killed sender and its successor's can spoil a record inside the engine."""
    done = subprocess.run(_fleetbox("replicate", "repair", "--deep", "--fleet", str(fleet.source)), timeout=300)
    assert done.returncode in (0, 3), "repair could not look"


def _check_promises(recorded: dict[tuple[str, int], str], promised: int) -> None:
    assert promised > 1_500
    for stream, every in (("log/text", 10), ("cam/front", 40)):
        written = sum(key[0] == stream for key in recorded)
        assert 0 <= written - len(range(0, promised, every)) <= KILLS, stream


async def _arrive(store: Store, place: Place, recorded: dict[tuple[str, int], str], relays: list[str | None]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while True:
        there = {key for cls in CLASSES for key in await _held(store, place.bucket("r1", cls))}
        if not (missing := recorded.keys() - there):
            return
        if time.monotonic() > deadline:
            streams = Counter(stream for stream, _ in missing)
            pytest.fail(f"{place.name} lacks {streams}; relays say: {[_told(relay) for relay in relays]}")
        await asyncio.sleep(0.25)


def _told(relay: str | None) -> str:
    try:
        with urlopen(f"{relay}/relay/status", timeout=5) as answer:
            return str(answer.read().decode())
    except OSError as error:
        return str(error)


async def _held(store: Store, bucket: str) -> set[tuple[str, int]]:
    try:
        return await _listed(store, bucket)
    except (NotFound, Unreachable, StoreRefused):
        return set()


async def _listed(store: Store, bucket: str) -> set[tuple[str, int]]:
    return {(head.entry, head.time_us) async for head in store.query(bucket, head=True)}


async def _everything(store: Store, place: Place) -> dict[tuple[str, int], str]:
    """Read every record and return its hash by stream and time; the rows of `health` are counted one by one."""
    found, numbers = {}, []
    for cls in CLASSES:
        async for record in store.query(place.bucket("r1", cls)):
            assert isinstance(record, Record)
            assert xxhash.xxh3_64_hexdigest(record.data) == record.labels["xxh"], "other bytes than were written"
            found[record.entry, record.time_us] = record.labels["xxh"]
            if record.entry == "health":
                numbers += [row["n"] for row in chunks.rows(record.data)]
    assert set(numbers) == set(range(max(numbers) + 1)), "a number is missing"
    assert len(numbers) - len(set(numbers)) <= KILLS
    return found

"""Three real stores as robot, edge and cloud, and a way to put rows and blobs into them as an agent would."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import xxhash

from fleetbox import chunks
from fleetbox.blobs import BucketSpec, Store
from fleetbox.records import Draft
from fleetbox.settings import FleetSettings, load_fleet
from fleetbox_local.processes import StoreProcess
from fleetbox_query.fleet import Fleet, connect

START_S = 120.0
PATIENCE_S = 60.0  # on a busy machine, for places that a person would not wait for so long
PATIENT = f"import fleetbox_query.inventory; fleetbox_query.inventory.REACH_S = {PATIENCE_S}\n"  # as `patient` below
MAIN = f"{PATIENT}from fleetbox.cli.root import main; main()"  # the command line in a program of its own


@dataclass
class Tiers:
    """A fleet of one robot, one edge site and the cloud, each a real store of its own."""

    directory: Path
    stores: dict[str, StoreProcess]
    robot: str = "r1"
    influx: str = ""
    own_robot: bool = False
    made: set[tuple[str, str]] = field(default_factory=set)

    def write_fleet(self, directory: Path, robots: Sequence[str] = (), urls: Mapping[str, str] | None = None) -> Path:
        """Write a fleet.toml for these stores; `urls` replaces some."""
        found = {name: store.url for name, store in self.stores.items()} | dict(urls or {})
        for name, store in self.stores.items():
            (directory / f"{name}.token").write_text(store.token)
        lines = [
            'fleet = "test"',
            *(
                f'[[robots]]\nmatch = "{robot}"\nsite = "edge-1"\nstore = "{found["robot"]}"\n'
                'token = { file = "robot.token" }'
                for robot in robots or (self.robot,)
            ),
            f'[site.edge-1]\nstore = "{found["edge"]}"\ntoken = {{ file = "edge.token" }}\nnext = "cloud"',
            f'[site.cloud]\nstore = "{found["cloud"]}"\ntoken = {{ file = "cloud.token" }}\n{self.influx}',
        ]
        path = directory / "fleet.toml"
        path.write_text("\n".join(lines))
        return path

    def put(self, tier: str, cls: str, drafts: Sequence[Draft], robot: str | None = None) -> None:
        """Write drafts into a class of a tier; the bucket is made when missing."""
        bucket = cls if tier == "robot" else f"{robot or self.robot}--{cls}"
        asyncio.run(self._put(tier, bucket, drafts))

    def attach(self, tier: str, cls: str, stream: str, schema: Mapping[str, Any], robot: str | None = None) -> None:
        """Attach a schema to a stream."""
        bucket = cls if tier == "robot" else f"{robot or self.robot}--{cls}"
        asyncio.run(self._attach(tier, bucket, stream, schema))

    async def _put(self, tier: str, bucket: str, drafts: Sequence[Draft]) -> None:
        async with self._store(tier) as store:
            if (tier, bucket) not in self.made:
                await store.ensure_bucket(bucket, BucketSpec("NONE", 0))
                self.made.add((tier, bucket))
            report = await store.write(bucket, drafts)
            assert not report.refused
            await self._can_be_read(store, bucket, drafts)

    async def _can_be_read(self, store: Store, bucket: str, drafts: Sequence[Draft]) -> None:
        """Wait until a query finds all of it: on a busy machine one was seen that did not."""
        entries, times = tuple({one.entry for one in drafts}), [one.time_us for one in drafts]
        missing = {(one.entry, one.time_us) for one in drafts}
        async with asyncio.timeout(120):
            while missing:
                query = store.query(bucket, entries, start_us=min(times), stop_us=max(times) + 1, head=True)
                async for head in query:
                    missing.discard((head.entry, head.time_us))

    async def _attach(self, tier: str, bucket: str, stream: str, schema: Mapping[str, Any]) -> None:
        async with self._store(tier) as store:
            await store.write_attachment(bucket, stream, "schema", dict(schema))

    def _store(self, tier: str) -> Store:
        assert tier != "robot" or self.own_robot, "a robot's buckets have no robot's name: use the fixture own_robot"
        process = self.stores[tier]
        return Store(process.url, process.token, name=tier)


def chunk(
    stream: str, times_us: Sequence[int], columns: Mapping[str, Any], *, robot: str = "r1", **labels: str
) -> Draft:
    """Return a chunk as the agent writes it; labels named clocks__x go into the chunk as clock x."""
    clocks = {name.removeprefix("clocks__"): labels.pop(name) for name in list(labels) if name.startswith("clocks__")}
    data = chunks.encode(times_us, columns, clocks=clocks)
    own = {"rows": str(len(times_us)), "t_end": str(max(times_us)), "type": "time_series"}
    return _draft(stream, times_us[0], data, robot, chunks.CONTENT_TYPE, {**own, **labels})


def blob(stream: str, time_us: int, data: bytes, *, robot: str = "r1", kind: str = "file", **labels: str) -> Draft:
    """Return a blob as the agent writes it."""
    content = {"log": "text/plain", "json": "application/json", "event": "application/json", "images": "image/jpeg"}
    return _draft(stream, time_us, data, robot, content.get(kind, "application/octet-stream"), {"type": kind, **labels})


def _draft(stream: str, time_us: int, data: bytes, robot: str, content_type: str, labels: Mapping[str, str]) -> Draft:
    full = {"robot": robot, "xxh": xxhash.xxh3_64_hexdigest(data), **labels}
    return Draft(stream, time_us, data, full, content_type)


@contextmanager
def three_tiers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, StoreProcess]]:
    """Run a store per tier."""
    made: dict[str, StoreProcess] = {}
    for tier in ("robot", "edge", "cloud"):
        made[tier] = StoreProcess(tmp_path_factory.mktemp(tier) / "data")
        made[tier].start()
    try:
        for store in made.values():
            store.wait_ready(START_S)
        yield made
    finally:
        for store in made.values():
            store.kill()


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A place that is slow to answer is waited for: without it an answer is another one."""
    for name in ("inventory.REACH_S", "means.PATIENCE_S", "rolling.PATIENCE_S", "live.replaying.REACHED_S"):
        monkeypatch.setattr(f"fleetbox_query.{name}", PATIENCE_S)


@pytest.fixture(scope="session")
def three_stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, StoreProcess]]:
    """A store per tier for all of these tests; they keep apart by random names."""
    with three_tiers(tmp_path_factory) as made:
        yield made


@pytest.fixture
def own_robot(tmp_path: Path) -> Iterator[StoreProcess]:
    """A robot's store that nobody else asks: on a robot the buckets are the classes, and neighbours would see all."""
    server = StoreProcess(tmp_path / "own-robot")
    server.start()
    try:
        server.wait_ready(START_S)
        yield server
    finally:
        server.kill()


@pytest.fixture
def tiers(three_stores: dict[str, StoreProcess], tmp_path: Path, request: pytest.FixtureRequest) -> Tiers:
    """The three tiers with a robot nobody else uses; its own store stays empty unless a test has `own_robot` too."""
    robot = f"r-{uuid.uuid4().hex[:8]}"
    if "own_robot" not in request.fixturenames:
        return Tiers(tmp_path, three_stores, robot)
    return Tiers(tmp_path, {**three_stores, "robot": request.getfixturevalue("own_robot")}, robot, own_robot=True)


@pytest.fixture
def stream() -> str:
    """A stream nobody else uses."""
    return f"s{uuid.uuid4().hex[:8]}"


@pytest.fixture
def settings(tiers: Tiers, tmp_path: Path) -> FleetSettings:
    """The settings of the three tiers."""
    return load_fleet(tiers.write_fleet(tmp_path))


@pytest.fixture
def fleet(settings: FleetSettings) -> Iterator[Fleet]:
    """The three tiers, connected."""
    with connect(settings) as connected:
        yield connected


@pytest.fixture
def fleet_at() -> Iterator[Callable[[Path], Fleet]]:
    """Connect to a fleet.toml; closed at the end."""
    opened: list[Fleet] = []

    def at(path: Path) -> Fleet:
        opened.append(connect(path))
        return opened[-1]

    yield at
    for one in opened:
        one.close()

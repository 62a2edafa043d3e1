"""A robot behind a link that can be cut: whoever pulls reaches only its site, as behind a NAT."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import xxhash

from fleetbox.blobs import BucketSpec, Store
from fleetbox.errors import NotFound
from fleetbox.naming import CLASSES, desk_bucket, site_bucket
from fleetbox.quotas import bucket_spec
from fleetbox.records import Draft, Record
from fleetbox.settings import FleetSettings, load_fleet
from fleetbox_local.links import Link
from fleetbox_local.ports import free_port
from tests.conftest import StoreServer
from tests.edge_node.conftest import Robot


@dataclass
class Far:
    """Hold a robot, its site's store, the link between, and the fleet as an operator sees it."""

    robot: Robot
    site: StoreServer
    link: Link
    fleet: FleetSettings

    def ask(self, question: Callable[[Store], Coroutine[Any, Any, Any]], *, site: bool = False) -> Any:
        """Ask the robot's store something, or the site's."""
        url, token = (self.site.url, self.site.token) if site else (self.robot.url, self.robot.token)

        async def asked() -> Any:
            async with Store(url, token) as store:
                return await question(store)

        return asyncio.run(asked())

    def record(self, cls: str, stream: str, times: list[int], size: int = 200) -> None:
        """Write records into the robot's store, selected by nobody yet."""
        drafts = []
        for number, time_us in enumerate(times):
            data = f"{stream} {number} ".encode().ljust(size, b".")
            labels = {"robot": self.robot.id, "type": "file", "xxh": xxhash.xxh3_64_hexdigest(data)}
            drafts.append(Draft(stream, time_us, data, labels, "application/octet-stream"))

        async def write(store: Store) -> None:
            await store.ensure_bucket(cls, bucket_spec(cls))
            report = await store.write(cls, drafts)
            assert not report.refused

        self.ask(write)

    def at_site(self, cls: str, stream: str) -> list[Record]:
        """Return what the site holds of a stream."""

        async def read(store: Store) -> list[Record]:
            bucket = site_bucket(self.robot.id, cls)
            try:
                return [record async for record in store.query(bucket, (stream,), start_us=0)]
            except NotFound:
                return []

        found: list[Record] = self.ask(read, site=True)
        return found

    def sound(self, cls: str, stream: str) -> list[int]:
        """Return the times of what the site holds of a stream with the right bytes, one record in memory at a time."""

        async def read(store: Store) -> list[int]:
            records = store.query(site_bucket(self.robot.id, cls), (stream,), start_us=0)
            return [one.time_us async for one in records if xxhash.xxh3_64_hexdigest(one.data) == one.labels["xxh"]]

        found: list[int] = self.ask(read, site=True)
        return found


@pytest.fixture
def mbit_s() -> float:
    """How fast the link is; a test may parametrize it."""
    return 80.0


@pytest.fixture
def far(robot: Robot, new_store_server: Callable[..., StoreServer], tmp_path: Path, mbit_s: float) -> Iterator[Far]:
    """A robot that nobody reaches but over its own calls to its site."""
    site = new_store_server()
    (tmp_path / "site.token").write_text(site.token)
    (tmp_path / "fleet.toml").write_text(
        f'[[robots]]\nmatch = "{robot.id}"\nsite = "edge"\n'
        f'[site.edge]\nstore = "{site.url}"\ntoken = {{ file = "site.token" }}\n'
    )

    async def provision(store: Store) -> None:
        for name in (*(site_bucket(robot.id, cls) for cls in CLASSES), desk_bucket(robot.id)):
            await store.ensure_bucket(name, BucketSpec("NONE", 0))

    with Link("127.0.0.1", site.port, rtt_ms=20, mbit_s=mbit_s) as link:
        relay = f"http://127.0.0.1:{free_port()}"
        (robot.folder / "site.token").write_text(site.token)
        robot.write(f'site = "{link.url}"\nsite_token = {{ file = "site.token" }}\nrelay = "{relay}"\n')
        far = Far(robot, site, link, load_fleet(tmp_path / "fleet.toml"))
        far.ask(provision, site=True)
        yield far

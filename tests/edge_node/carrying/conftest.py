"""A robot that reports to a site, with records of every class; both have real stores."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import xxhash

from fleetbox.blobs import BucketSpec, Store
from fleetbox.errors import NotFound
from fleetbox.naming import CLASSES
from fleetbox.records import Draft, Record
from fleetbox.settings import FleetSettings, load_fleet

SECOND = 1_000_000
ROBOT = "r7"


@dataclass
class Pair:
    """A robot's store and its site's, and the fleet.toml that knows both."""

    folder: Path
    robot: Any
    site: Any
    moment_us: int

    @property
    def fleet(self) -> FleetSettings:
        """Return the fleet as the file says now."""
        return load_fleet(self.folder / "fleet.toml")

    def write(self, policy: str = "") -> None:
        """Write the settings."""
        self.folder.mkdir(exist_ok=True)
        (self.folder / "robot.token").write_text(self.robot.token)
        (self.folder / "site.token").write_text(self.site.token)
        (self.folder / "policy.toml").write_text(policy)
        (self.folder / "fleet.toml").write_text(
            f'policy = "policy.toml"\n[[robots]]\nmatch = "{ROBOT}"\nsite = "edge-1"\nstore = "{self.robot.url}"\n'
            f'token = {{ file = "robot.token" }}\nstate = "state"\n'
            f'[site.edge-1]\nstore = "{self.site.url}"\ntoken = {{ file = "site.token" }}\ntier = "edge"\n'
        )

    def record(self, cls: str, stream: str, count: int, size: int = 100, at_us: int = 0, **labels: str) -> list[int]:
        """Write records half a second apart into the robot's store; return their times."""
        times = [(at_us or self.moment_us) + number * SECOND // 2 for number in range(count)]
        drafts = []
        for number, time_us in enumerate(times):
            data = f"{stream} {number} ".encode().ljust(size, b".")
            base = {"robot": ROBOT, "type": "file", "seq": str(number), "xxh": xxhash.xxh3_64_hexdigest(data)}
            drafts.append(Draft(stream, time_us, data, {**base, **labels}, "application/octet-stream"))

        async def write() -> None:
            async with Store(self.robot.url, self.robot.token) as store:
                await store.ensure_bucket(cls, BucketSpec("NONE", 0))
                report = await store.write(cls, drafts)
                assert not report.refused

        asyncio.run(write())
        return times

    def fill(self) -> None:
        """Record something of every class: of `media` every second frame is selected."""
        self.record("media", "cam/front", 20, 20_000, keep="1")
        self.record("media", "cam/front", 20, 20_000, at_us=self.moment_us + SECOND // 4)
        self.record("sensor", "imu", 200, keep="1", policy="abcd1234")
        self.record("log", "log/app", 5, keep="edge")
        self.record("meta", "episodes", 3)
        self.record("kept", "bag/imu", 4)

    def at_site(self, cls: str, stream: str = "**") -> list[Record]:
        """Return the site's records of a class, without its engine's attachments."""
        return asyncio.run(_read(self.site, f"{ROBOT}--{cls}", stream))

    def at_robot(self, cls: str, stream: str = "**") -> list[Record]:
        """Return the robot's records of a class."""
        return asyncio.run(_read(self.robot, cls, stream))

    def selected(self) -> dict[tuple[str, str, int], tuple[bytes, dict[str, str]]]:
        """Return all that should be carried, by class, stream and time."""
        return {
            (cls, record.entry, record.time_us): (record.data, record.labels)
            for cls in CLASSES
            for record in self.at_robot(cls)
            if cls in ("meta", "kept") or "keep" in record.labels
        }

    def landed(self) -> dict[tuple[str, str, int], tuple[bytes, dict[str, str]]]:
        """Return all that the site holds but its notes of what came by hand."""
        return {
            (cls, record.entry, record.time_us): (record.data, record.labels)
            for cls in CLASSES
            for record in self.at_site(cls)
            if not record.entry.startswith("carried/")
        }


async def _read(server: Any, bucket: str, stream: str) -> list[Record]:
    async with Store(server.url, server.token) as store:
        try:
            return [record async for record in store.query(bucket, (stream,), start_us=0) if "$" not in record.entry]
        except NotFound:
            return []


@pytest.fixture
def pair(new_store_server: Callable[..., Any], tmp_path: Path) -> Pair:
    """A robot and its site; nothing is recorded yet."""
    moment_us = (time.time_ns() // 60_000_000_000 - 10) * 60 * SECOND
    made = Pair(tmp_path / "fleet", new_store_server(), new_store_server(), moment_us)
    made.write()
    return made

"""A robot for each test: its own store, settings and state folder."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from fleetbox import chunks
from fleetbox.blobs import Store
from fleetbox.errors import NotFound
from fleetbox.ledger import Drop, read_ledger
from fleetbox.records import Record
from fleetbox.settings import RobotSettings, load_robot
from fleetbox_edge.recorder import Recorder


@dataclass
class Robot:
    """Settings of one robot and what its store holds."""

    folder: Path
    url: str
    token: str
    id: str

    @property
    def file(self) -> Path:
        """Return the path of robot.toml."""
        return self.folder / "robot.toml"

    @property
    def settings(self) -> RobotSettings:
        """Return what robot.toml says now."""
        return load_robot(self.file)

    def write(self, extra: str = "", policy: str = "") -> None:
        """Write robot.toml, with further lines and the policy's text."""
        self.folder.mkdir(exist_ok=True)
        (self.folder / "token").write_text(self.token)
        (self.folder / "policy.toml").write_text(policy)
        self.file.write_text(
            f'robot = "{self.id}"\nstore = "{self.url}"\nstore_token = {{ file = "token" }}\n'
            f'state = "state"\npolicy = "policy.toml"\n{extra}\n'
        )

    def records(self, cls: str, stream: str) -> list[Record]:
        """Return every readable record of a stream, in order of time."""

        async def read() -> list[Record]:
            async with Store(self.url, self.token) as store:
                try:
                    return [record async for record in store.query(cls, (stream,), start_us=0)]
                except NotFound:
                    return []

        return asyncio.run(read())

    def rows(self, stream: str) -> list[dict[str, Any]]:
        """Return every row of a stream of numbers, chunk after chunk."""
        return [row for record in self.records("sensor", stream) for row in chunks.rows(record.data)]

    def drops(self) -> list[Drop]:
        """Return every drop that the robot's ledger names."""

        async def read() -> list[Drop]:
            async with Store(self.url, self.token) as store:
                return (await read_ledger(store, "meta", self.id)).drops

        return asyncio.run(read())

    def spools(self) -> list[Path]:
        """Return the segments that are still on disk."""
        return sorted((self.folder / "state" / "spool").rglob("*.seg"))


@pytest.fixture
def robot(new_store_server: Callable[..., Any], tmp_path: Path) -> Robot:
    """A robot with a store of its own."""
    server = new_store_server()
    made = Robot(tmp_path / "robot", server.url, server.token, f"r-{uuid.uuid4().hex[:8]}")
    made.write()
    return made


@pytest.fixture
def recorder(robot: Robot) -> Iterator[Recorder]:
    """A recorder of that robot, without duties."""
    with Recorder(robot.file, duties=False) as made:
        yield made

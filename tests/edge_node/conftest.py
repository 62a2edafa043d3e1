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
from fleetbox_edge import own_episodes, policy_check, ring_check
from fleetbox_edge import recorder as recorder_module
from fleetbox_edge.numbers import Numbers
from fleetbox_edge.recorder import Recorder
from fleetbox_edge.triggers import checks as trigger_checks

PATIENT_S = 60.0  # two busy cores; a store that is away here refuses at once


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

    def unnamed(self) -> dict[tuple[str, str], list[tuple[int, int]]]:
        """Return, by stream and session, the numbers that no record holds and no drop names; {} is what is wanted.

        A number that two records hold is told as well.
        """
        there, twice = asyncio.run(self._numbers())
        whole = {key: Numbers((0, numbers.end)) for key, numbers in there.items()}
        for drop in self.drops():
            there.setdefault((drop.stream, drop.session), Numbers()).add(drop.first, drop.first + drop.rows)
        holes = {key: list(numbers.without(there[key])) for key, numbers in whole.items()}
        return {key: [*holes[key], *twice.get(key, [])] for key in holes if holes[key] or key in twice}

    async def _numbers(self) -> tuple[dict[tuple[str, str], Numbers], dict[tuple[str, str], list[tuple[int, int]]]]:
        there: dict[tuple[str, str], Numbers] = {}
        twice: dict[tuple[str, str], list[tuple[int, int]]] = {}
        async with Store(self.url, self.token) as store:
            for bucket in await store.buckets():
                async for head in store.query(bucket, head=True, start_us=0):
                    if "seq" not in head.labels:
                        continue
                    key, first = (head.entry, head.labels["session"]), int(head.labels["seq"])
                    numbers = Numbers((first, first + max(1, int(head.labels.get("rows", "0")))))
                    if numbers.without(there.setdefault(key, Numbers())).count != numbers.count:
                        twice.setdefault(key, []).extend(numbers)
                    for start, end in numbers:
                        there[key].add(start, end)
        return there, twice

    def spools(self) -> list[Path]:
        """Return the segments that are still on disk."""
        return sorted((self.folder / "state" / "spool").rglob("*.seg"))


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a store that is slow on a busy machine not be taken for one that is away.

    After how many seconds a program, or whoever asks, goes on without it is a constant, and no test's business here.
    """
    monkeypatch.setattr(recorder_module, "DESCRIBE_S", PATIENT_S)
    monkeypatch.setattr(Recorder.close, "__defaults__", (PATIENT_S,))
    monkeypatch.setattr(own_episodes, "LOOK_S", PATIENT_S)
    for asking in (policy_check, ring_check, trigger_checks):
        monkeypatch.setattr(asking, "ANSWER_S", PATIENT_S)


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

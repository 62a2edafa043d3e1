"""The census of a real store: its pages, folded, say what is there, whatever happened in between."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from fleetbox.blobs import BucketSpec, Store
from fleetbox.errors import Unreachable
from fleetbox.ledger import MINUTE_US, Count, Folded, Key, count_of, minute_of, read_ledger
from fleetbox.naming import CLASSES, RING_CLASSES, Class
from fleetbox.records import Draft
from fleetbox_replication.census import Census, CensusScope, Rhythm, Touches
from tests.conftest import StoreServer
from tests.replication.conftest import SECOND, Robot

NOON_US = minute_of(1_790_000_000_000_000)
QUICK = Rhythm(look_s=0.01)


@dataclass
class Post:
    """One place that holds one robot's records, with a clock that the test sets and a census of its own."""

    robot: Robot
    folder: Path
    place: str = ""
    now_us: int = NOON_US
    rhythm: Rhythm = QUICK
    census: Census = field(init=False)
    touches: Touches = field(init=False)

    def __post_init__(self) -> None:
        self.place = self.place or self.robot.name
        self.restart()

    def restart(self) -> None:
        """Begin again as a new process would."""
        self.touches = Touches(self.folder / "touches", lambda: self.now_us)
        scope = CensusScope(self.place, self._robots, lambda _, cls: self.robot.bucket(cls), lambda _: self.touches)
        self.census = Census(lambda: self.robot.store, scope, self.folder / "census", self.rhythm, lambda: self.now_us)

    async def _robots(self) -> list[str]:
        return [self.robot.name]

    async def looks(self, until_us: int, step_s: int = 20) -> int:
        """Look every few seconds until a time; return the lines written."""
        written = 0
        while self.now_us < until_us:
            self.now_us += step_s * SECOND
            written += await self.census.look()
        return written

    async def told(self) -> dict[Key, Folded]:
        """Return this place's part of the ledger."""
        ledger = await read_ledger(self.robot.store, self.robot.bucket("meta"), self.robot.name)
        return ledger.of(self.place)

    async def truth(self) -> dict[Key, tuple[Count, Count, Count]]:
        """Return what is in the store, listed here and now, by minute: held, keep, cloud."""
        found: dict[Key, list[Any]] = {}
        for cls in CLASSES:
            async for head in self.robot.store.query(self.robot.bucket(cls), start_us=0, head=True):
                if cls != "meta" or not head.entry.startswith("ledger"):
                    found.setdefault((cls, head.entry, minute_of(head.time_us)), []).append(head)
        return {key: _counts(key[0], heads) for key, heads in found.items()}

    async def agrees(self) -> None:
        """Fail unless the ledger tells exactly what the store holds."""
        told = {key: (item.line.held, item.line.keep, item.line.cloud) for key, item in (await self.told()).items()}
        assert {key: counts for key, counts in told.items() if counts[0].records} == await self.truth()


def _counts(cls: Class, heads: list[Any]) -> tuple[Count, Count, Count]:
    held = count_of(heads)
    if cls not in RING_CLASSES:
        return held, held, held
    keep = count_of(head for head in heads if "keep" in head.labels)
    return held, keep, count_of(head for head in heads if head.labels.get("keep") == "1")


@asynccontextmanager
async def post(server: StoreServer, folder: Path, **changes: Any) -> AsyncIterator[Post]:
    """Provision a robot's buckets and a census that counts them."""
    async with Store(server.url, server.token) as store:
        robot = Robot(store)
        await robot.provision()
        yield Post(robot, folder, **changes)


def run(server: StoreServer, folder: Path, scenario: Callable[[Post], Coroutine[Any, Any, None]], **how: Any) -> None:
    """Run a scenario at a post of its own."""

    async def whole() -> None:
        async with post(server, folder, **how) as here:
            await scenario(here)

    asyncio.run(whole())


def every(start_us: int, seconds: float, count: int) -> list[int]:
    """Return so many times, so many seconds apart."""
    return [start_us + round(step * seconds * SECOND) for step in range(count)]


def test_minutes_that_are_over_are_told_once(store_server: StoreServer, tmp_path: Path) -> None:
    """Three minutes of a chunk stream and a camera: one line a minute, none of the running one, nothing twice."""

    async def scenario(here: Post) -> None:
        await here.census.look()
        for minute in range(3):
            start_us = NOON_US + minute * MINUTE_US
            await here.robot.write("sensor", "imu", every(start_us, 5, 12), rows="500", session="s1")
            await here.robot.write("media", "cam/front", every(start_us, 2, 30), keep="1")
            await here.looks(start_us + MINUTE_US)
        assert await here.looks(NOON_US + 3 * MINUTE_US + 15 * SECOND) == 2
        await here.agrees()
        assert len(await here.told()) == 6
        assert await here.looks(NOON_US + 10 * MINUTE_US) == 0

    run(store_server, tmp_path, scenario)

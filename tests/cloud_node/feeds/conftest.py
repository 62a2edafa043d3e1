"""An edge site with a store and an InfluxDB of its own; robots are known by what they have sent."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from conftest import StoreServer

from fleetbox.blobs import Store
from fleetbox.events import Event, write_event
from fleetbox.ledger import MINUTE_US, Count, Line, Page, minute_of, write_page
from fleetbox.quotas import bucket_spec
from fleetbox.records import Draft
from fleetbox.scalars import ScalarStore
from fleetbox.settings import FleetSettings, Influx, load_fleet
from fleetbox_cloud.books_feed import BooksFeed, Rhythm
from fleetbox_cloud.feeds import FeedRhythm, Feeds
from fleetbox_replication.dead_letters import DeadLetters, letters_of, named

NOW_US = minute_of(time.time_ns() // 1000)
PROMPT = FeedRhythm(robots_s=0.1, arrivals_s=0.1)
CLASSES = ("sensor", "media", "small", "log", "meta", "kept")


@dataclass
class Rig:
    """One site, `edge`; robots `r*` report to it."""

    server: StoreServer
    influx: Influx
    folder: Path
    policy: str = ""
    robots: set[str] = field(default_factory=set)

    @property
    def fleet(self) -> FleetSettings:
        """Return the settings."""
        self.folder.mkdir(exist_ok=True)
        (self.folder / "edge.token").write_text(self.server.token)
        (self.folder / "influx.token").write_text(self.influx.token)
        (self.folder / "policy.toml").write_text(self.policy)
        (self.folder / "fleet.toml").write_text(
            'policy = "policy.toml"\n[[robots]]\nmatch = "r*"\nsite = "edge"\n'
            f'[site.edge]\nstore = "{self.server.url}"\ntoken = {{ file = "edge.token" }}\n'
            f'state = "state"\n[site.edge.influx]\nurl = "{self.influx.url}"\norg = "{self.influx.org}"\n'
            f'bucket = "{self.influx.bucket}"\ntoken = {{ file = "influx.token" }}\n'
        )
        return load_fleet(self.folder / "fleet.toml")

    @property
    def state(self) -> Path:
        """Return the site's state folder."""
        return self.folder / "state"

    def store(self) -> Store:
        """Reach the site's store."""
        return Store(self.server.url, self.server.token)

    def feeds(self) -> Feeds:
        """Return feeds as the site process makes them."""
        return Feeds(self.fleet, "edge", self.store, self.state, rhythm=PROMPT)

    def books(self, feeds: Feeds) -> BooksFeed:
        """Return the books that tell the feeds of robots."""
        return BooksFeed(self.fleet, "edge", self.store, self.state, Rhythm(again_s=0.0), feeds)

    async def tell(self, place: str, *lines: Line, at_us: int = NOW_US, robot: str = "r1", **more: Any) -> None:
        """Write a page as it arrives."""
        async with self.store() as store:
            await self._buckets(store, robot)
            await write_page(store, f"{robot}--meta", Page(place, robot, at_us, tuple(lines), **more))

    async def mark(self, event: Event, at_us: int, site: str = "") -> None:
        """Write a revision of an event as it arrives."""
        async with self.store() as store:
            await self._buckets(store, event.robot)
            await write_event(store, f"{event.robot}--meta", event, at_us, site)

    async def write(self, bucket: str, *drafts: Draft) -> None:
        """Write records as they arrive."""
        async with self.store() as store:
            await self._buckets(store, bucket.partition("--")[0])
            report = await store.write(bucket, drafts)
            assert not report.refused

    async def look(self, feeds: Feeds, books: BooksFeed | None = None, now_us: int = NOW_US) -> None:
        """Let books and feeds look once."""
        async with self.store() as store, ScalarStore(self.influx) as scalars:
            await scalars.ensure_bucket()
            if books is not None:
                await books.feed(store, scalars, now_us)
            await feeds.tell_robots(store, scalars, now_us)

    async def ask(self, influxql: str) -> list[dict[str, Any]]:
        """Return the rows of an answer, tags and time among the columns."""
        async with ScalarStore(self.influx) as scalars:
            found = await scalars.query(influxql)
        return [{**one.tags, **dict(zip(one.columns, row, strict=True))} for one in found for row in one.rows]

    async def rows_in_time(self, influxql: str, count: int, deadline_s: float = 120.0) -> list[dict[str, Any]]:
        """Ask until there are so many rows, or fail."""
        async with asyncio.timeout(deadline_s):
            while len(found := await self._asked(influxql)) < count:  # noqa: ASYNC110 - servers set no event here
                await asyncio.sleep(0.1)
        return found

    def letter(self, robot: str, status: int, count: int, since_us: int) -> None:
        """Note dead letters of the hop that begins at the site."""
        letters = DeadLetters(letters_of(self.state))
        letters.note_all(named(f"{robot}--log", "app", [(at, status, "no") for at in range(count)], since_us))
        letters.close()

    async def _asked(self, influxql: str) -> list[dict[str, Any]]:
        try:
            return await self.ask(influxql)
        except Exception:
            return []

    async def _buckets(self, store: Store, robot: str) -> None:
        if robot not in self.robots:
            for cls in CLASSES:
                await store.ensure_bucket(f"{robot}--{cls}", bucket_spec(cls, 1_000_000_000))
            self.robots.add(robot)


@pytest.fixture
def rig(new_store_server: Callable[..., StoreServer], influx: Influx, tmp_path: Path) -> Rig:
    """Start the site's store."""
    return Rig(new_store_server(), influx, tmp_path / "site")


@pytest.fixture
def line() -> Callable[..., Line]:
    """Give tests a maker of lines: a stream's minute so many before now; counts of held, keep, cloud."""

    def made(stream: str, ago: int, counts: Sequence[int], rows: int | None = None, cls: Any = "sensor") -> Line:
        minute_us = NOW_US - ago * MINUTE_US
        held, keep, cloud = (Count(number, number * 10, number * 77) for number in counts)
        many = held.records if rows is None else rows
        return Line(cls, stream, minute_us, held, keep, cloud, many, minute_us, minute_us + 59_000_000)

    return made

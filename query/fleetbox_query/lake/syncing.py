"""Bring a lake up to what one site's ledger tells, robot by robot and window by window."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fleetbox.blobs import Store
from fleetbox.errors import InputError
from fleetbox.extras import require
from fleetbox.ledger import STREAM, read_pages
from fleetbox.naming import site_bucket, split_bucket
from fleetbox.selectors import matches_glob
from fleetbox.settings import FleetSettings, Place
from fleetbox_query.lake.catalog import sync_catalog
from fleetbox_query.lake.episode_rows import sync_episodes
from fleetbox_query.lake.event_rows import sync_events
from fleetbox_query.lake.folder import Lake, only_one
from fleetbox_query.lake.scalars import Taken, sync_stream
from fleetbox_query.lake.tables import Mark
from fleetbox_query.lake.windows import CATALOG, SCALARS, Window
from fleetbox_query.schemas import KEY, parse_schema
from fleetbox_query.session import Session
from fleetbox_query.units import mixed_among

SHOWN = 20  # names of skipped records that stand in the books of a window

Tell = Callable[[str], None]
Fields = dict[str, dict[str, Any]]


@dataclass(slots=True)
class Synced:
    """Say what a sync did: per robot what was taken, and which robots have no books at the site."""

    site: str
    folder: Path
    robots: dict[str, Taken] = field(default_factory=dict)
    windows: int = 0
    without_books: list[str] = field(default_factory=list)
    told: list[str] = field(default_factory=list)  # fields that robots synced together tell in several units

    @property
    def skipped(self) -> list[str]:
        """Return the records that did not open."""
        return [name for taken in self.robots.values() for name in taken.skipped]

    @property
    def missing(self) -> int:
        """Return how many records the ledger told of were gone before they were read."""
        return sum(taken.missing for taken in self.robots.values())

    @property
    def complete(self) -> bool:
        """Tell whether everything the ledger told of is in the lake."""
        return not (self.skipped or self.missing)

    def total(self, name: str) -> int:
        """Return the sum over robots of `rows`, `records`, `bytes`, `listed`, `events` or `episodes`."""
        return sum(int(getattr(taken, name)) for taken in self.robots.values())


def sync_lake(
    session: Session,
    folder: Path,
    *,
    site: str | None = None,
    robots: str = "*",
    tell: Tell = lambda text: None,
) -> Synced:
    """Bring the lake in a folder up to what a site's ledger tells, and return what was done.

    site: its name; by default the one where all records end. Stopping it at any moment, kill -9 included, leaves
    whole tables; the next sync goes on, and each record's rows are there once. Raises Unreachable, InputError.
    """
    require("lake")
    place = choose_site(session.fleet, site)
    with only_one(folder):
        return session.run(_sync(session, place, folder, robots, tell))


def choose_site(fleet: FleetSettings, name: str | None) -> Place:
    """Return the site to sync from; raises InputError where it must be named."""
    if name is not None:
        return fleet.site_place(name)
    ends = [place for place in fleet.places() if place.tier != "robot" and place.next is None]
    if len(ends) != 1:
        known = ", ".join(fleet.site) or "none"
        raise InputError(f"{len(ends)} sites pass nothing on, so which one fills the lake?", f"--site, of: {known}")
    return ends[0]


async def _sync(session: Session, place: Place, folder: Path, robots: str, tell: Tell) -> Synced:
    store = await session.stores.at(place)
    named = [split for bucket in await store.buckets() if (split := split_bucket(bucket))]
    chosen = sorted(robot for robot, cls in named if cls == "meta" and matches_glob(robots, robot))
    synced, lake = Synced(place.name, folder), Lake(folder)
    streams: list[tuple[str, str, str, Fields]] = []
    for at, robot in enumerate(chosen):
        one = _Robot(store, place, robot, lake, f"fleetbox/{session.fleet.fleet}/{place.name}/{robot}")
        tell(f"{robot}, {at + 1} of {len(chosen)}")
        async for taken in one.sync():
            synced.robots[robot] = taken
            synced.windows += 1
            tell(f"{robot}, {at + 1} of {len(chosen)}: {synced.total('rows'):,} rows")
        if robot not in synced.robots and not one.known:
            synced.without_books.append(robot)
        streams += await one.described()
    synced.told = mixed_among(streams)  # a table takes a stream's rows of all robots
    return synced


class _Robot:
    """Take one robot's windows, one after another."""

    def __init__(self, store: Store, place: Place, robot: str, lake: Lake, app: str) -> None:
        self._store, self._place, self._robot, self._lake, self._app = store, place, robot, lake, app
        self.known = False  # whether some window was ever taken
        self._taken: dict[str, set[str]] = {}  # streams of rows, by class

    async def sync(self) -> AsyncIterator[Taken]:
        """Yield what was taken so far after each window."""
        taken = Taken()
        after_us = await asyncio.to_thread(self._lake.windows.place, self._app)
        self.known = after_us > 0
        more = True
        while more:
            window = await self._next(after_us)
            if window.until_us == after_us:
                return
            await self._take(window, taken)
            after_us, more = window.until_us, window.more
            yield taken

    async def described(self) -> list[tuple[str, str, str, Fields]]:
        """Return what each stream whose rows were taken says of its fields: (stream, robot, class, fields)."""
        found: list[tuple[str, str, str, Fields]] = []
        for cls, streams in self._taken.items():
            kept = await self._store.attachments_of(site_bucket(self._robot, cls), sorted(streams))
            found += [(one, self._robot, cls, parse_schema(kept[one].get(KEY)).fields) for one in sorted(streams)]
        return found

    async def _next(self, after_us: int) -> Window:
        window = Window(after_us, after_us)
        entry = f"{STREAM}/{self._place.name}"
        bucket = site_bucket(self._robot, "meta")
        async for time_us, page in read_pages(self._store, bucket, (entry,), start_us=after_us + 1):
            if window.full:
                window.more = True
                break
            window.add(page, time_us)
        return window

    async def _take(self, window: Window, taken: Taken) -> None:
        """Bring one window in; the lake's own books come last, so that a window that is not in them is begun anew."""
        before = _copy(taken)
        for cls, stream in window.streams(SCALARS):
            table, app = self._lake.scalars(stream), f"{self._app}/{cls}"
            lines = window.minutes(cls, stream, await asyncio.to_thread(table.place, app))
            mark = Mark(app, window.until_us)
            bucket = site_bucket(self._robot, cls)
            self._taken.setdefault(cls, set()).add(stream)
            await sync_stream(self._store, bucket, self._robot, table, lines, mark, taken)
        await self._list(window, taken)
        mark = Mark(self._app, window.until_us)
        bucket = site_bucket(self._robot, "meta")
        minutes = window.event_minutes
        taken.events += await sync_events(self._store, bucket, self._robot, self._lake.events, minutes, mark)
        minutes = window.episode_minutes
        taken.episodes += await sync_episodes(
            store=self._store, bucket=bucket, robot=self._robot, table=self._lake.episodes, minutes=minutes, mark=mark
        )
        taken.missing += _missing(window, taken)
        taken.found.clear()
        await asyncio.to_thread(self._book, window, before, taken)

    async def _list(self, window: Window, taken: Taken) -> None:
        table = self._lake.media
        since_us = await asyncio.to_thread(table.place, self._app)
        lines = [line for cls, stream in window.streams(CATALOG) for line in window.minutes(cls, stream, since_us)]
        mark = Mark(self._app, window.until_us)
        await sync_catalog(self._store, self._place, self._robot, table, lines, mark, taken)

    def _book(self, window: Window, before: Taken, taken: Taken) -> None:
        import pyarrow as pa

        stamp = pa.timestamp("us", tz="UTC")
        gained = {name: getattr(taken, name) - getattr(before, name) for name in _COUNTS}
        row = {
            "site": self._place.name,
            "robot": self._robot,
            "after_us": pa.scalar(window.after_us, stamp),
            "until_us": pa.scalar(window.until_us, stamp),
            "lines": len(window.lines),
            **gained,
            "skipped": taken.skipped[len(before.skipped) :][:SHOWN],
            "synced_us": pa.scalar(time.time_ns() // 1000, stamp),
        }
        kinds = {"skipped": pa.list_(pa.string()), "lines": pa.int64(), **dict.fromkeys(_COUNTS, pa.int64())}
        columns = {name: pa.array([value], kinds.get(name)) for name, value in row.items()}
        self._lake.windows.append(pa.table(columns), Mark(self._app, window.until_us))


_COUNTS = ("rows", "records", "bytes", "listed", "events", "episodes", "missing")


def _copy(taken: Taken) -> Taken:
    counts = {name: getattr(taken, name) for name in _COUNTS}
    return Taken(**counts, skipped=list(taken.skipped))


def _missing(window: Window, taken: Taken) -> int:
    """Count records that the ledger tells of and that neither the store gave nor the lake has.

    `kept` is left out: it is no ring, so nothing leaves it by itself.
    """
    told = ((line.held.records, taken.found.get(key)) for key, line in window.lines.items() if line.cls != "kept")
    return sum(max(0, records - found) for records, found in told if found is not None)

"""Keep one open connection per place, and say which places a question is put to."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import AsyncExitStack

from fleetbox.blobs import Store
from fleetbox.errors import NotFound
from fleetbox.selectors import Selector, is_glob, matches_glob
from fleetbox.settings import FleetSettings, Place, Tier

TELLING_BYTES = 500_000  # less than this says how long a question takes, not how fast a link is
TELLING_RECORDS = 1_000  # the same, where records are small
SMALL_BYTES = 16_000  # below this on average, a record takes its time and not that of its bytes
TIMEOUT_S = 30.0  # per request: a batch is 8 MB, which a 5 Mbit/s uplink moves in 13 s


class Stores:
    """Open stores on first use and close them together; used from one event loop only."""

    def __init__(self, timeout_s: float = TIMEOUT_S) -> None:
        self._timeout_s = timeout_s
        self._open: dict[str, Store] = {}
        self._stack = AsyncExitStack()
        self._lock = asyncio.Lock()
        self._speeds: dict[str, float] = {}
        self._record_s: dict[str, float] = {}

    async def at(self, place: Place) -> Store:
        """Return the store of a place."""
        async with self._lock:
            if place.url not in self._open:
                store = Store(place.url, place.current_token(), timeout_s=self._timeout_s, name=place.name)
                self._open[place.url] = await self._stack.enter_async_context(store)
            return self._open[place.url]

    def speed(self, place: Place) -> float | None:
        """Return the bytes a second that the last large reading from a place came at, None before one."""
        return self._speeds.get(place.url)

    def record_s(self, place: Place) -> float | None:
        """Return the seconds a record took in the last reading of many small ones from a place, None before one."""
        return self._record_s.get(place.url)

    def note_speed(self, place: Place, records: int, size_bytes: int, seconds: float) -> None:
        """Remember how fast a place gave what was read from it."""
        if seconds <= 0 or not records:
            return
        if size_bytes < records * SMALL_BYTES:
            if records >= TELLING_RECORDS:
                self._record_s[place.url] = seconds / records
        elif size_bytes >= TELLING_BYTES:
            self._speeds[place.url] = size_bytes / seconds

    async def close(self) -> None:
        """Close every store."""
        await self._stack.aclose()


def places_for(
    fleet: FleetSettings, selectors: Iterable[Selector], tier: Tier | None, site: str | None
) -> tuple[Place, ...]:
    """Return the places that may hold what the selectors choose, in reading order (edge, cloud, robot).

    A robot named outright is looked for along its own route; behind a glob, at every place.
    """
    if site is not None:
        found = fleet.places(site=site)
        return tuple(place for place in found if tier in (None, place.tier))
    chosen: dict[tuple[str, str], Place] = {}
    for selector in selectors:
        for place in _candidates(fleet, selector):
            if tier in (None, place.tier):
                chosen[place.tier, place.name] = place
    return tuple(sorted(chosen.values(), key=reading_order))


def reading_order(place: Place) -> tuple[int, str]:
    """Return how near a place is to whoever asks: the robot comes last, its uplink is the thinnest."""
    return ("edge", "cloud", "robot").index(place.tier), place.name


def _candidates(fleet: FleetSettings, selector: Selector) -> list[Place]:
    if not is_glob(selector.robot):
        try:
            return fleet.route(selector.robot)
        except NotFound:  # no rule for it: it can still have been ingested at a site
            return fleet.places("edge") + fleet.places("cloud")
    return [place for place in fleet.places() if place.tier != "robot" or matches_glob(selector.robot, place.name)]

"""Ask every place at once what it holds, and note which places did not answer."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from fleetbox.blobs import EntryInfo, Store
from fleetbox.errors import AccessDenied, FleetboxError, NotFound, Unreachable
from fleetbox.naming import CLASSES, split_bucket
from fleetbox.selectors import Selector, matches_glob
from fleetbox.settings import Place
from fleetbox_query.question import means_health, wants
from fleetbox_query.stores import Stores

REACH_S = 6.0  # a place that has not listed its buckets by then counts as unreachable: people wait for the others
LISTINGS = 16  # entry listings in flight per place; the engine answers each in about a millisecond


@dataclass(frozen=True, slots=True)
class Holding:
    """Hold one stream of one class as one place has it."""

    place: Place
    robot: str
    cls: str
    entry: EntryInfo

    @property
    def stream(self) -> str:
        """Return the stream's name."""
        return self.entry.name

    @property
    def bucket(self) -> str:
        """Return the bucket it lies in."""
        return self.place.bucket(self.robot, self.cls)

    @property
    def key(self) -> tuple[str, str, str]:
        """Return what tells this holding from every other: store, bucket, stream."""
        return self.place.url, self.bucket, self.stream


@dataclass(frozen=True, slots=True)
class Unreached:
    """Say which place could not be asked, with the reason."""

    place: str
    tier: str
    error: FleetboxError

    def __str__(self) -> str:
        return f"{self.place} ({self.tier}): {self.error.message}"


@dataclass(frozen=True, slots=True)
class Inventory:
    """Hold what the reached places have of the chosen streams."""

    holdings: tuple[Holding, ...]
    reached: tuple[Place, ...]
    unreached: tuple[Unreached, ...]


async def take_inventory(
    stores: Stores, places: Sequence[Place], selectors: Sequence[Selector], *, meta: bool = False, only: str = ""
) -> Inventory:
    """List the chosen streams of all places; raise only when not one of them answered.

    meta: let globs choose streams of the class `meta` too. only: list this class alone, a fifth of the requests. When
    nothing answers, AccessDenied goes before Unreachable: a wrong token is for the caller to mend.
    """
    answers = await asyncio.gather(*(_ask(stores, place, _Wanted(selectors, meta, only)) for place in places))
    reached = tuple(place for place, answer in zip(places, answers, strict=True) if not isinstance(answer, Unreached))
    unreached = tuple(answer for answer in answers if isinstance(answer, Unreached))
    if unreached and not reached:
        raise _worst(unreached)
    holdings = tuple(holding for answer in answers if not isinstance(answer, Unreached) for holding in answer)
    return Inventory(holdings, reached, unreached)


async def _ask(stores: Stores, place: Place, wanted: _Wanted) -> list[Holding] | Unreached:
    try:
        async with asyncio.timeout(REACH_S):
            buckets = await (await stores.at(place)).buckets()
        return await _holdings(await stores.at(place), place, _named(place, buckets), wanted)
    except TimeoutError:
        reason = Unreachable(
            f"{place.name} at {place.url} did not answer within {REACH_S:g} s", "is it running and on the network?"
        )
        return Unreached(place.name, place.tier, reason)
    except (Unreachable, AccessDenied) as error:
        return Unreached(place.name, place.tier, error)


@dataclass(frozen=True, slots=True)
class _Wanted:
    selectors: Sequence[Selector]
    meta: bool
    only: str

    def bucket(self, robot: str, cls: str) -> bool:
        if self.only and cls != self.only:
            return False
        return any(matches_glob(selector.robot, robot) for selector in self.selectors)

    def stream(self, robot: str, cls: str, stream: str) -> bool:
        if self.meta:
            return any(one.matches(robot, stream) and means_health(one, stream) for one in self.selectors)
        return any(wants(selector, robot, cls, stream) for selector in self.selectors)


async def _holdings(store: Store, place: Place, named: list[tuple[str, str]], wanted: _Wanted) -> list[Holding]:
    room = asyncio.Semaphore(LISTINGS)

    async def entries(robot: str, cls: str) -> list[Holding] | AccessDenied:
        async with room:
            try:
                found = await store.entries(place.bucket(robot, cls))
            except NotFound:  # removed between the two listings
                return []
            except AccessDenied as error:  # a robot's token lists its neighbours' buckets but cannot open them
                return error
        held = [entry for entry in found if entry.records and "$" not in entry.name]
        return [Holding(place, robot, cls, entry) for entry in held if wanted.stream(robot, cls, entry.name)]

    parts = await asyncio.gather(*(entries(robot, cls) for robot, cls in named if wanted.bucket(robot, cls)))
    denied = [part for part in parts if isinstance(part, AccessDenied)]
    if denied and len(denied) == len(parts):
        raise denied[0]
    return [holding for part in parts if not isinstance(part, AccessDenied) for holding in part]


def _named(place: Place, buckets: list[str]) -> list[tuple[str, str]]:
    """Return the (robot, class) of each bucket that is ours."""
    if place.tier == "robot":
        return [(place.name, cls) for cls in CLASSES if cls in buckets]
    return [named for bucket in buckets if (named := split_bucket(bucket))]


def _worst(unreached: tuple[Unreached, ...]) -> FleetboxError:
    denied = [one.error for one in unreached if isinstance(one.error, AccessDenied)]
    if denied or len(unreached) == 1:
        return denied[0] if denied else unreached[0].error
    lines = "\n".join(f"  {one}" for one in unreached)
    return Unreachable(f"no place answered:\n{lines}", "are the stores running? `fleetbox doctor` looks at each")

"""Say whose records a census counts, and in which buckets they are."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase

from fleetbox.blobs import Store
from fleetbox.ledger import ENTRIES
from fleetbox.naming import Class, site_bucket, split_bucket
from fleetbox.settings import Policy
from fleetbox_replication.census.touches import Touches


@dataclass(frozen=True, slots=True)
class CensusScope:
    """Say whose records a place counts.

    `place` is the robot or the site; `robots` lists those whose records it holds; `bucket_of` names the bucket of a
    robot's class; `touches` gives a robot's, or None. `policy` says what is expected: a robot's own census asks.
    """

    place: str
    robots: Callable[[], Awaitable[list[str]]]
    bucket_of: Callable[[str, Class], str]
    touches: Callable[[str], Touches | None] = lambda robot: None
    policy: Callable[[], Policy] = Policy


def census_of_robot(robot: str, policy: Callable[[], Policy] = Policy, touches: Touches | None = None) -> CensusScope:
    """Return the scope of the census in a robot's own store, where the buckets are the classes."""

    async def own() -> list[str]:
        return [robot]

    return CensusScope(robot, own, lambda _, cls: cls, lambda _: touches, policy)


def census_of_site(
    site: str, store: Callable[[], Store], touches: Callable[[str], Touches | None] = lambda robot: None
) -> CensusScope:
    """Return the scope of the census at a site: every robot whose `meta` has arrived."""

    async def arrived() -> list[str]:
        found = [split_bucket(bucket) for bucket in await store().buckets()]
        return sorted(robot for robot, cls in filter(None, found) if cls == "meta")

    return CensusScope(site, arrived, site_bucket, touches)


def is_counted(cls: Class, entry: str) -> bool:
    """Tell whether an entry's records stand in the ledger: not its own pages, nor the engine's attachments."""
    if cls == "meta" and any(fnmatchcase(entry, glob) for glob in ENTRIES):
        return False
    return "$meta" not in entry.split("/")

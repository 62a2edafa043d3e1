"""Foretell when an episode loses data to the rings that hold it, and say what it has lost already."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from fleetbox.blobs import BucketSpec
from fleetbox.episodes import Episode
from fleetbox.errors import NotFound
from fleetbox.events import CUT_US
from fleetbox.naming import VIDEO, parent_of
from fleetbox.selectors import Selector
from fleetbox_query.episodes.finding import spans_of
from fleetbox_query.events import Where
from fleetbox_query.inventory import Holding, Inventory, take_inventory
from fleetbox_query.session import Session
from fleetbox_query.stores import places_for

FULL = 0.8  # of its quota: a ring below it has not turned, so that what it lacks was never there
LEAST_US = 1_000_000  # a rate over less says nothing of a day


@dataclass(frozen=True, slots=True)
class Ring:
    """Hold what one bucket at one place holds: quota (0: not bounded), size, oldest and newest record in µs."""

    quota_bytes: int
    size_bytes: int
    oldest_us: int
    newest_us: int

    @property
    def has_turned(self) -> bool:
        """Tell whether it has overwritten what it held first."""
        return self.quota_bytes > 0 and self.size_bytes >= FULL * self.quota_bytes

    @property
    def span_us(self) -> int | None:
        """Return how far it reaches back when it is full, at the rate so far; None where it is not bounded."""
        held_us = self.newest_us - self.oldest_us
        if not self.quota_bytes or not self.size_bytes or held_us < LEAST_US:
            return None
        return int(held_us * self.quota_bytes / self.size_bytes)


@dataclass(frozen=True, slots=True)
class Standing:
    """Say how an episode stands: when it begins to lose data (None: never, as far as is known), and what is lost.

    `lost` maps a stream to the time in µs from which on it is still held; `gone`: no place holds any of it.
    """

    loses_us: int | None = None
    lost: Mapping[str, int] = field(default_factory=dict)
    gone: bool = False

    @property
    def complete(self) -> bool:
        """Tell whether nothing is lost yet."""
        return not self.lost and not self.gone


async def standings(session: Session, episodes: Sequence[Episode], where: Where) -> dict[str, Standing]:
    """Return each episode's standing by id, from one listing of each bucket; places that do not answer count not."""
    robots = [Selector(robot) for robot in sorted({one.robot for one in episodes})]
    if not robots:
        return {}
    places = places_for(session.fleet, robots, where.tier, where.site)
    inventory = await take_inventory(session.stores, places, robots)
    rings = await _rings(session, inventory)
    by_robot: dict[str, list[Holding]] = {}
    for one in inventory.holdings:
        by_robot.setdefault(one.robot, []).append(one)
    return {one.id: standing(one, by_robot.get(one.robot, ()), rings) for one in episodes}


def standing(episode: Episode, holdings: Iterable[Holding], rings: Mapping[tuple[str, str], Ring]) -> Standing:
    """Return how an episode stands, by what places hold; pure."""
    held: dict[str, list[Holding]] = {}
    for one in holdings:
        if shows(episode, one.stream):
            held.setdefault(one.stream, []).append(one)
    start = episode.start_us
    lost: dict[str, int] = {}
    ends: list[int | None] = []
    reached = False
    for stream, some in held.items():
        found = [one for one in some if one.entry.latest_us >= start]
        reached = reached or any(one.entry.oldest_us < episode.stop_us for one in found)
        turned = [rings[one.key[:2]] for one in some]
        if found and all(ring.has_turned and ring.oldest_us > start + CUT_US for ring in turned):
            oldest_us = min(one.entry.oldest_us for one in found)
            if oldest_us > start + CUT_US:
                lost[stream] = oldest_us
        spans = [ring.span_us for ring in turned]
        ends.append(None if None in spans else start + max(span for span in spans if span is not None))
    if not reached and episode.state != "open":
        return Standing(gone=True)
    bounded = [end for end in ends if end is not None]
    return Standing(None if episode.pinned or not bounded else min(bounded), lost)


def shows(episode: Episode, stream: str) -> bool:
    """Tell whether an episode shows a stream, or the pictures that a video was made of."""
    selectors = {span.selector for span in spans_of(episode, [Selector(episode.robot)])}
    parent, kind = parent_of(stream)
    names = (stream, parent) if kind == VIDEO else (stream,)
    return any(one.matches(episode.robot, name) for one in selectors for name in names)


async def _rings(session: Session, inventory: Inventory) -> dict[tuple[str, str], Ring]:
    grouped: dict[tuple[str, str], list[Holding]] = {}
    for one in inventory.holdings:
        grouped.setdefault((one.key[0], one.key[1]), []).append(one)

    async def ring(some: Sequence[Holding]) -> Ring:
        try:
            spec = await (await session.stores.at(some[0].place)).bucket_spec(some[0].bucket)
        except NotFound:
            spec = None
        entries = [one.entry for one in some]
        return Ring(
            _quota(spec), sum(entry.size_bytes for entry in entries), min(entry.oldest_us for entry in entries),
            max(entry.latest_us for entry in entries),
        )  # fmt: skip

    made = await asyncio.gather(*(ring(some) for some in grouped.values()))
    return dict(zip(grouped, made, strict=True))


def _quota(spec: BucketSpec | None) -> int:
    return spec.quota_bytes if spec is not None and spec.quota_type == "FIFO" else 0

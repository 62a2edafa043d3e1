"""Run `fleetbox mark`: write an event into a robot's store, and wait until its window has been kept and shipped."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fleetbox.blobs import Store
from fleetbox.errors import InputError, NotFound
from fleetbox.events import Event, new_event, read_events, write_event
from fleetbox.naming import CLASSES
from fleetbox.settings import FleetSettings, Place
from fleetbox.time import parse_duration, parse_time
from fleetbox_replication.scopes import robot_scope
from fleetbox_replication.window import ChunkBounds, Scope, chosen_entries, count_selected, wants

POLL_S = 0.3  # the labeler looks as often
Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class MarkOrder:
    """Hold what one call of `fleetbox mark` asks for, as it was typed."""

    kind: str
    robot: str | None = None
    at: str | None = None
    pre: str | None = None
    post: str | None = None
    streams: tuple[str, ...] = ()
    note: str = ""
    wait: bool = False


@dataclass(frozen=True, slots=True)
class Marked:
    """Tell what was marked: the event, and per stream the oldest record of a ring that no longer reaches back."""

    event: Event
    cut_us: Mapping[str, int]
    arrived: Mapping[str, int]
    at: str  # the last place waited for

    def as_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        event = self.event
        return {
            "id": event.id, "kind": event.kind, "robot": event.robot, "time_us": event.time_us,
            "start_us": event.start_us, "stop_us": event.stop_us, "streams": list(event.streams), "state": event.state,
            "labelled": dict(event.labelled), "cut_us": dict(self.cut_us), "arrived": dict(self.arrived), "at": self.at,
        }  # fmt: skip


def mark(fleet: FleetSettings, order: MarkOrder, tell: Tell) -> Marked:
    """Raise the event and return it; with `wait`, once its records are at the last site of the route.

    `tell` is given progress for people. Raises Unreachable when the robot's store does not answer.
    """
    return asyncio.run(_mark(fleet, order, tell))


async def _mark(fleet: FleetSettings, order: MarkOrder, tell: Tell) -> Marked:
    robot = order.robot or _only_robot(fleet)
    place = fleet.robot_place(robot)
    if place is None:
        raise InputError(f"{fleet.source} does not say how to reach {robot}'s own store", "run this on the robot")
    now_us = time.time_ns() // 1000
    event = wanted_event(fleet, robot, order, now_us)
    async with Store(place.url, place.current_token(), name=place.name) as store:
        cut_us = await _cut(store, event, robot_scope(robot, fleet.policy))
        try:
            await write_event(store, "meta", event, now_us)
        except NotFound as error:
            step = "start its agent: fleetbox agent run"
            raise NotFound(f"{robot} records nothing yet: {error.message}", step) from None
        if not order.wait:
            return Marked(event, cut_us, {}, robot)
        event = await _labelled(store, event, tell)
    arrived, last = await _arrived(fleet, event, tell)
    return Marked(event, cut_us, arrived, last)


def wanted_event(fleet: FleetSettings, robot: str, order: MarkOrder, now_us: int) -> Event:
    """Return the event as the policy completes it."""
    rule = fleet.policy.event_rule(order.kind)
    time_us = parse_time(order.at or "now", now_us)
    start_us = time_us - (rule.pre if order.pre is None else parse_duration(order.pre))
    stop_us = time_us + (rule.post if order.post is None else parse_duration(order.post))
    streams = order.streams or rule.streams
    return new_event(
        Event("", order.kind, robot, time_us, start_us, stop_us, streams, order.note, fleet.policy.hash, by="cli")
    )


def _only_robot(fleet: FleetSettings) -> str:
    robots = fleet.known_robots
    if len(robots) == 1:
        return robots[0]
    raise InputError("which robot?", f"give --robot, one of: {', '.join(robots) or 'any that a glob lets in'}")


async def _cut(store: Store, event: Event, scope: Scope) -> dict[str, int]:
    """Return the streams that begin after the window does: stream -> oldest record in µs."""
    entries = [info async for _, chosen in chosen_entries(store, event, scope) for info in chosen]
    return {info.name: info.oldest_us for info in entries if info.oldest_us > event.start_us}


async def _labelled(store: Store, event: Event, tell: Tell) -> Event:
    """Wait for the labeler's closing revision."""
    said = 0.0
    while True:
        found = [e for e in await read_events(store, ["meta"], start_us=event.start_us) if e.id == event.id]
        if found and found[0].state == "labelled":
            return found[0]
        if time.monotonic() - said > 2.0:  # seconds: often enough to see that it lives
            left_s = max(0.0, event.stop_us / 1e6 - time.time())
            tell(f"{event.id}: window open for another {left_s:.0f} s" if left_s else f"{event.id}: being labelled")
            said = time.monotonic()
        await asyncio.sleep(POLL_S)


async def _arrived(fleet: FleetSettings, event: Event, tell: Tell) -> tuple[dict[str, int], str]:
    """Wait until every labelled record is at the last place that takes it."""
    sites = [place for place in fleet.route(event.robot) if place.tier != "robot"]
    if not sites:
        return {}, event.robot  # a robot on its own: it reports to no site
    last = sites[-1]
    wanted = {stream: count for stream, count in event.labelled.items() if not _skipped(fleet, sites, stream)}
    scope = Scope(event.robot, {cls: last.bucket(event.robot, cls) for cls in CLASSES})
    async with Store(last.url, last.current_token(), name=last.name) as store:
        count = await _poll(lambda: _count(store, event, scope), wanted, lambda n: tell(_progress(n, wanted, last)))
    return count, last.name


async def _poll(
    count: Callable[[], Awaitable[dict[str, int]]], wanted: Mapping[str, int], tell: Callable[[int], None]
) -> dict[str, int]:
    before = -1
    while True:
        there = await count()
        here = sum(min(there.get(stream, 0), number) for stream, number in wanted.items())
        if here != before:
            tell(here)
            before = here
        if here >= sum(wanted.values()):
            return there
        await asyncio.sleep(POLL_S)


async def _count(store: Store, event: Event, scope: Scope) -> dict[str, int]:
    try:
        return await count_selected(store, event, scope, ChunkBounds(store))
    except NotFound:
        return {}


def _progress(here: int, wanted: Mapping[str, int], place: Place) -> str:
    return f"{here} of {sum(wanted.values())} records at {place.name}"


def _skipped(fleet: FleetSettings, sites: Sequence[Place], stream: str) -> bool:
    return any(wants(fleet.policy.hop_rule(site.name).skip, stream) for site in sites[1:])

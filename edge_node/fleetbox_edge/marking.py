"""Run `fleetbox mark`: write an event into a robot's store, and wait until its window has been kept and shipped."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from fleetbox.blobs import Store
from fleetbox.errors import InputError, Unreachable
from fleetbox.event_times import PREFIX, pick, split_event_time
from fleetbox.events import Event, new_event, read_events
from fleetbox.policies import policy_in_force
from fleetbox.selectors import matches_glob
from fleetbox.settings import FleetSettings, Policy
from fleetbox.settings.policy import MAX_POST, MAX_PRE
from fleetbox.time import check_time, parse_duration, parse_time, show_duration, show_time
from fleetbox_edge.awaiting import Patience, Tell, arrived, labelled
from fleetbox_edge.globs import check_glob
from fleetbox_edge.in_force import known_at_sites
from fleetbox_edge.pulling.waiting import wait_for
from fleetbox_edge.raising import REACH_S, raise_event
from fleetbox_replication.scopes import robot_scope
from fleetbox_replication.taking import Taking
from fleetbox_replication.window import chosen_entries

AHEAD_US = 1_000_000  # µs; clocks of a robot and of whoever marks differ by less, a typed future by more
NAMED = 5  # streams in one sentence; more are counted


@dataclass(frozen=True, slots=True)
class MarkOrder:
    """Hold what one call of `fleetbox mark` asks for, as it was typed."""

    kind: str
    robot: str | None = None
    at: str | None = None
    pre: str | None = None
    post: str | None = None
    streams: tuple[str, ...] = ()
    resolution: str | None = None
    to: str | None = None
    note: str = ""
    wait: bool = False
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Marked:
    """Tell what was marked: the event, and per stream the oldest record of a ring that no longer reaches back."""

    event: Event
    cut_us: Mapping[str, int]
    arrived: Mapping[str, int]
    at: str  # the last place waited for

    @property
    def is_empty(self) -> bool:
        """Tell whether the window was closed with nothing in it, though it was to be shipped."""
        event = self.event
        return event.state == "labelled" and event.to != "robot" and not sum(event.labelled.values())

    def as_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        event = self.event
        return {
            "id": event.id, "kind": event.kind, "robot": event.robot, "time_us": event.time_us,
            "start_us": event.start_us, "stop_us": event.stop_us, "streams": list(event.streams), "state": event.state,
            "resolution": event.resolution, "to": event.to,
            "labelled": dict(event.labelled), "cut_us": dict(self.cut_us), "arrived": dict(self.arrived), "at": self.at,
        }  # fmt: skip


def mark(fleet: FleetSettings, order: MarkOrder, tell: Tell, patience: Patience | None = None) -> Marked:
    """Raise the event and return it; with `wait`, once its records are at the last site of the route.

    `tell` is given progress for people. Where the robot's store does not answer the event waits at a site, and who
    waits for it waits for the robot. Raises Unreachable when nobody takes it, Incomplete when the event stands but its
    records were not labelled or did not arrive, or the robot has nothing of it.
    """
    return asyncio.run(_mark(fleet, order, tell, patience or Patience()))


async def _mark(fleet: FleetSettings, order: MarkOrder, tell: Tell, patience: Patience) -> Marked:
    robot = order.robot or _only_robot(fleet)
    now_us = time.time_ns() // 1000
    event, held = await _look(fleet, robot, order, now_us)
    raised = await raise_event(fleet, event, now_us)
    if raised.waits:
        tell(f"{robot} cannot be reached: the event waits as an order at {raised.at} until it comes back")
        if not order.wait:
            return Marked(event, {}, {}, raised.at)
        event, counts, last = await wait_for(fleet, raised, tell, patience)
        return Marked(event, event.cut_streams(), counts, last)
    for text in unmatched(robot, order.streams, held):
        tell(text)
    asked = Taking.among(event, held)
    cut_us = {name: oldest for name, oldest in held.items() if event.is_cut_by(oldest) and asked.takes(name)}
    if not order.wait:
        return Marked(event, cut_us, {}, robot)
    place = fleet.robot_place(robot)
    assert place is not None, "an event was just written there"
    async with Store.at(place) as store:
        event = await labelled(store, event, fleet, tell, patience)
    counts, last = await arrived(fleet, event, tell, patience)
    return Marked(event, cut_us, counts, last)


async def _look(fleet: FleetSettings, robot: str, order: MarkOrder, now_us: int) -> tuple[Event, dict[str, int]]:
    """Return the event, and what the robot holds where it can be asked: stream -> oldest record in µs."""
    place = fleet.robot_place(robot)
    if place is not None:
        async with Store.at(place, timeout_s=REACH_S) as store:
            with suppress(Unreachable):
                policy = await policy_in_force(store, "meta") or fleet.policy
                event = wanted_event(policy, robot, order, await _moment(store, order.at, now_us))
                return event, await _held(store, event, policy)
    if order.at is not None and order.at.strip().startswith(PREFIX):
        raise Unreachable(f"{robot} cannot be asked when {order.at} was", "give --at as a time")
    return wanted_event(await known_at_sites(fleet, robot), robot, order, _point(order.at, now_us)), {}


def wanted_event(policy: Policy, robot: str, order: MarkOrder, time_us: int) -> Event:
    """Return the event at a moment as the policy completes it; raise InputError for what it does not allow."""
    rule = policy.event_rule(order.kind)
    start_us = time_us - _length("--pre", order.pre, rule.pre, MAX_PRE)
    stop_us = time_us + _length("--post", order.post, rule.post, MAX_POST)
    for glob in order.streams:
        check_glob(glob)
    return new_event(
        Event(
            "", order.kind, robot, time_us, start_us, stop_us, order.streams or rule.streams, order.note,
            policy.hash, by="cli", resolution=order.resolution or rule.resolution, to=order.to or rule.to,
            labels=order.labels,
        )
    )  # fmt: skip


def unmatched(robot: str, globs: Sequence[str], held: Mapping[str, int]) -> list[str]:
    """Return a sentence per glob that matches no stream the robot has and may ship."""
    there = _names(sorted(held)) if held else "none yet"
    return [
        f"no stream that {robot} ships matches {glob!r}: nothing is kept unless one comes; it has {there}"
        for glob in globs
        if not any(matches_glob(glob, name) for name in held)
    ]


def cut_lines(event: Event, cut_us: Mapping[str, int]) -> list[str]:
    """Say in as few sentences as possible what the ring no longer holds of the window."""
    wanted_us = event.time_us - event.start_us
    alike: dict[str, dict[str, int]] = {}
    for name, oldest_us in sorted(cut_us.items()):
        text = f"{show_duration(max(0, event.time_us - oldest_us))} of the {show_duration(wanted_us)} before the moment"
        gone = oldest_us > event.stop_us
        alike.setdefault("nothing of the window is left" if gone else f"{text} are left", {})[name] = oldest_us
    return [f"{_names(list(group))}: {_begins(group)}: {text}" for text, group in alike.items()]


def _begins(oldest_us: Mapping[str, int]) -> str:
    first = show_time(min(oldest_us.values()))
    return f"the ring begins at {first}" + (" or later" if len(set(oldest_us.values())) > 1 else "")


def _names(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def _only_robot(fleet: FleetSettings) -> str:
    robots = fleet.known_robots
    if len(robots) == 1:
        return robots[0]
    raise InputError("which robot?", f"give --robot, one of: {', '.join(robots) or 'any that a glob lets in'}")


def _length(flag: str, given: str | None, default_us: int, limit_us: int) -> int:
    length_us = default_us if given is None else parse_duration(given)
    if length_us > limit_us:
        step = f"give at most {limit_us // 1_000_000}s; mark a longer time in pieces with --at"
        raise InputError(f"{flag} {given} is longer than the {limit_us // 1_000_000} s an event may keep", step)
    return length_us


async def _moment(store: Store, at: str | None, now_us: int) -> int:
    """Return when it was in µs; `event:` times are looked up in the robot's own `meta`."""
    if at is None or not at.strip().startswith(PREFIX):
        return _point(at, now_us)
    name, offset_us = split_event_time(at)
    known = await read_events(store, ["meta"])
    return _past(check_time(pick(known, name, store.name).time_us + offset_us, at), at, now_us)


def _point(at: str | None, now_us: int) -> int:
    return now_us if at is None else _past(parse_time(at, now_us), at, now_us)


def _past(time_us: int, at: str, now_us: int) -> int:
    if time_us > now_us + AHEAD_US:
        ahead = show_duration(time_us - now_us)
        raise InputError(f"--at {at} is {ahead} ahead: only what has happened can be marked", "mark it once it has")
    return time_us


async def _held(store: Store, event: Event, policy: Policy) -> dict[str, int]:
    """Return what the robot has recorded of all that the policy lets leave it: stream -> oldest record in µs."""
    everything = replace(event, streams=("**",), resolution="original")
    scope = robot_scope(event.robot, policy)
    return {info.name: info.oldest_us async for _, infos in chosen_entries(store, everything, scope) for info in infos}

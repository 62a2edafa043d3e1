"""Pull: choose the robots, raise the event on each, and wait until what it asks for has arrived."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from fleetbox.errors import Incomplete, InputError, NotFound
from fleetbox.events import Event
from fleetbox.orders import writer_here
from fleetbox.selectors import Selector, is_glob, matches_glob
from fleetbox.settings import FleetSettings
from fleetbox_edge.awaiting import Patience, Tell
from fleetbox_edge.pulling.estimating import Estimate, estimate, streams_of
from fleetbox_edge.pulling.order import PullOrder, pull_event
from fleetbox_edge.pulling.waiting import wait_for
from fleetbox_edge.raising import Raised, raise_event
from fleetbox_query.absent import instead
from fleetbox_replication.audit.reaching import Reached

ROBOTS_AT_ONCE = 8  # a glob over a fleet must not open a thousand connections
PULL_PATIENCE = Patience(label_s=900.0, still_s=900.0)  # s; 3.5 GB are 90 s of labels, and a link may be away a while


@dataclass(frozen=True, slots=True)
class Pulled:
    """Tell what was asked of one robot, where it was left, and with `wait` what arrived where."""

    raised: Raised
    event: Event
    arrived: Mapping[str, int] = field(default_factory=dict)
    at: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        event = self.event
        return {
            "robot": event.robot, "id": event.id, "state": event.state, "asked_at": self.raised.at,
            "order": self.raised.order or None, "labelled": dict(event.labelled), "cut_us": event.cut_streams(),
            "arrived": dict(self.arrived), "at": self.at or None,
        }  # fmt: skip


def estimates(fleet: FleetSettings, order: PullOrder) -> list[Estimate]:
    """Return what each chosen robot would send, in order of their names; raises NotFound when none is chosen."""
    return asyncio.run(_estimates(fleet, order))


def check_size(order: PullOrder, found: Sequence[Estimate]) -> None:
    """Raise InputError when all of it is more than `--max` lets through."""
    total = sum(one.size.bytes for one in found)
    if total <= order.max_bytes:
        return
    little = sum(one.thumbnails.bytes for one in found)
    step = f"ask for less, or raise --max; --preview brings the thumbnails alone, {little / 1e6:.1f} MB"
    raise InputError(f"{total / 1e6:,.1f} MB are more than --max {order.max_bytes / 1e6:,.0f} MB", step)


def pull(
    fleet: FleetSettings,
    order: PullOrder,
    robots: Sequence[str],
    tell: Tell,
    wait: bool = False,
    patience: Patience = PULL_PATIENCE,
) -> list[Pulled]:
    """Ask robots for the window; with `wait`, return once everything has arrived at their last site.

    Raises Unreachable when nobody takes the order for a robot, Incomplete when a robot refuses it or nothing further
    arrives.
    """
    return asyncio.run(_pull(fleet, order, robots, tell, patience if wait else None))


def check_streams(fleet: FleetSettings, order: PullOrder, found: Sequence[Estimate]) -> None:
    """Raise NotFound, naming what there is, when every chosen robot answers and none has such a stream."""
    if all(one.exact and not one.size.streams for one in found):
        asyncio.run(_check_streams(fleet, order, [one.robot for one in found]))


async def _check_streams(fleet: FleetSettings, order: PullOrder, robots: Sequence[str]) -> None:
    there: set[tuple[str, str]] = set()
    everything = replace(order, selector=Selector(), preview=False)
    async with Reached() as reached:
        for robot in robots:
            there |= {(robot, name) for name in await streams_of(fleet, everything, robot, reached)}
    if not any(order.selector.matches(robot, name) for robot, name in there):
        at = f"{robots[0]} and {len(robots) - 1} more" if len(robots) > 1 else robots[0]
        raise NotFound(f"no stream matches {order.selector} at {at}", instead([order.selector], there))


async def _estimates(fleet: FleetSettings, order: PullOrder) -> list[Estimate]:
    async with Reached() as reached:
        robots = await _robots(fleet, order.selector.robot, reached)
        turns = asyncio.Semaphore(ROBOTS_AT_ONCE)

        async def one(robot: str) -> Estimate:
            async with turns:
                return await estimate(fleet, order, robot, reached)

        return await asyncio.gather(*(one(robot) for robot in robots))


async def _robots(fleet: FleetSettings, glob: str, reached: Reached) -> list[str]:
    if not is_glob(glob):
        fleet.rule(glob)
        return [glob]
    await reached.reach(fleet.site_place(name) for name in fleet.site)
    robots = sorted(robot for robot in {*fleet.known_robots, *reached.robots()} if matches_glob(glob, robot))
    if not robots:
        raise NotFound(f"no robot is known that {glob!r} chooses", "fleetbox ls shows the robots")
    return robots


async def _pull(
    fleet: FleetSettings, order: PullOrder, robots: Sequence[str], tell: Tell, patience: Patience | None
) -> list[Pulled]:
    by, done = writer_here(), list[Pulled]()
    for robot in robots:
        event = pull_event(order, robot, by)
        raised = await raise_event(fleet, event)
        if raised.waits:
            tell(f"{robot} cannot be reached from here: the order waits at {raised.at} until it is fetched")
        done.append(Pulled(raised, event))
    if patience is None:
        return done
    found = await asyncio.gather(*(wait_for(fleet, one.raised, tell, patience) for one in done), return_exceptions=True)
    missed = [one for one in found if isinstance(one, BaseException)]
    for error in missed:
        if len(done) == 1 or not isinstance(error, Incomplete):
            raise error
    if missed:
        lines = "\n".join(f"  {error}" for error in missed)
        raise Incomplete(f"{len(missed)} of {len(done)} robots have not sent all:\n{lines}", "fleetbox audit")
    arrivals = [one for one in found if not isinstance(one, BaseException)]
    return [Pulled(was.raised, *arrival) for was, arrival in zip(done, arrivals, strict=True)]

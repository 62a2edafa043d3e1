"""Act 1, Record: two simulated robots write through the agent; a small share is selected to travel."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from fleetbox.cli.output import progress, size_text
from fleetbox.errors import FleetboxError
from fleetbox.events import Event, read_events
from fleetbox.measurements import HEALTH_STREAMS
from fleetbox.naming import RING_CLASSES
from fleetbox_local.child import Child, Command
from fleetbox_local.demo.stage import FAULTY, HERO, KIND, ROBOTS, Stage

PATIENCE_S = 180.0  # the event travels in a batch of 200 ms; a loaded machine needs 30 s to start two simulators alone
LOOK_S = 0.05  # one small query; what is measured from the brake on does not suffer


@dataclass(slots=True)
class Share:
    """Count what the robots hold and what of it was selected to travel as it was written, in bytes."""

    streams: int = 0
    records: int = 0
    total_bytes: int = 0
    selected_bytes: int = 0
    span_us: int = 0

    @property
    def bytes_per_s(self) -> float:
        """Return what one robot records per second."""
        return self.total_bytes / len(ROBOTS) / (self.span_us / 1e6) if self.span_us else 0.0


@contextmanager
def simulators(stage: Stage) -> Iterator[list[Child]]:
    """Run one simulated robot per robot, each a process of its own; what still runs at the end is stopped."""
    children = [_simulator(stage, robot, seed) for seed, robot in enumerate(ROBOTS, start=1)]
    try:
        for child in children:
            child.start()
        yield children
    finally:
        for child in children:
            child.terminate()
        for child in children:
            child.stop()


async def wait_for_brake(stage: Stage, children: list[Child]) -> Event:
    """Wait until the hero's own trigger has raised an event; return it."""
    started, since_us = time.monotonic(), time.time_ns() // 1000  # a fleet that ran before has older brakes
    place = stage.place("robot")
    async with stage.store(place) as store:
        with progress("1 RECORD", stage.brake_s) as advance:
            while (waited := time.monotonic() - started) < stage.brake_s + PATIENCE_S:
                _all_well(children)
                advance(waited, f"{HERO} brakes at {stage.brake_s:.0f} s")
                for event in await read_events(store, [place.bucket(HERO, "meta")]):
                    if event.trigger == KIND and event.time_us >= since_us:
                        return event
                await asyncio.sleep(LOOK_S)
    raise FleetboxError(f"no trigger of {HERO} spoke within {waited:.0f} s", f"read the logs in {stage.directory}")


async def report(stage: Stage) -> None:
    """Say what the robots recorded so far and how small a share travels by itself."""
    share = Share()
    for robot in ROBOTS:
        await _count(stage, robot, share)
    part = 100 * share.selected_bytes / share.total_bytes if share.total_bytes else 0.0
    stage.facts["record"] = {
        "robots": len(ROBOTS),
        "streams": share.streams,
        "records": share.records,
        "bytes": share.total_bytes,
        "bytes_per_s": round(share.bytes_per_s),
        "selected_bytes": share.selected_bytes,
        "selected_percent": round(part, 2),
    }
    stage.say(
        f"1 RECORD  {len(ROBOTS)} robots, {share.streams} streams each, {size_text(share.bytes_per_s)}/s each; "
        f"{part:.1f} % is selected to travel as it is written"
    )


async def finish(stage: Stage, children: list[Child]) -> None:
    """Wait until the simulators have ended by themselves, everything flushed."""
    deadline = time.monotonic() + stage.seconds + PATIENCE_S
    while any(child.alive for child in children):
        _all_well(children)
        if time.monotonic() > deadline:
            raise FleetboxError("a simulated robot did not end in time", f"read the logs in {stage.directory}")
        await asyncio.sleep(LOOK_S)
    _all_well(children)


async def _count(stage: Stage, robot: str, share: Share) -> None:
    place = stage.fleet.robot_place(robot)
    assert place is not None, "the demo writes its own fleet.toml, with every robot's store in it"
    streams = set()
    own = ("**", f"!{FAULTY}", *(f"!{stream}" for stream in HEALTH_STREAMS))
    async with stage.store(place) as store:
        for cls in RING_CLASSES:
            async for head in store.query(place.bucket(robot, cls), own, head=True):
                streams.add(head.entry)
                share.records += 1
                share.total_bytes += head.size
                share.selected_bytes += head.size if stage.fleet.policy.rule_for(head.entry).ship == "always" else 0
            infos = await store.entries(place.bucket(robot, cls))
            share.span_us = max([share.span_us, *(info.latest_us - info.oldest_us for info in infos)])
    share.streams = max(share.streams, len(streams))


def _simulator(stage: Stage, robot: str, seed: int) -> Child:
    argv = [sys.executable, "-m", "fleetbox", "simulate", "--config", str(stage.directory / robot / "robot.toml")]
    argv += ["--profile", "small", "--seed", str(seed), "--seconds", str(stage.seconds), "--json"]
    if robot == HERO:
        argv += ["--brake-at", str(stage.brake_s)]
    return Child(Command(f"simulated robot {robot}", tuple(argv), stage.directory / robot / "simulate.log"))


def _all_well(children: list[Child]) -> None:
    for child in children:
        if not child.alive and child.exit_code:
            raise child.failure(f"ended with code {child.exit_code}")

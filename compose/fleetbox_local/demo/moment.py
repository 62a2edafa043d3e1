"""Act 2, Moment: a trigger sees the brake; the minutes around it travel although nobody knew they would matter."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass

from fleetbox.blobs import Store
from fleetbox.chunks import BOUND_US
from fleetbox.cli.output import progress
from fleetbox.errors import FleetboxError
from fleetbox.events import Event, read_events
from fleetbox.naming import CLASSES
from fleetbox.records import Head
from fleetbox.settings import Place
from fleetbox_local.demo.stage import HERO, POST_US, WHEN, Stage, heads, last_us

CAMERA = "cam/front"
LOOK_S = 0.02  # the arrival is the figure of this act: look often
PATIENCE_S = 120.0  # loopback takes about a second; a busy machine gets more


@dataclass(frozen=True, slots=True)
class Arrival:
    """Tell how long after the brake the last of so many frames from before it was at the cloud."""

    took_s: float
    frames: int
    copied_bytes: int


async def follow(stage: Stage, event: Event) -> Arrival:
    """Wait until every frame from before the brake is at the cloud; return how long after the brake that was."""
    robot, cloud = stage.place("robot"), stage.place("cloud")
    start_us, brake_us = event.start_us, event.time_us
    async with stage.store(robot) as ring, stage.store(cloud) as far:
        await _wait_written(ring, robot, brake_us)
        before = await heads(ring, robot, ("**",), start_us, brake_us)
        wanted = {key for key, head in before.items() if head.entry == CAMERA}
        with progress("2 MOMENT", len(wanted)) as advance:
            while wanted - (there := await heads(far, cloud, (CAMERA,), start_us, brake_us)).keys():
                advance(len(wanted & there.keys()), "frames from before the brake at the cloud")
                if _since_s(brake_us) > PATIENCE_S:
                    raise _late(len(wanted & there.keys()), len(wanted))
                await asyncio.sleep(LOOK_S)
        took_s = _since_s(brake_us)
        copied = copied_bytes(before, await heads(ring, robot, ("**",), start_us, None, CLASSES))
    return Arrival(took_s, len(wanted), copied)


def _since_s(time_us: int) -> float:
    return time.time() - time_us / 1e6


async def _wait_written(ring: Store, robot: Place, brake_us: int) -> None:
    """Wait until the ring holds the camera's frames up to the brake: the agent writes in batches."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        infos = await ring.entries(robot.bucket(HERO, "media"))
        if any(info.name == CAMERA and info.latest_us >= brake_us for info in infos):
            return
        await asyncio.sleep(LOOK_S)
    raise FleetboxError(f"{CAMERA} stopped before the brake", f"read the logs of {HERO} in the data folder")


async def wait_labelled(stage: Stage, event: Event) -> Event:
    """Wait until the event's whole window is labelled and its closing revision stands at the cloud."""
    cloud = stage.place("cloud")
    deadline = time.monotonic() + POST_US / 1e6 + PATIENCE_S
    async with stage.store(cloud) as store:
        with progress("2 MOMENT") as advance:
            while time.monotonic() < deadline:
                advance(0, "the seconds after it are being recorded")
                for found in await read_events(store, [cloud.bucket(HERO, "meta")]):
                    if found.id == event.id and found.state == "labelled":
                        await _wait_arrived(stage, found)
                        return found
                await asyncio.sleep(0.2)
    raise FleetboxError(f"event {event.id} was not closed in time", f"read the agent's log in {stage.directory}/{HERO}")


async def _wait_arrived(stage: Stage, event: Event) -> None:
    """Wait until everything the event selected is at the cloud, counted record by record."""
    robot, cloud = stage.place("robot"), stage.place("cloud")
    deadline = time.monotonic() + PATIENCE_S
    async with stage.store(robot) as ring, stage.store(cloud) as far:
        start_us, stop_us = event.start_us - BOUND_US, event.stop_us + 1  # a chunk may begin before the window
        own = await heads(ring, robot, ("**",), start_us, stop_us)
        wanted = {key for key, head in own.items() if "keep" in head.labels and last_us(head) >= event.start_us}
        while missing := wanted - (await heads(far, cloud, ("**",), start_us, stop_us)).keys():
            if time.monotonic() > deadline:
                raise _late(len(wanted) - len(missing), len(wanted))
            await asyncio.sleep(LOOK_S)
    stage.facts["moment"]["selected_records"] = len(wanted)
    stage.facts["moment"]["arrived_records"] = len(wanted)
    stage.say(
        f"          the whole window: {len(wanted)} records selected on {HERO}, {len(wanted)} of them at the cloud"
    )


def copied_bytes(before: Mapping[str, Head], after: Mapping[str, Head]) -> int:
    """Return the bytes of records that hold the same payload as one that was there before, under another key."""
    known = {head.labels["xxh"] for head in before.values()}
    return sum(head.size for key, head in after.items() if key not in before and head.labels.get("xxh") in known)


def report(stage: Stage, event: Event, arrival: Arrival) -> None:
    """Say what the trigger kept and how soon it was at the cloud."""
    took_s, frames, copied = arrival.took_s, arrival.frames, arrival.copied_bytes
    stage.facts["moment"] = {
        "event": event.id,
        "frames_before": frames,
        "seconds_to_cloud": round(took_s, 3),
        "bytes_copied_on_robot": copied,
    }
    stage.say(
        f"2 MOMENT  {HERO} brakes hard; nobody marks it: its trigger `{WHEN}` keeps 10 s before, 5 s after\n"
        f"          the cloud holds {frames} frames from BEFORE the brake, {took_s:.2f} s after it; "
        f"bytes copied on {HERO}: {copied}"
    )


def _late(arrived: int, wanted: int) -> FleetboxError:
    return FleetboxError(
        f"{arrived} of {wanted} records reached the cloud within {PATIENCE_S:.0f} s", "see `fleetbox replicate status`"
    )

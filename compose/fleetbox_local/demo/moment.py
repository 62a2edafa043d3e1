"""Act 2, Moment: the brake is marked; the minutes around it travel although nobody knew they would matter."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping

from fleetbox.blobs import Store
from fleetbox.chunks import BOUND_US
from fleetbox.cli.output import progress
from fleetbox.errors import FleetboxError
from fleetbox.events import Event, new_event, read_events, write_event
from fleetbox.naming import CLASSES
from fleetbox.records import Head
from fleetbox.settings import Place
from fleetbox_local.demo.stage import HERO, POST_US, PRE_US, Stage, heads, last_us

CAMERA = "cam/front"
KIND = "hard_brake"
LOOK_S = 0.02  # the arrival is the figure of this act: look often
PATIENCE_S = 60.0  # loopback takes about a second; past a minute something is broken


async def mark(stage: Stage, brake_us: int) -> Event:
    """Mark the brake and wait until every frame from before it is at the cloud; say how long that took."""
    robot, cloud = stage.place("robot"), stage.place("cloud")
    start_us = brake_us - PRE_US
    async with stage.store(robot) as ring, stage.store(cloud) as far:
        await _wait_written(ring, robot, brake_us)
        before = await heads(ring, robot, ("**",), start_us, brake_us)
        event = new_event(
            Event("", KIND, HERO, brake_us, start_us, brake_us + POST_US, policy=stage.fleet.policy.hash, by="demo")
        )
        marked = time.monotonic()
        await write_event(ring, robot.bucket(HERO, "meta"), event, time.time_ns() // 1000)
        wanted = {key for key, head in before.items() if head.entry == CAMERA}
        with progress("2 MOMENT", len(wanted)) as advance:
            while wanted - (there := await heads(far, cloud, (CAMERA,), start_us, brake_us)).keys():
                advance(len(wanted & there.keys()), "frames from before the brake at the cloud")
                if time.monotonic() - marked > PATIENCE_S:
                    raise _late(len(wanted & there.keys()), len(wanted))
                await asyncio.sleep(LOOK_S)
        took_s = time.monotonic() - marked
        copied = copied_bytes(before, await heads(ring, robot, ("**",), 0, None, CLASSES))
    _report(stage, event, took_s, len(wanted), copied)
    return event


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


def _report(stage: Stage, event: Event, took_s: float, frames: int, copied: int) -> None:
    stage.facts["moment"] = {
        "event": event.id,
        "frames_before": frames,
        "seconds_to_cloud": round(took_s, 3),
        "bytes_copied_on_robot": copied,
    }
    stage.say(
        f"2 MOMENT  {HERO} brakes hard; marked: keep 10 s before, 5 s after\n"
        f"          the cloud holds {frames} frames from BEFORE the brake, {took_s:.2f} s after the mark; "
        f"bytes copied on {HERO}: {copied}"
    )


def _late(arrived: int, wanted: int) -> FleetboxError:
    return FleetboxError(
        f"{arrived} of {wanted} records reached the cloud within {PATIENCE_S:.0f} s", "see `fleetbox replicate status`"
    )

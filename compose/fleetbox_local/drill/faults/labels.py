"""Faults of labels and lateness: patched twice while waiting, two marks at once, records older than their task."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from fleetbox_local.drill.comparing import keys
from fleetbox_local.drill.faults.network import cut
from fleetbox_local.drill.marking import mark
from fleetbox_local.drill.scene import Scene
from fleetbox_local.drill.setting import ROBOT
from fleetbox_local.drill.writer import TEXTS

PATCHED = 50  # records; one batch holds 85
ATTACHED: dict[str, dict[str, Any]] = {"drill": {"note": "written before the task"}, "calibration": {"scale": 0.5}}


@contextmanager
def patched_twice(scene: Scene) -> Iterator[None]:
    """Cut the link and have a foreign tool patch waiting records' labels, twice each."""
    with cut(scene):
        yield
        scene.run(_patch(scene))


async def _patch(scene: Scene) -> None:
    place = scene.place("robot")
    async with scene.store("robot") as store:
        held = await keys(store, place)
        times = sorted(time_us for cls, stream, time_us in held if stream == TEXTS)[-PATCHED:]
        for value in ("first", "second"):
            await store.relabel(place.bucket(ROBOT, "log"), {TEXTS: times}, {"note": value})


@contextmanager
def marked_twice(scene: Scene) -> Iterator[None]:
    """Cut the link and mark two events at once over the same seconds."""

    async def both() -> None:
        await asyncio.gather(mark(scene, "one_brake"), mark(scene, "other_brake"))

    with cut(scene):
        yield
        scene.run(both())
        scene.writer.wait_for(150)  # the seconds after the marks


@contextmanager
def before_their_task(scene: Scene) -> Iterator[None]:
    """Take the robot's tasks away and stop its agent; write and attach; then start the agent, which makes them anew."""
    scene.nodes["agent"].stop()

    async def remove() -> None:
        async with scene.store("robot") as store:
            for task in await store.tasks():
                await store.remove_task(task.spec.name)

    async def attach() -> None:
        async with scene.store("robot") as store:
            for key, value in ATTACHED.items():
                await store.write_attachment(scene.place("robot").bucket(ROBOT, "log"), TEXTS, key, value)

    scene.run(remove())
    try:
        yield
        scene.run(attach())
    finally:
        scene.start_node("agent")

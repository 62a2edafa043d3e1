"""Faults on the robot itself: its disk full, its clock set, its ring too small for the outage."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

import fleetbox as fb
from fleetbox_local.drill.comparing import keys
from fleetbox_local.drill.disks import fill, free
from fleetbox_local.drill.faults.network import cut
from fleetbox_local.drill.marking import mark
from fleetbox_local.drill.scene import Scene, until

TWINS = 20  # texts of each of two recorders, all at the same times
TWIN_STREAM = "log/twins"
FLUSH_S = 60.0
DAY_US = 86_400 * 10**6


@contextmanager
def disk_full(scene: Scene) -> Iterator[None]:
    """Fill the file system that the robot's own store lies on; then free it."""
    fill(scene.robot.data_dir)
    try:
        yield
    finally:
        free(scene.robot.data_dir)


@contextmanager
def clock_jumps(scene: Scene) -> Iterator[None]:
    """Set the recording program's wall clock a day ahead, then a day behind, then right again."""
    assert scene.writer.child is not None
    scene.writer.signal(signal.SIGUSR1)
    scene.writer.wait_for(100)
    scene.writer.signal(signal.SIGUSR2)
    scene.writer.signal(signal.SIGUSR2)
    yield
    scene.writer.signal(signal.SIGUSR1)
    scene.run(until(lambda: _days(scene, 3), "records of yesterday, today and tomorrow"))


async def _days(scene: Scene, count: int) -> bool:
    """Tell whether the robot holds records of so many days: the clock was really believed."""
    async with scene.store("robot") as store:
        return len({key[2] // DAY_US for key in await keys(store, scene.place("robot"))}) >= count


@contextmanager
def same_time_twice(scene: Scene) -> Iterator[None]:
    """Have two recorders log different texts in one stream at exactly the same times."""
    config, start_us = scene.writer.config, time.time_ns() // 1000
    with fb.Recorder(config, duties=False) as one, fb.Recorder(config, duties=False) as two:
        for number in range(TWINS):
            for name, recorder in (("one", one), ("two", two)):
                for again in ("first", "again"):
                    recorder.log(TWIN_STREAM, f"{name} {again} {number}", time=start_us + number * 1000)
        one.flush(FLUSH_S)
        two.flush(FLUSH_S)
    scene.expected[TWIN_STREAM] = 4 * TWINS
    yield


@contextmanager
def overtaken(scene: Scene) -> Iterator[None]:
    """Cut the link until the ring has turned over what it still had to send, with an event marked meanwhile."""
    with cut(scene):
        scene.writer.wait_for(200)
        scene.run(mark(scene, "overtaken"))
        yield

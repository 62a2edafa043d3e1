"""Make and prove one video beside everything else: one thread of low priority, which stops as soon as it is told to."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from fleetbox.errors import InputError
from fleetbox.settings.policy import Video
from fleetbox.types.video import Clip, Stopped, encode_clip
from fleetbox_edge.transcoding.proving import Proof, objection, prove

NICE = 15  # of 19: a robot's own programs come first, and the disk's writers too
LOOK_S = 0.25  # how often it is asked whether the robot is still idle


@dataclass(frozen=True, slots=True)
class Made:
    """Hold a video, its proof, why it may not be used ("" when it may), and the CPU seconds it took."""

    data: bytes
    proof: Proof | None
    why: str
    cpu_s: float


class Maker:
    """Make one video at a time."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="fleetbox-video", initializer=_step_back)

    async def make(self, clip: Clip, rule: Video, go_on: Callable[[], bool]) -> Made | None:
        """Encode and prove; None when `go_on` said no meanwhile. Cancelled, the thread ends within a picture's time."""
        stop = threading.Event()
        work = asyncio.get_running_loop().run_in_executor(self._thread, _make, clip, rule, stop)
        try:
            while not work.done():
                await asyncio.wait([work], timeout=LOOK_S)
                if not go_on():
                    stop.set()
            return work.result()
        finally:
            stop.set()

    def close(self) -> None:
        """Let the thread end."""
        self._thread.shutdown(wait=False, cancel_futures=True)


def _make(clip: Clip, rule: Video, stop: threading.Event) -> Made | None:
    began_s = time.thread_time()

    def go_on() -> bool:
        return not stop.is_set()

    try:
        data = encode_clip(clip, rule.crf, go_on)
        proof = prove(clip, data, go_on)
    except Stopped:
        return None
    except InputError as error:
        return Made(b"", None, error.message, time.thread_time() - began_s)
    return Made(data, proof, objection(proof, rule), time.thread_time() - began_s)


def _step_back() -> None:
    """Give this thread less of the CPU than others; on Linux priorities are those of threads."""
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)

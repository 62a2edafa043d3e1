"""What a minute of stored pictures costs as video: ratio, quality, CPU; and how soon it stops for a busy robot.

The scene is made: a camera that drives past a textured wall, with a little noise of its sensor, at 10 pictures a
second. Real scenes differ; the bounds that the policy states hold for each of them, since each video is proven.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from fleetbox.settings.policy import Video
from fleetbox.types import video
from fleetbox.types.video import Clip
from fleetbox_edge.transcoding import STRETCH_US
from fleetbox_edge.transcoding.making import Maker

START_US = 1_700_000_000_000_000
HZ = 10
SENSOR_NOISE = 2.0  # of 255, one sigma: a good camera by day
SIZES = ((640, 360), (1280, 720))


@dataclass(frozen=True)
class Cost:
    """Hold what a minute cost."""

    pictures_bytes: int
    video_bytes: int
    psnr_db: float
    cpu_s: float
    get_s: float


def run() -> list[dict[str, Any]]:
    """Measure each size, and the stop."""
    rows = [row for size in SIZES for row in _rows(size, asyncio.run(_minute(size)))]
    stopped_ms = asyncio.run(_stop()) * 1000
    return [*rows, {"name": "transcoding ends after the robot got busy", "value": stopped_ms, "unit": "ms",
                    "goal": "<= 1 s"}]  # fmt: skip


def _rows(size: tuple[int, int], cost: Cost) -> list[dict[str, Any]]:
    name = f"transcoding {size[0]}x{size[1]} at {HZ} Hz"
    return [
        {"name": f"{name}, bytes a minute", "value": cost.video_bytes / 1e6, "unit": "MB",
         "raw": cost.pictures_bytes / 1e6, "ratio": cost.video_bytes / cost.pictures_bytes, "goal": "<= 0.5x JPEG"},
        {"name": f"{name}, luma PSNR of the worst ten seconds", "value": cost.psnr_db, "unit": "dB", "goal": ">= 36"},
        {"name": f"{name}, CPU a minute of pictures, proof included", "value": cost.cpu_s, "unit": "s"},
        {"name": f"{name}, get the last frame of a video", "value": cost.get_s, "unit": "s"},
    ]  # fmt: skip


async def _minute(size: tuple[int, int]) -> Cost:
    """Transcode a minute as the robot does, ten seconds at a time, proof included."""
    maker, rule = Maker(), Video(least_psnr=20.0, most_share=1.0)
    sums, noise, worst_get = [0, 0, 0.0], [], 0.0
    for clip in _clips(size, 60):
        made = await maker.make(clip, rule, lambda: True)
        assert made is not None
        assert made.proof is not None
        assert not made.why, made.why
        sums[0] += made.proof.pictures_bytes
        sums[1] += made.proof.video_bytes
        sums[2] += made.cpu_s
        noise.append(made.proof.psnr_db)
        began_s = time.perf_counter()
        video.picture_at(made.data, clip.times_us[-1] - clip.times_us[0])  # the last one takes longest
        worst_get = max(worst_get, time.perf_counter() - began_s)
    maker.close()
    return Cost(int(sums[0]), int(sums[1]), min(noise), sums[2], worst_get)


async def _stop() -> float:
    """Return how many seconds after the robot got busy the work has ended."""
    maker, busy_s = Maker(), 0.0
    began_s = time.perf_counter()

    def go_on() -> bool:
        nonlocal busy_s
        if time.perf_counter() - began_s < 0.5:
            return True
        busy_s = busy_s or time.perf_counter()
        return False

    made = await maker.make(next(_clips((1280, 720), 10)), Video(), go_on)
    maker.close()
    assert made is None, "it was done before it could be stopped"
    return time.perf_counter() - busy_s


def _clips(size: tuple[int, int], seconds: int) -> Iterator[Clip]:
    width, height = size
    rng = np.random.default_rng(1)
    count, step = STRETCH_US // 1_000_000 * HZ, width // 160
    wall = cv2.GaussianBlur(rng.integers(0, 255, (height, width + step * count, 3), dtype=np.uint8), (0, 0), 2)
    for first in range(0, seconds * HZ, count):
        pictures = [_jpeg(wall[:, step * at : step * at + width], rng) for at in range(count)]
        yield Clip(pictures, [START_US + (first + at) * 1_000_000 // HZ for at in range(count)])


def _jpeg(picture: np.ndarray, rng: np.random.Generator) -> bytes:
    noisy = picture + rng.normal(0, SENSOR_NOISE, picture.shape)
    return bytes(cv2.imencode(".jpg", np.clip(noisy, 0, 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, 85])[1])

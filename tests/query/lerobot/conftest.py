"""A robot with two cameras, joints and commands, as an agent would have recorded it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from fleetbox.settings.lerobot import LerobotMap, parse_map

from ..conftest import Tiers, blob, chunk

T0 = 1_760_000_000_000_000  # µs
SECOND = 1_000_000
FPS = 30
SIZE = (64, 48)


def picture(level: int, size: tuple[int, int] = SIZE) -> bytes:
    """Return a grey JPEG of one level."""
    return bytes(cv2.imencode(".jpg", np.full((size[1], size[0], 3), level, np.uint8))[1])


def camera_times(start_us: int, seconds: float, fps: int = FPS, jitter_us: int = 3_000) -> list[int]:
    """Return the stamps of a camera with a steady jitter."""
    noise = np.random.default_rng(7).integers(-jitter_us, jitter_us + 1, round(seconds * fps))
    noise[0] = 0
    return [start_us + round(k * SECOND / fps) + int(noise[k]) for k in range(round(seconds * fps))]


def shoot(tiers: Tiers, stream: str, times_us: Sequence[int], *, offset: int = 0, **labels: str) -> None:
    """Put a picture at each time; its level says which it is, from 40 on, by 1, over again after 180."""
    drafts = [
        blob(stream, at, picture(40 + (k + offset) % 180), robot=tiers.robot, kind="images", **labels)
        for k, at in enumerate(times_us)
    ]
    tiers.put("edge", "media", drafts)


def joints(
    tiers: Tiers, stream: str, start_us: int, seconds: float, rate: int = 100, width: int = 2, **more: Any
) -> None:
    """Put rows whose `position` is (n, -n, ...) for row n, in chunks of 5 s."""
    rows = round(seconds * rate)
    for first in range(0, rows, 5 * rate):
        numbers = range(first, min(rows, first + 5 * rate))
        times = [start_us + round(n * SECOND / rate) for n in numbers]
        columns = {"position": [[float(n) * (-1) ** at for at in range(width)] for n in numbers], "on": [n % 2 == 0 for n in numbers]}  # fmt: skip  # noqa: E501
        tiers.put("edge", "sensor", [chunk(stream, times, columns, robot=tiers.robot, **more)])


@pytest.fixture
def names(stream: str) -> dict[str, str]:
    """Names of streams nobody else uses."""
    return {
        "front": f"{stream}/front",
        "wrist": f"{stream}/wrist",
        "joints": f"{stream}/joints",
        "cmd": f"{stream}/cmd",
    }


@pytest.fixture
def map_(names: dict[str, str]) -> LerobotMap:
    """A map of all of them; the front camera sets the grid."""
    return make_map(names)


def make_map(names: dict[str, str], **more: Any) -> LerobotMap:
    """Return the usual map with some things said otherwise."""
    tables = {
        "fps": FPS,
        "reference": names["front"],
        "task": "pick the cup",
        "features": {
            "observation.state": [f"{names['joints']}:position"],
            "action": [f"{names['cmd']}:position"],
            "observation.images.front": [names["front"]],
            "observation.images.wrist": [names["wrist"]],
        },
        **more,
    }
    return parse_map(tables, Path("lerobot.toml"))


def record(tiers: Tiers, names: dict[str, str], start_us: int = T0, seconds: float = 2.0) -> None:
    """Put a whole episode: joints before and after it too."""
    early = start_us - SECOND // 2
    joints(tiers, names["joints"], early, seconds + 1)
    joints(tiers, names["cmd"], early, seconds + 1, rate=50)
    shoot(tiers, names["front"], camera_times(start_us, seconds))
    shoot(tiers, names["wrist"], camera_times(start_us - 20_000, seconds + 0.1), offset=50)

"""Draw what the simulated robot's camera sees, cheaply: a floor that moves, a shelf that passes, an obstacle."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from fleetbox.types import images
from fleetbox_edge.simulate.motion import motion

WIDTH, HEIGHT = 640, 360
FPS = 30
QUALITY = 80  # about 20 kB a frame; the scene is smooth
_PIXELS_PER_M = 90
_SEEN_S = 2.5  # before the brake the obstacle comes into view


def frame(t: float, seed: int, brake_at: float | None, name: str = "cam/front") -> bytes:
    """Return the JPEG frame at t seconds: 640x360, with the frame's number and time written on it."""
    import cv2

    way_m = motion(t, brake_at).way_m
    wide = _background(seed, name)
    at = int(way_m * _PIXELS_PER_M) % WIDTH
    picture = wide[:, at : at + WIDTH].copy()
    ball = int(WIDTH / 2 + WIDTH / 3 * _swing(t)), int(HEIGHT * 0.3)
    cv2.circle(picture, ball, 18, (40, 160, 240), -1)
    size = _obstacle(t, brake_at)
    if size:
        left, top = (WIDTH - size) // 2, HEIGHT - 30 - size
        cv2.rectangle(picture, (left, top), (left + size, HEIGHT - 30), (30, 30, 200), -1)
    text = f"{name}  #{round(t * FPS):06d}  t={t:09.3f} s"
    cv2.putText(picture, text, (12, 24), cv2.FONT_HERSHEY_PLAIN, 1.3, (255, 255, 255), 2)
    return images.encode(picture, QUALITY)


def _swing(t: float) -> float:
    """Return a triangle wave between -1 and 1 with a period of four seconds."""
    return abs((t % 4.0) - 2.0) - 1.0


def _obstacle(t: float, brake_at: float | None) -> int:
    """Return the obstacle's size in pixels: it grows until the robot stands before it, and is taken away after."""
    if brake_at is None or not brake_at - _SEEN_S <= t < brake_at + 1.5:
        return 0
    return int(30 + 190 * min(1.0, (t - brake_at + _SEEN_S) / (_SEEN_S + 0.5)))


@lru_cache(maxsize=8)  # one a camera: drawn once, then only cut
def _background(seed: int, name: str) -> Any:
    """Return a scene two frames wide whose halves are alike, so that any cut of it continues."""
    import cv2
    import numpy as np

    random = np.random.default_rng([seed, len(name)])
    scene = np.empty((HEIGHT, WIDTH, 3), np.uint8)
    scene[:] = np.linspace(60, 150, HEIGHT, dtype=np.uint8)[:, None, None]
    for left in range(0, WIDTH, 80):
        colour = tuple(int(value) for value in random.integers(60, 200, 3))
        cv2.rectangle(scene, (left + 8, 90), (left + 64, 90 + int(random.integers(60, 130))), colour, -1)
    for left in range(0, WIDTH, 40):
        cv2.line(scene, (left, HEIGHT - 30), (left + 20, HEIGHT - 30), (220, 220, 220), 2)
    return np.concatenate([scene, scene], axis=1)

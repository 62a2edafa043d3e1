"""Pictures as a camera makes them: a scene that moves, and noise that H.264 does not like."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

STEP_US = 100_000  # ten pictures a second


def moving(count: int, size: tuple[int, int] = (160, 120)) -> list[bytes]:
    """Return JPEGs of a scene that a camera drives past."""
    width, height = size
    rng = np.random.default_rng(7)
    scene = cv2.GaussianBlur(rng.integers(0, 255, (height, width + 4 * count, 3), dtype=np.uint8), (0, 0), 3)
    return [_jpeg(scene[:, 4 * at : 4 * at + width]) for at in range(count)]


def noisy(count: int, size: tuple[int, int] = (160, 120)) -> list[bytes]:
    """Return JPEGs that have nothing in common: the worst for a video."""
    rng = np.random.default_rng(8)
    return [_jpeg(rng.integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)) for _ in range(count)]


def brightness(jpeg: bytes) -> np.ndarray:
    """Return a picture's pixels as numbers."""
    picture = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_GRAYSCALE)
    assert picture is not None
    return picture.astype(np.float64)


def noise_db(one: bytes, other: bytes) -> float:
    """Return how alike two pictures are, as PSNR in dB."""
    return float(10 * np.log10(255**2 / max(1e-9, np.mean((brightness(one) - brightness(other)) ** 2))))


def uneven(start_us: int, count: int) -> Sequence[int]:
    """Return times that jitter, as those of real cameras."""
    rng = np.random.default_rng(9)
    return [start_us + at * STEP_US + int(rng.integers(0, 9_000)) for at in range(count)]


def _jpeg(picture: np.ndarray) -> bytes:
    return bytes(cv2.imencode(".jpg", picture)[1])

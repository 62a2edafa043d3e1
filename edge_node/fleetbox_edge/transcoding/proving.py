"""Prove a video by decoding it: every picture is there, at its time, and close enough to what it was."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from fleetbox.settings.policy import Video
from fleetbox.types import video
from fleetbox.types.video import Clip, Stopped

BEST_DB = 100.0  # equal pictures have no noise at all; a number is wanted all the same
PEAK = 255.0


@dataclass(frozen=True, slots=True)
class Proof:
    """Hold what decoding showed: frames found at their pictures' exact times, of how many; luma PSNR in dB; bytes."""

    frames: int
    pictures: int
    psnr_db: float
    video_bytes: int
    pictures_bytes: int

    @property
    def share(self) -> float:
        """Return the video's bytes as a share of the pictures'."""
        return self.video_bytes / self.pictures_bytes


def prove(clip: Clip, data: bytes, go_on: Callable[[], bool] = lambda: True) -> Proof:
    """Decode a video beside the pictures it was made of; raises InputError, or Stopped."""
    import numpy as np

    start_us, found, noise = clip.times_us[0], 0, 0.0
    decoded = video.frames(data)
    for picture, time_us in zip(clip.pictures, clip.times_us, strict=True):
        if not go_on():
            raise Stopped
        offset_us, frame = next(decoded, (-1, None))
        if frame is None or offset_us != time_us - start_us:
            break
        before = video.luma(video.decode_picture(picture))
        after = video.luma(frame)
        if before.shape != after.shape:
            break
        difference = before.astype(np.int16) - after
        noise += float(np.mean(np.square(difference, dtype=np.int32)))
        found += 1
    found += sum(1 for _ in decoded)  # frames too many are as wrong as too few
    count, sizes = len(clip.pictures), sum(map(len, clip.pictures))
    return Proof(found, count, _psnr(noise / count), len(data), sizes)


def objection(proof: Proof, rule: Video) -> str:
    """Return why the pictures must stay, "" when the video may take their place."""
    if proof.frames != proof.pictures:
        return f"{proof.frames} frames of {proof.pictures} pictures"
    if proof.psnr_db < rule.least_psnr:
        return f"{proof.psnr_db:.1f} dB, less than {rule.least_psnr:g}"
    if proof.share > rule.most_share:
        return f"{100 * proof.share:.0f} % of the pictures' bytes, more than {100 * rule.most_share:.0f} %"
    return ""


def _psnr(noise: float) -> float:
    return min(BEST_DB, 10 * math.log10(PEAK**2 / noise)) if noise else BEST_DB

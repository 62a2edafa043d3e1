"""Check a dataset's videos, frame by frame time, and its statistics."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from itertools import pairwise
from typing import Any

from fleetbox.errors import InputError
from fleetbox_query.lerobot import layout
from fleetbox_query.lerobot.dataset import Dataset
from fleetbox_query.lerobot.filming import Probe, probe
from fleetbox_query.lerobot.statistics import NAMES

TOLERANCE_S = 1e-4  # LeRobot's own, for a frame's time in its video
CODECS = ("h264", "hevc", "av1")  # what LeRobot's editing tools take
ORDERED = ("min", "q01", "q10", "q50", "q90", "q99", "max")
SLACK = 1e-6  # of a value: float32 numbers and float64 quantiles of them


def check_videos(found: Dataset) -> Iterator[str]:
    """Yield what is wrong with the videos; they are not decoded."""
    for camera in found.cameras:
        by_file: dict[str, list[Mapping[str, Any]]] = {}
        for row in found.episodes:
            if f"videos/{camera}/chunk_index" not in row:
                yield f"meta/episodes: has no videos/{camera}/chunk_index"
                break
            by_file.setdefault(found.path_in("video_path", row, f"videos/{camera}", camera), []).append(row)
        for name, rows in by_file.items():
            yield from _video(found, camera, name, rows)


def _video(found: Dataset, camera: str, name: str, rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    fps = found.info["fps"]
    if not (found.root / name).is_file():
        yield f"{name} is not there"
        return
    try:
        one = probe(found.root / name)
    except InputError as error:
        yield f"{name}: {error.message}"
        return
    yield from (f"{name}: {fault}" for fault in _film_faults(one, found.features[camera], fps))
    reached = 0
    for row in rows:
        start, stop = (round(row[f"videos/{camera}/{end}_timestamp"] * fps) for end in ("from", "to"))
        if start != reached or stop - start != row["length"]:
            there = f"frames {start} to {stop}, not {row['length']} from {reached}"
            yield f"{name}: episode {row['episode_index']} is {there}"
        reached = stop
    if len(one.pts) < reached:
        yield f"{name}: has {len(one.pts)} frames, its episodes need {reached}"


def _film_faults(one: Probe, feature: Mapping[str, Any], fps: int) -> Iterator[str]:
    said = feature.get("info") or {}
    height, width = feature["shape"][:2]
    if (one.width, one.height) != (width, height):
        yield f"is {one.width}x{one.height}, the feature {width}x{height}"
    if one.codec not in CODECS or one.codec != said.get("video.codec", one.codec):
        yield f"is {one.codec}, the feature {said.get('video.codec')}; known are {', '.join(CODECS)}"
    if one.pixels != said.get("video.pix_fmt", one.pixels):
        yield f"has pixels {one.pixels}, the feature {said.get('video.pix_fmt')}"
    if one.fps != fps or said.get("video.fps", fps) != fps:
        yield f"is at {float(one.fps):g} fps, the feature at {said.get('video.fps')}, the dataset at {fps}"
    late = next((at for at, pts in enumerate(one.pts) if abs(pts - Fraction(at, fps)) >= TOLERANCE_S), None)
    if late is not None:
        yield f"frame {late} is at {float(one.pts[late]):.6f} s, not {late / fps:.6f} s"


def check_statistics(found: Dataset) -> Iterator[str]:
    """Yield what is wrong with the statistics of all frames and of each episode."""
    for name, feature in found.features.items():
        if feature["dtype"] == "string":
            continue
        if name not in found.stats:
            yield f"{layout.STATS}: has nothing of {name}"
            continue
        yield from (f"{layout.STATS}: {name}: {fault}" for fault in _stat_faults(found.stats[name], feature))
        for row in found.episodes:
            own = {
                what: row.get(f"stats/{name}/{what}") for what in NAMES if row.get(f"stats/{name}/{what}") is not None
            }
            if own and (fault := next(_stat_faults(own, feature), None)):
                yield f"meta/episodes: episode {row['episode_index']}: {name}: {fault}"
                break


def _stat_faults(stats: Mapping[str, Any], feature: Mapping[str, Any]) -> Iterator[str]:
    import numpy as np

    shape = (3, 1, 1) if feature["dtype"] in ("video", "image") else tuple(feature["shape"])
    for what in NAMES:
        if what not in stats:
            yield f"{what} is missing"
            continue
        value = np.array(stats[what])
        wanted = (1,) if what == "count" else shape
        if value.shape != wanted:
            yield f"{what} has shape {value.shape}, not {wanted}"
        elif not np.isfinite(value.astype(float)).all():
            yield f"{what} is not a number"
    ordered = [np.array(stats[what], float) for what in ORDERED if what in stats]
    if any(
        low.shape == high.shape and np.any(low > high + SLACK * (1 + np.abs(high))) for low, high in pairwise(ordered)
    ):
        yield "min, quantiles and max are not in order"

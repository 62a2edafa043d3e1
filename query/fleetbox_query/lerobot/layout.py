"""Say where a LeRobot v3.0 dataset has what, and what its info.json declares; plain values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

VERSION = "v3.0"
FILES_PER_CHUNK = 1_000  # LeRobot's own defaults, from here on
DATA_MIB = 100
VIDEO_MIB = 200
MIB = 1 << 20

INFO = "meta/info.json"
STATS = "meta/stats.json"
TASKS = "meta/tasks.parquet"
REPORT = "meta/fleetbox.json"  # ours: how the frames came about; readers of datasets pass it over
CARD = "README.md"
DATA_PATH = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
VIDEO_PATH = "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"
EPISODES_PATH = "meta/episodes/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"

DEFAULTS = {
    "timestamp": "float32",
    "frame_index": "int64",
    "episode_index": "int64",
    "index": "int64",
    "task_index": "int64",
}
TS_NS = "ts_ns"  # the frame's own moment: float32 seconds cannot hold it


def place(file: int) -> dict[str, int]:
    """Return the chunk and file index of the so-many-th file."""
    return {"chunk_index": file // FILES_PER_CHUNK, "file_index": file % FILES_PER_CHUNK}


def grouped(sizes: Sequence[int], limit_bytes: int) -> list[list[int]]:
    """Return which items share a file: a new one begins where the next would bring it to the limit."""
    groups: list[list[int]] = []
    size = 0
    for at, more in enumerate(sizes):
        if groups and size + more < limit_bytes:
            groups[-1].append(at)
            size += more
        else:
            groups.append([at])
            size = more
    return groups


def features_of(
    vectors: Mapping[str, tuple[str, Sequence[str]]], cameras: Mapping[str, tuple[int, int]], fps: int, video: Any
) -> dict[str, Any]:
    """Return `features` of info.json; vectors: name -> (dtype, names), cameras: name -> (width, height)."""
    found: dict[str, Any] = {}
    for name, (dtype, names) in vectors.items():
        found[name] = {"dtype": dtype, "shape": [len(names)], "names": list(names)}
    for name, (width, height) in cameras.items():
        found[name] = {
            "dtype": "video",
            "shape": [height, width, 3],
            "names": ["height", "width", "channels"],
            "info": {
                "video.height": height,
                "video.width": width,
                "video.codec": "h264",
                "video.pix_fmt": "yuv420p",
                "video.is_depth_map": False,
                "is_depth_map": False,
                "video.fps": fps,
                "video.channels": 3,
                "has_audio": False,
                "video.g": video.gop,
                "video.crf": video.crf,
                "video.preset": video.preset,
            },
        }
    more = {**DEFAULTS, TS_NS: "int64"}
    return found | {name: {"dtype": dtype, "shape": [1], "names": None} for name, dtype in more.items()}


def info_of(features: Mapping[str, Any], fps: int, totals: Mapping[str, int], robot_type: str | None) -> dict[str, Any]:
    """Return info.json; totals: episodes, frames, tasks."""
    has_video = any(one["dtype"] == "video" for one in features.values())
    return {
        "codebase_version": VERSION,
        "robot_type": robot_type,
        "total_episodes": totals["episodes"],
        "total_frames": totals["frames"],
        "total_tasks": totals["tasks"],
        "chunks_size": FILES_PER_CHUNK,
        "data_files_size_in_mb": DATA_MIB,
        "video_files_size_in_mb": VIDEO_MIB,
        "fps": fps,
        "splits": {"train": f"0:{totals['episodes']}"},
        "data_path": DATA_PATH,
        "video_path": VIDEO_PATH if has_video else None,
        "features": dict(features),
    }

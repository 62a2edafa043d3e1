"""Check a LeRobot v3.0 dataset in a folder: files, counters, columns, numbering, videos and statistics agree."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from fleetbox.errors import InputError
from fleetbox_query.lerobot import layout
from fleetbox_query.lerobot.assembling import data_schema
from fleetbox_query.lerobot.dataset import Dataset, Unreadable, read_dataset, read_json
from fleetbox_query.lerobot.media_checks import TOLERANCE_S, check_statistics, check_videos

KEYS = (
    "codebase_version", "fps", "features", "total_episodes", "total_frames", "total_tasks", "chunks_size",
    "data_files_size_in_mb", "video_files_size_in_mb", "data_path", "video_path", "robot_type", "splits",
)  # fmt: skip
MOST_OVER = 1.05  # a file of several episodes may be so much over the limit: sizes are known only when it is written


def check_dataset(root: Path) -> list[str]:
    """Return what is wrong with a dataset, a line each; [] for a whole one. Raises InputError for no dataset at all.

    Videos are read but not decoded: their frames are counted and their times compared.
    """
    if not (root / layout.INFO).is_file():
        raise InputError(f"{root} is no LeRobot dataset: it has no {layout.INFO}", "give the folder that has meta/")
    checks: tuple[Callable[[Dataset], Iterator[str]], ...] = (
        _counters, _columns, _numbering, _tiling, _tasks, check_videos, check_statistics, _sizes,
    )  # fmt: skip
    faults: list[str] = []
    try:
        faults += _info_faults(read_json(root, layout.INFO))
        dataset = None if faults else read_dataset(root)
        for check in checks if dataset else ():
            faults += check(dataset)  # type: ignore[arg-type]
    except Unreadable as error:
        faults.append(str(error))
    return faults


def _info_faults(info: Mapping[str, Any]) -> Iterator[str]:
    yield from (f"{layout.INFO}: {key} is missing" for key in KEYS if key not in info)
    if info.get("codebase_version") != layout.VERSION:
        yield f"{layout.INFO}: codebase_version is {info.get('codebase_version')!r}, not {layout.VERSION!r}"
    if not isinstance(info.get("fps"), int) or info["fps"] < 1:
        yield f"{layout.INFO}: fps is {info.get('fps')!r}, not a whole number above 0"
    for name, one in dict(info.get("features", {})).items():
        if "/" in name:
            yield f"{layout.INFO}: feature {name!r} has a slash in its name"
        if not isinstance(one, dict) or "dtype" not in one or not isinstance(one.get("shape"), list):
            yield f"{layout.INFO}: feature {name!r} has no dtype or shape"
    for name, dtype in layout.DEFAULTS.items():
        said = dict(info.get("features", {})).get(name, {})
        if said.get("dtype") != dtype or said.get("shape") != [1]:
            yield f"{layout.INFO}: feature {name!r} is to be {dtype} of shape [1]"


def _counters(found: Dataset) -> Iterator[str]:
    rows = sum(table.num_rows for _, table in found.data())
    counted = {"total_episodes": len(found.episodes), "total_frames": rows, "total_tasks": found.tasks.num_rows}
    for key, there in counted.items():
        if found.info[key] != there:
            yield f"{layout.INFO}: {key} is {found.info[key]}, but there are {there}"
    split = found.info["splits"].get("train") if isinstance(found.info["splits"], dict) else None
    if len(found.info["splits"]) == 1 and split != f"0:{len(found.episodes)}":
        yield f"{layout.INFO}: splits.train is {split!r}, not '0:{len(found.episodes)}'"


def _columns(found: Dataset) -> Iterator[str]:
    if any(len(one["shape"]) > 1 for one in found.features.values() if one["dtype"] not in ("video", "image")):
        yield f"{layout.INFO}: a feature of more than one dimension breaks LeRobot's editing tools; make it one vector"
    if any(one["dtype"] == "image" for one in found.features.values()):
        return
    wanted = data_schema(found.features)
    for name, table in found.data():
        for column in sorted(set(table.column_names) - set(wanted.names)):
            yield f"{name}: column {column!r} is no feature of {layout.INFO}; LeRobot refuses the file"
        for field in wanted:
            if field.name not in table.column_names:
                yield f"{name}: column {field.name!r} is missing"
                continue
            if table.schema.field(field.name).type != field.type:
                yield f"{name}: column {field.name!r} is {table.schema.field(field.name).type}, not {field.type}"
            if table[field.name].null_count:
                yield f"{name}: column {field.name!r} has missing values"


def _numbering(found: Dataset) -> Iterator[str]:
    import numpy as np

    fps, position = found.info["fps"], 0
    lengths = [row["length"] for row in found.episodes]
    for name, table in found.data():
        if not set(layout.DEFAULTS) <= set(table.column_names):
            continue
        index, episode = table["index"].to_numpy(), table["episode_index"].to_numpy()
        if not np.array_equal(index, np.arange(position, position + len(index))):
            yield f"{name}: index does not count on from {position}"
        position += len(index)
        for number in np.unique(episode):
            rows = episode == number
            frames = table["frame_index"].to_numpy()[rows]
            if number >= len(lengths) or len(frames) != lengths[number]:
                yield f"{name}: episode {number} has {len(frames)} frames, not what meta/episodes says"
            if not np.array_equal(frames, np.arange(len(frames))):
                yield f"{name}: frame_index of episode {number} does not count from 0"
            elif np.abs(table["timestamp"].to_numpy()[rows] - frames / fps).max(initial=0) > TOLERANCE_S:
                yield f"{name}: timestamp of episode {number} is not frame_index / {fps}"
        if np.any(np.diff(episode) < 0):
            yield f"{name}: episodes are not in order"


def _tiling(found: Dataset) -> Iterator[str]:
    reached, wanted = 0, {"length", "dataset_from_index", "dataset_to_index", "tasks", "episode_index"}
    for at, row in enumerate(found.episodes):
        if lacking := sorted(wanted - set(row)):
            yield f"meta/episodes: {', '.join(lacking)} missing"
            return
        if row["episode_index"] != at:
            yield f"meta/episodes: row {at} is episode {row['episode_index']}"
        if (row["dataset_from_index"], row["dataset_to_index"]) != (reached, reached + row["length"]):
            yield f"meta/episodes: episode {at} does not begin at {reached} and end {row['length']} on"
        reached = row["dataset_to_index"]
        path = found.path_in("data_path", row, "data")
        if not (found.root / path).is_file():
            yield f"{path} is not there, but episode {at} is in it"


def _tasks(found: Dataset) -> Iterator[str]:
    import numpy as np

    named = found.tasks.schema.pandas_metadata or {}
    if named.get("index_columns") != ["task"]:
        yield f"{layout.TASKS}: the task's text is no pandas index: LeRobot would show numbers"
    if not {"task", "task_index"} <= set(found.tasks.column_names):
        yield f"{layout.TASKS}: has no task or no task_index"
        return
    if found.tasks["task_index"].to_pylist() != list(range(found.tasks.num_rows)):
        yield f"{layout.TASKS}: row i is not task i"
    known = found.tasks["task"].to_pylist()
    for row in found.episodes:
        if unknown := [task for task in row.get("tasks", []) if task not in known]:
            yield f"meta/episodes: episode {row['episode_index']} has task {unknown[0]!r}, which {layout.TASKS} lacks"
    used = [table["task_index"].to_numpy() for _, table in found.data() if "task_index" in table.column_names]
    if used and np.concatenate(used).max(initial=-1) >= len(known):
        yield f"data: a task_index is beyond the {len(known)} tasks"


def _sizes(found: Dataset) -> Iterator[str]:
    limits = {"data": found.info["data_files_size_in_mb"], "videos": found.info["video_files_size_in_mb"]}
    for folder, limit in limits.items():
        keys = ("data",) if folder == "data" else tuple(f"videos/{camera}" for camera in found.cameras)
        for key in keys:
            template = "data_path" if folder == "data" else "video_path"
            names = [found.path_in(template, row, key, key.partition("/")[2]) for row in found.episodes]
            for name in dict.fromkeys(names):
                path = found.root / name
                if names.count(name) > 1 and path.is_file() and path.stat().st_size > limit * layout.MIB * MOST_OVER:
                    yield f"{name}: is larger than {limit} MiB and holds several episodes"

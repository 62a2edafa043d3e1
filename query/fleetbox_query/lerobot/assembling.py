"""Put finished intervals together as one dataset: numbered, in files of LeRobot's sizes, with statistics of all."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fleetbox.settings.lerobot import LerobotMap
from fleetbox_query.exports.output import Output
from fleetbox_query.lerobot import layout
from fleetbox_query.lerobot.filming import join
from fleetbox_query.lerobot.statistics import NAMES, Stats, of_levels, of_values

if TYPE_CHECKING:
    import pyarrow as pa

BLOCK_BYTES = 256 << 20  # of one feature's numbers held while its quantiles are found


@dataclass(frozen=True, slots=True)
class Unit:
    """Name a finished interval's files, and what its report says (see `making`)."""

    frames: str
    films: Mapping[str, str]
    said: Mapping[str, Any]


def assemble(out: Output, map_: LerobotMap, shape: Mapping[str, Any], units: Sequence[Unit]) -> dict[str, int]:
    """Write data, videos and meta from units in order; return the totals of episodes, frames and tasks."""
    features = layout.features_of(shape["vectors"], shape["cameras"], map_.fps, map_.video)
    rows = list(_episodes(units))
    tasks = list(dict.fromkeys(row["task"] for row in rows))
    places = [dict[str, Any]() for _ in rows]
    _write_data(out, features, units, rows, tasks, places, map_.fps)
    for camera in shape["cameras"]:
        _write_videos(out, camera, units, rows, places, map_.fps)
    totals = {"episodes": len(rows), "frames": sum(row["length"] for row in rows), "tasks": len(tasks)}
    _write_tasks(out, tasks)
    _write_episodes(out, features, rows, places, (tasks, map_.fps))
    with out.part(layout.STATS) as path:
        path.write_text(json.dumps(_all_statistics(out, features, units), indent=1))
    with out.part(layout.INFO) as path:
        path.write_text(json.dumps(layout.info_of(features, map_.fps, totals, map_.robot_type), indent=4))
    return totals


def _episodes(units: Sequence[Unit]) -> Iterator[dict[str, Any]]:
    """Yield a row for each episode: its unit, its rows there and in the dataset, its task and statistics."""
    index = 0
    for at, unit in enumerate(units):
        for one in unit.said["episodes"]:
            length = one["stop"] - one["start"]
            yield {**one, "unit": at, "length": length, "index": index, "interval": unit.said["interval"]}
            index += length


def _write_data(
    out: Output,
    features: Mapping[str, Any],
    units: Sequence[Unit],
    rows: Sequence[Mapping[str, Any]],
    tasks: Sequence[str],
    places: list[dict[str, Any]],
    fps: int,
) -> None:
    import pyarrow.parquet as pq

    schema = data_schema(features)
    sizes = [out.finished[unit.frames].size_bytes for unit in units]
    for file, group in enumerate(layout.grouped(sizes, layout.DATA_MIB * layout.MIB)):
        where = layout.place(file)
        with out.part(layout.DATA_PATH.format(**where)) as path, pq.ParquetWriter(path, schema) as writer:
            for number, row in enumerate(rows):
                if row["unit"] not in group:
                    continue
                table = pq.read_table(out.path_of(units[row["unit"]].frames)).slice(row["start"], row["length"])
                writer.write_table(_numbered(table, schema, number, row, tasks.index(row["task"]), fps))
                places[number] |= {f"data/{name}": value for name, value in where.items()}


def data_schema(features: Mapping[str, Any]) -> pa.Schema:
    """Return the schema of the data files: every feature but videos, vectors as lists of fixed length."""
    import pyarrow as pa

    named = {"string": pa.string(), "bool": pa.bool_()}
    fields = []
    for name, said in features.items():
        if said["dtype"] == "video":
            continue
        kind = named.get(said["dtype"]) or pa.type_for_alias(said["dtype"])
        fields.append((name, kind if said["shape"] == [1] else pa.list_(kind, said["shape"][0])))
    return pa.schema(fields)


def _numbered(table: pa.Table, schema: pa.Schema, number: int, row: Mapping[str, Any], task: int, fps: int) -> pa.Table:
    import numpy as np
    import pyarrow as pa

    frames = np.arange(row["length"], dtype=np.int64)
    made = {
        "timestamp": (frames / fps).astype(np.float32),
        "frame_index": frames,
        "episode_index": np.full(len(frames), number, np.int64),
        "index": frames + row["index"],
        "task_index": np.full(len(frames), task, np.int64),
    }
    columns = [table[name] if name in table.column_names else pa.array(made[name]) for name in schema.names]
    return pa.table(columns, names=schema.names).cast(schema)


def _write_videos(
    out: Output,
    camera: str,
    units: Sequence[Unit],
    rows: Sequence[Mapping[str, Any]],
    places: list[dict[str, Any]],
    fps: int,
) -> None:
    sizes = [out.finished[unit.films[camera]].size_bytes for unit in units]
    for file, group in enumerate(layout.grouped(sizes, layout.VIDEO_MIB * layout.MIB)):
        where = layout.place(file)
        with out.part(layout.VIDEO_PATH.format(video_key=camera, **where)) as path:
            join([out.path_of(units[at].films[camera]) for at in group], path, fps)
        before = 0
        for number, row in enumerate(rows):
            if row["unit"] not in group:
                continue
            places[number] |= {f"videos/{camera}/{name}": value for name, value in where.items()}
            places[number][f"videos/{camera}/from_timestamp"] = before / fps
            before += row["length"]
            places[number][f"videos/{camera}/to_timestamp"] = before / fps


def _write_tasks(out: Output, tasks: Sequence[str]) -> None:
    """Write the tasks as pandas would, with the text as index: LeRobot looks them up by it."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = [
        {"name": "task_index", "field_name": "task_index", "pandas_type": "int64", "numpy_type": "int64"},
        {"name": "task", "field_name": "task", "pandas_type": "unicode", "numpy_type": "object"},
    ]
    said = {
        "index_columns": ["task"],
        "column_indexes": [{"name": None, "field_name": None, "pandas_type": "unicode", "numpy_type": "object",
                            "metadata": {"encoding": "UTF-8"}}],
        "columns": [{**one, "metadata": None} for one in columns],
        "pandas_version": "2.2.0",
    }  # fmt: skip
    table = pa.table({"task_index": pa.array(range(len(tasks)), pa.int64()), "task": pa.array(tasks, pa.string())})
    with out.part(layout.TASKS) as path:
        pq.write_table(table.replace_schema_metadata({b"pandas": json.dumps(said).encode()}), path)


def _write_episodes(
    out: Output,
    features: Mapping[str, Any],
    rows: Sequence[Mapping[str, Any]],
    places: Sequence[Mapping[str, Any]],
    known: tuple[Sequence[str], int],
) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    where = layout.place(0)
    table = [
        {
            "episode_index": number,
            "tasks": [row["task"]],
            "length": row["length"],
            **places[number],
            "dataset_from_index": row["index"],
            "dataset_to_index": row["index"] + row["length"],
            **_statistics_columns({**row["stats"], **_made_statistics(number, row, *known)}, features),
            **{f"meta/episodes/{name}": value for name, value in where.items()},
            "robot_id": row["interval"]["robot"],
            "t0_ns": row["t0_ns"],
            "source": row["interval"]["source"],
        }
        for number, row in enumerate(rows)
    ]
    with out.part(layout.EPISODES_PATH.format(**where)) as path:
        pq.write_table(pa.Table.from_pylist(table), path)


def _made_statistics(number: int, row: Mapping[str, Any], tasks: Sequence[str], fps: int) -> dict[str, Stats]:
    """Return the statistics of the columns that numbering made."""
    import numpy as np

    frames = np.arange(row["length"])
    made = {
        "timestamp": frames / fps,
        "frame_index": frames,
        "episode_index": np.full(len(frames), number),
        "index": frames + row["index"],
        "task_index": np.full(len(frames), tasks.index(row["task"])),
    }
    return {name: of_values(values) for name, values in made.items()}


def _statistics_columns(stats: Mapping[str, Stats], features: Mapping[str, Any]) -> dict[str, Any]:
    return {f"stats/{name}/{what}": stats[name][what] for name in features if name in stats for what in NAMES}


def _all_statistics(out: Output, features: Mapping[str, Any], units: Sequence[Unit]) -> dict[str, Stats]:
    import numpy as np

    files = [out.path_of(name) for name in sorted(out.finished) if name.startswith("data/")]
    found: dict[str, Stats] = {}
    for name, said in features.items():
        if said["dtype"] == "video":
            levels = [np.array(one) for unit in units for one in unit.said["levels"][name]]
            counted = sum(count for unit in units for count in unit.said["counted"][name])
            found[name] = of_levels(sum(levels), counted)
        elif said["dtype"] != "string":
            found[name] = _of_files(files, name, said["shape"][0])
    return found


def _of_files(files: Sequence[Path], name: str, width: int) -> Stats:
    """Return a feature's statistics over all files, so many of its numbers at once as memory is given."""
    import pyarrow.parquet as pq

    total = sum(pq.read_metadata(path).num_rows for path in files)
    step = max(1, BLOCK_BYTES // (8 * max(1, total)))
    parts = [of_values(_columns(files, name, width, at, min(at + step, width))) for at in range(0, width, step)]
    joined = {what: [value for part in parts for value in part[what]] for what in NAMES}
    return {**joined, "count": [total]}


def _columns(files: Sequence[Path], name: str, width: int, start: int, stop: int) -> Any:
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    parts = []
    for path in files:
        for batch in pq.ParquetFile(path).iter_batches(columns=[name]):
            column = batch.column(0)
            values = column.flatten() if pa.types.is_fixed_size_list(column.type) else column
            found = values.to_numpy(zero_copy_only=False).reshape(-1, width)
            parts.append(found[:, start:stop].astype(np.float64))
    return np.concatenate(parts)

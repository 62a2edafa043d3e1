"""Read what the files of a LeRobot dataset say, one data file at a time."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fleetbox_query.lerobot import layout

if TYPE_CHECKING:
    import pyarrow as pa


class Unreadable(Exception):
    """Tell that a file is too broken to look further."""


@dataclass(frozen=True, slots=True)
class Dataset:
    """Hold what the files of a dataset say, read but not yet compared."""

    root: Path
    info: Mapping[str, Any]
    episodes: Sequence[Mapping[str, Any]]
    tasks: Any
    stats: Mapping[str, Any]

    @property
    def features(self) -> Mapping[str, Any]:
        """Return what info.json declares."""
        found: Mapping[str, Any] = self.info["features"]
        return found

    @property
    def cameras(self) -> list[str]:
        """Return the features that are videos."""
        return [name for name, one in self.features.items() if one.get("dtype") == "video"]

    def data(self) -> Iterator[tuple[str, pa.Table]]:
        """Yield each data file's name and table, in order."""
        for path in sorted((self.root / "data").glob("*/*.parquet")):
            yield _name(self.root, path), read_table(self.root, path)

    def path_in(self, template: str, row: Mapping[str, Any], key: str, camera: str = "") -> str:
        """Return the file that an episode's row says it is in; template: "data_path" or "video_path"."""
        place = {name: row.get(f"{key}/{name}", 0) for name in ("chunk_index", "file_index")}
        return str(self.info[template]).format(video_key=camera, **place)


def read_dataset(root: Path) -> Dataset:
    """Return a dataset's files as they are; raises Unreadable."""
    info = read_json(root, layout.INFO)
    stats = read_json(root, layout.STATS) if (root / layout.STATS).is_file() else {}
    episodes = [
        row
        for path in sorted((root / "meta/episodes").glob("*/*.parquet"))
        for row in read_table(root, path).to_pylist()
    ]
    if not (root / layout.TASKS).is_file():
        raise Unreadable(f"{layout.TASKS} is not there")
    tasks = read_table(root, root / layout.TASKS)
    return Dataset(root, info, episodes, tasks, stats)


def read_json(root: Path, name: str) -> dict[str, Any]:
    """Return a JSON file's object; raises Unreadable."""
    try:
        found = json.loads((root / name).read_text())
    except (OSError, ValueError) as error:
        raise Unreadable(f"{name} cannot be read: {error}") from error
    if not isinstance(found, dict):
        raise Unreadable(f"{name} is no JSON object")
    return found


def read_table(root: Path, path: Path) -> pa.Table:
    """Return a Parquet file's table; raises Unreadable."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.ParquetFile(path).read()
    except (OSError, pa.ArrowException) as error:
        raise Unreadable(f"{_name(root, path)} cannot be read: {error}") from error


def _name(root: Path, path: Path) -> str:
    return path.relative_to(root).as_posix()

"""The check finds each way in which a dataset can be broken, and no fault in a whole one."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fleetbox.errors import InputError
from fleetbox.settings.lerobot import VideoRule
from fleetbox_query.fleet import Fleet
from fleetbox_query.lerobot import layout
from fleetbox_query.lerobot.checking import check_dataset
from fleetbox_query.lerobot.exporting import export_lerobot
from fleetbox_query.lerobot.filming import Film, decode
from fleetbox_query.lerobot.intervals import Interval

from ..conftest import Tiers
from .conftest import SECOND, T0, make_map, picture, record

DATA = "data/chunk-000/file-000.parquet"
EPISODES = "meta/episodes/chunk-000/file-000.parquet"
VIDEO = "videos/observation.images.front/chunk-000/file-000.mp4"


@pytest.fixture
def dataset(tiers: Tiers, fleet: Fleet, names: dict[str, str], tmp_path: Path) -> Path:
    """Two exported episodes of a second."""
    intervals = []
    for at in range(2):
        record(tiers, names, T0 + at * 10 * SECOND, 1.0)
        intervals.append(Interval(tiers.robot, T0 + at * 10 * SECOND, T0 + (at * 10 + 1) * SECOND))
    question = fleet.select(f"{tiers.robot}/**").question
    export_lerobot(fleet.session, question, make_map(names), tmp_path / "out", intervals=intervals)
    return tmp_path / "out"


def rewrite(path: Path, change: Callable[[pa.Table], pa.Table]) -> None:
    """Write a Parquet file anew."""
    pq.write_table(change(pq.read_table(path)), path)


def say(root: Path, name: str, **said: Any) -> None:
    """Change keys of a JSON file."""
    path = root / name
    path.write_text(json.dumps({**json.loads(path.read_text()), **said}))


def replaced(table: pa.Table, name: str, values: list[Any]) -> pa.Table:
    """Return a table with other values in a column."""
    at = table.column_names.index(name)
    return table.set_column(at, table.schema.field(name), pa.array(values, table.schema.field(name).type))


def refilm(root: Path, frames: int, fps: int = 30, size: tuple[int, int] = (64, 48)) -> None:
    """Put another film in place of the camera's."""
    with Film(root / VIDEO, fps, size, VideoRule()) as film:
        for _ in range(frames):
            film.add(decode(picture(50)))


BREAKING: dict[str, tuple[Callable[[Path], None], str]] = {
    "counter": (lambda root: say(root, layout.INFO, total_frames=61), "total_frames is 61, but there are 60"),
    "version": (lambda root: say(root, layout.INFO, codebase_version="v2.1"), "codebase_version is 'v2.1'"),
    "task lost": (
        lambda root: rewrite(root / layout.TASKS, lambda table: table.replace_schema_metadata(None)),
        "no pandas index",
    ),
    "extra column": (
        lambda root: rewrite(root / DATA, lambda table: table.append_column("extra", table["index"])),
        "column 'extra' is no feature",
    ),
    "column lost": (
        lambda root: rewrite(root / DATA, lambda table: table.drop_columns(["action"])),
        "column 'action' is missing",
    ),
    "index": (
        lambda root: rewrite(root / DATA, lambda table: replaced(table, "index", list(range(1, 61)))),
        "index does not count on from 0",
    ),
    "timestamp": (
        lambda root: rewrite(root / DATA, lambda table: replaced(table, "timestamp", [0.0] * 60)),
        "is not frame_index / 30",
    ),
    "tiling": (
        lambda root: rewrite(root / EPISODES, lambda table: replaced(table, "dataset_from_index", [0, 29])),
        "episode 1 does not begin at 30",
    ),
    "video times": (
        lambda root: rewrite(
            root / EPISODES,
            lambda table: replaced(table, "videos/observation.images.front/from_timestamp", [0.0, 0.5]),
        ),
        "episode 1 is frames 15 to 60",
    ),
    "video lost": (lambda root: (root / VIDEO).unlink(), "file-000.mp4 is not there"),
    "video torn": (lambda root: (root / VIDEO).write_bytes((root / VIDEO).read_bytes()[:900]), "no video that can be"),
    "video short": (lambda root: refilm(root, 50), "has 50 frames, its episodes need 60"),
    "video rate": (lambda root: refilm(root, 60, fps=25), "is at 25 fps"),
    "video size": (lambda root: refilm(root, 60, size=(32, 48)), "is 32x48, the feature 64x48"),
    "statistics": (lambda root: say(root, layout.STATS, action={"min": [0.0]}), "action: max is missing"),
    "data torn": (lambda root: (root / DATA).write_bytes(b"PAR1"), "cannot be read"),
}


def test_a_whole_dataset_has_no_fault_and_each_broken_one_has(dataset: Path, tmp_path: Path) -> None:
    """Every kind of damage is named."""
    assert check_dataset(dataset) == []
    for name, (break_it, wanted) in BREAKING.items():
        broken = tmp_path / name
        shutil.copytree(dataset, broken)
        break_it(broken)
        found = check_dataset(broken)
        assert any(wanted in line for line in found), (name, found)


def test_a_folder_that_is_no_dataset_is_told(tmp_path: Path) -> None:
    """Without meta/info.json there is nothing to check."""
    with pytest.raises(InputError, match="is no LeRobot dataset"):
        check_dataset(tmp_path)

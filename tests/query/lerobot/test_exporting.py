"""Exports to LeRobot: the frames are what the streams held at their times, and the dataset is whole."""

from __future__ import annotations

import json
from pathlib import Path

import av
import numpy as np
import pyarrow.parquet as pq

from fleetbox.settings.lerobot import LerobotMap
from fleetbox_query.fleet import Fleet
from fleetbox_query.lerobot.exporting import Exported, export_lerobot

from ..conftest import Tiers
from .conftest import FPS, SECOND, T0, record


def export(fleet: Fleet, tiers: Tiers, map_: LerobotMap, out: Path, start: int = T0, seconds: float = 2.0) -> Exported:
    """Export a stretch of the robot's time."""
    question = fleet.select(f"{tiers.robot}/**").between(start, start + round(seconds * SECOND)).question
    return export_lerobot(fleet.session, question, map_, out)


def levels(path: Path) -> list[float]:
    """Return the mean brightness of each frame of a video."""
    with av.open(str(path)) as file:
        return [float(frame.to_ndarray(format="gray").mean()) for frame in file.decode(video=0)]


def test_a_stretch_becomes_an_episode(
    tiers: Tiers, fleet: Fleet, names: dict[str, str], map_: LerobotMap, tmp_path: Path
) -> None:
    """Every frame holds the pictures, states and actions known at its moment, and the counters agree."""
    record(tiers, names)
    done = export(fleet, tiers, map_, tmp_path / "out")
    assert (done.episodes, done.frames, done.tasks, done.complete) == (1, 60, 1, True)
    out = tmp_path / "out"
    table = pq.read_table(out / "data/chunk-000/file-000.parquet")
    moments = table["ts_ns"].to_numpy()
    state = np.array(table["observation.state"].to_pylist())
    assert state[:, 0].tolist() == ((moments - (T0 - SECOND // 2) * 1000) // 10_000_000).tolist()
    assert (state[:, 1] == -state[:, 0]).all()
    assert table["timestamp"].to_numpy().tolist() == [np.float32(k / FPS) for k in range(60)]
    assert table["index"].to_pylist() == list(range(60))
    shown = levels(out / "videos/observation.images.front/chunk-000/file-000.mp4")
    assert np.allclose(shown, [40 + k for k in range(60)], atol=2.5)
    info = json.loads((out / "meta/info.json").read_text())
    assert (info["total_frames"], info["features"]["observation.images.front"]["shape"]) == (60, [48, 64, 3])
    assert not (out / "work").exists()

"""Open a dataset with LeRobot's own code, read it, edit it, and print what it found as JSON.

Run by tests/query/lerobot/test_real.py in an interpreter that has lerobot; argument: the dataset's folder.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import numpy as np
from lerobot.datasets import dataset_tools
from lerobot.datasets.lerobot_dataset import LeRobotDataset


def said(dataset: LeRobotDataset) -> dict[str, object]:
    """Return what a dataset says of itself and of some of its items."""
    first, last = dataset[0], dataset[len(dataset) - 1]
    camera = dataset.meta.camera_keys[0]
    return {
        "frames": len(dataset),
        "episodes": dataset.num_episodes,
        "tasks": [str(task) for task in dataset.meta.tasks.index],
        "task": [str(first["task"]), str(last["task"])],
        "state": [np.asarray(one["observation.state"]).tolist() for one in (first, last)],
        "ts_ns": [int(one["ts_ns"]) for one in (first, last)],
        "picture": [list(np.asarray(one[camera]).shape) for one in (first, last)],
        "level": [float(np.asarray(one[camera]).mean() * 255) for one in (first, last)],
        "stats": sorted(dataset.meta.stats),
    }


def main(root: Path) -> None:
    """Read, step in time, choose episodes, delete, split, merge, add and remove."""
    dataset = LeRobotDataset("fleet/box", root=root)
    fps = dataset.fps
    found: dict[str, object] = {"whole": said(dataset)}
    camera = dataset.meta.camera_keys[0]
    stepped = LeRobotDataset(
        "fleet/box", root=root, delta_timestamps={"observation.state": [-1 / fps, 0.0], camera: [0.0, 1 / fps]}
    )
    item = stepped[1]
    found["stepped"] = [list(np.asarray(item["observation.state"]).shape), list(np.asarray(item[camera]).shape)]
    found["levels"] = [float(np.asarray(dataset[at][camera]).mean() * 255) for at in range(0, len(dataset), 7)]
    found["chosen"] = len(LeRobotDataset("fleet/box", root=root, episodes=[1]))
    with tempfile.TemporaryDirectory() as work:
        less = dataset_tools.delete_episodes(dataset, [0], output_dir=Path(work) / "less", repo_id="fleet/less")
        found["deleted"] = said(less)
        parts = dataset_tools.split_dataset(dataset, {"train": [0, 1], "val": [2]}, output_dir=Path(work) / "split")
        found["split"] = {name: said(part) for name, part in parts.items()}
        whole = dataset_tools.merge_datasets(list(parts.values()), "fleet/whole", output_dir=Path(work) / "whole")
        found["merged"] = said(whole)
        gone = dataset_tools.remove_feature(dataset, "action", output_dir=Path(work) / "gone", repo_id="fleet/gone")
        found["removed"] = sorted(gone.meta.features)
        values = np.arange(len(dataset), dtype=np.float32)
        more = dataset_tools.add_features(
            dataset,
            {"reward": (values, {"dtype": "float32", "shape": [1], "names": None})},
            output_dir=Path(work) / "more",
            repo_id="fleet/more",
        )
        found["added"] = sorted(more.meta.features)
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))

"""Episodes leave as files: their intervals, streams, removed and computed fields; LeRobot takes notes and labels."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from fleetbox.cli.root import main
from fleetbox_query.exports.choosing import Choice, chosen
from fleetbox_query.exports.exporting import export
from fleetbox_query.fleet import Fleet
from fleetbox_query.lerobot import choosing as episodes_of
from fleetbox_query.lerobot.checking import check_dataset
from fleetbox_query.lerobot.exporting import export_lerobot
from fleetbox_query.selection import Selection

from ..conftest import Tiers, chunk
from ..lerobot.conftest import FPS, make_map, record

T0 = 1_760_000_000_000_000  # µs
SECOND = 1_000_000


@pytest.fixture
def recorded(tiers: Tiers) -> Tiers:
    """A robot with 20 rows at 1 Hz in imu and odom, at the edge."""
    for name in ("imu", "odom"):
        rows = [chunk(name, [T0 + at * SECOND], {"ax": [float(at)], "n": [at]}, robot=tiers.robot) for at in range(20)]
        tiers.put("edge", "sensor", rows)
    tiers.put("edge", "meta", [chunk("made", [T0], {"n": [0]}, robot=tiers.robot)])
    return tiers


def test_an_export_takes_what_the_episodes_show(fleet: Fleet, recorded: Tiers, tmp_path: Path) -> None:
    """Two intervals, without a removed field, with a computed one; the manifest names the exact versions."""
    robot = recorded.robot
    for at, start in enumerate((0, 10)):
        fleet.new_episode(f"{robot}/{at}", robot, T0 + start * SECOND, T0 + (start + 2) * SECOND, streams=["imu"])
    mine = fleet.episodes(f"{robot}/*")
    mine.add_feature("imu:twice", "2*ax")
    mine.remove_feature("imu:n")
    question = chosen(fleet, Choice((f"episode:{robot}/*",)))
    done = export(Selection(fleet.session, question), "csv", tmp_path / "all.csv")
    assert done.complete
    with (tmp_path / "all.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [float(row["twice"]) for row in rows] == [0, 2, 20, 22]
    assert "n" not in rows[0]
    said = json.loads((tmp_path / "all.csv.manifest.json").read_text())
    assert [line.split()[0] for line in find(said, "episodes")] == [f"{robot}/0", f"{robot}/1"]
    assert find(said, "episodes")[0].split()[1].endswith("@3")
    named = chosen(fleet, Choice((f"episode:{robot}/0@1", "odom:n")))
    assert list(Selection(fleet.session, named).frames()["n"]) == [0, 1]


def find(said: Any, name: str) -> Any:
    """Return the first list of this name anywhere in a manifest."""
    if isinstance(said, dict):
        if isinstance(said.get(name), list):
            return said[name]
        return next((found for one in said.values() if (found := find(one, name))), None)
    return None


def test_lerobot_takes_intervals_notes_and_labels(tiers: Tiers, fleet: Fleet, stream: str, tmp_path: Path) -> None:
    """An episode per interval, its task the episode's note, a computed field among its state."""
    names = {key: f"{stream}/{key}" for key in ("front", "wrist", "joints", "cmd")}
    record(tiers, names)
    tiers.put("edge", "meta", [chunk("made", [T0], {"n": [0]}, robot=tiers.robot)])
    for at, note in enumerate(("pick the cup", "pick the mug")):
        start = T0 + at * SECOND
        fleet.new_episode(f"{tiers.robot}/{at}", tiers.robot, start, start + SECOND // 2, note=note)
    fleet.episodes(f"{tiers.robot}/*").add_feature(f"{names['joints']}:on2", "on * 2")
    features = {"observation.state": [f"{names['joints']}:on2"], "observation.images.front": names["front"]}
    map_ = make_map(names, task="episode.note", features=features)
    question, given = episodes_of.chosen(fleet, episodes_of.Choice((f"episode:{tiers.robot}/*",)))
    done = export_lerobot(fleet.session, question, map_, tmp_path / "out", intervals=given)
    assert (done.episodes, done.tasks) == (2, 2)
    assert check_dataset(tmp_path / "out") == []
    tasks = pq.read_table(tmp_path / "out/meta/tasks.parquet").to_pandas()
    assert "pick the mug" in str(tasks)
    table = pq.read_table(tmp_path / "out/data/chunk-000/file-000.parquet")
    assert set(np.ravel(table["observation.state"].to_pylist())) <= {0.0, 2.0}
    assert done.frames == pytest.approx(FPS, abs=2)


def test_the_command_line_goes_the_whole_way(
    recorded: Tiers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """new, ls, label, split, features, merge, drop, show, query and pin, with the exit codes they promise."""
    monkeypatch.setenv("FLEETBOX_FLEET", str(recorded.write_fleet(tmp_path)))
    robot = recorded.robot

    def run(*words: str, code: int = 0) -> dict[str, Any]:
        monkeypatch.setattr(sys, "argv", ["fleetbox", "episode", *words, "--json"])
        with pytest.raises(SystemExit) as end:
            main()
        told = capsys.readouterr()
        assert end.value.code == code, told.err
        return dict(json.loads(told.out)) if told.out.startswith("{") else {"stderr": told.err}

    times = [f"{(T0 + at * SECOND) / 1e6:.6f}" for at in range(20)]
    for at in (0, 4, 8, 12):
        run(
            "new",
            f"{robot}/p/{at:02d}",
            f"{robot}/imu",
            "--start",
            times[at],
            "--stop",
            times[at + 3],
            "--note",
            "pick",
        )
    assert len(run("ls", f"{robot}/p/*")["episodes"]) == 4
    assert run("label", f"{robot}/p/00", f"{robot}/p/04", "--success", "--label", "who=ann")["changed"] == 2
    assert run("ls", "--robot", robot, "--where", "success && who == 'ann'")["found"] == 2
    parts = run("split", f"{robot}/p/*", "--into", f"{robot}/t=0.5", "--into", f"{robot}/v=0.5")["parts"]
    assert [len(some) for some in parts.values()] == [2, 2]
    has = run("features", f"{robot}/t/*", "--add", "imu:twice=2*ax")["features"]
    assert has[f"{robot}/t/000000"]["computed"] == {"imu:twice": "2*ax"}
    assert "features" in run("merge", f"{robot}/t/*", f"{robot}/v/*", "--into", f"{robot}/m", code=2)["stderr"]
    assert len(run("merge", f"{robot}/v/*", f"{robot}/v/000000", "--into", f"{robot}/m")["episodes"]) == 3
    assert run("drop", f"{robot}/v/*")["done"] is False
    assert run("drop", f"{robot}/v/*", "--yes")["changed"] == 2
    shown = run("show", f"{robot}/p/00")["episode"]
    assert [one["did"] for one in shown["history"]] == ["new", "label"]
    run("show", f"{robot}/nothing", code=1)
    run("split", f"{robot}/p/*", "--into", "a=0.9", "--into", "b=0.2", code=2)
    assert run("pin", f"{robot}/p/00")["pins"][0]["records"] == 3
    assert run("unpin", f"{robot}/p/00")["done"] is False
    assert run("unpin", f"{robot}/p/00", "--yes")["pins"][0]["records"] == 3

"""`fleetbox export lerobot`: draft a map, export by it, check what came."""

from __future__ import annotations

import contextlib
import io
import json
import subprocess
import sys
from pathlib import Path
from unittest import mock

import pytest

from fleetbox.cli.root import main
from fleetbox.events import Event, draft, new_event
from fleetbox.settings.lerobot import load_map

from ..conftest import Tiers
from .conftest import SECOND, T0, record


def run(*args: str) -> subprocess.CompletedProcess[str]:
    """Run the verb, in this process."""
    out, err = io.StringIO(), io.StringIO()
    with (
        mock.patch.object(sys, "argv", ["fleetbox", "export", "lerobot", *args]),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        pytest.raises(SystemExit) as ended,
    ):
        main()
    return subprocess.CompletedProcess(args, int(ended.value.code or 0), out.getvalue(), err.getvalue())


@pytest.fixture
def recorded(tiers: Tiers, names: dict[str, str], tmp_path: Path) -> Path:
    """A robot with two seconds of everything and an event in it; the path of its fleet.toml."""
    record(tiers, names)
    for stream in (names["joints"], names["cmd"]):
        fields = {"position": {"dtype": "float64", "shape": [2]}, "on": {"dtype": "bool"}}
        tiers.attach("edge", "sensor", stream, {"type": "time_series", "fields": fields})
    event = new_event(
        Event("", "grasp", tiers.robot, T0 + SECOND, T0 + SECOND // 2, T0 + SECOND * 3 // 2, note="pick the cup")
    )
    tiers.put("edge", "meta", [draft(event, T0 + SECOND)])
    return tiers.write_fleet(tmp_path)


def test_a_drafted_map_exports_and_the_result_passes(
    tiers: Tiers, stream: str, names: dict[str, str], recorded: Path, tmp_path: Path
) -> None:
    """--init names cameras, state and action; its map exports as it is; --check passes."""
    robot, fleet = f"{tiers.robot}/{stream}/**", ["--fleet", str(recorded)]
    drafted = run(robot, "--init", *fleet)
    assert drafted.returncode == 0, drafted.stderr
    path = tmp_path / "lerobot.toml"
    path.write_text(drafted.stdout)
    found = load_map(path)
    assert found.features["action"].sources == (names["cmd"],)
    assert found.features["observation.state"].sources == (names["joints"],)
    assert list(found.pictures) == ["observation.images.front", "observation.images.wrist"]
    out = tmp_path / "out"
    done = run(robot, "--events", "grasp", "--map", str(path), "-o", str(out), "--json", *fleet)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert (said["episodes"], said["frames"], said["complete"]) == (1, 30, True)
    assert said["intervals"][0]["interval"]["note"] == "pick the cup"
    checked = run("--check", str(out), "--json")
    assert (checked.returncode, json.loads(checked.stdout)["ok"]) == (0, True)
    (out / "meta/stats.json").write_text("{}")
    assert run("--check", str(out)).returncode == 1


def test_times_and_a_task_on_the_command_line(tiers: Tiers, stream: str, recorded: Path, tmp_path: Path) -> None:
    """A stretch between two times is an episode of the task given; what is left out ends with 3."""
    robot, fleet, path = f"{tiers.robot}/{stream}/**", ["--fleet", str(recorded)], tmp_path / "lerobot.toml"
    path.write_text(run(robot, "--init", *fleet).stdout)
    times = ["--start", str(T0), "--stop", str(T0 + SECOND), "--map", str(path)]
    refused = run(robot, *times, "-o", str(tmp_path / "out"), *fleet)
    assert refused.returncode == 2
    done = run(robot, *times, "--task", "wave", "-o", str(tmp_path / "out"), *fleet)
    assert done.returncode == 0, done.stderr
    assert "1 episodes, 30 frames, 1 tasks" in done.stdout


@pytest.mark.parametrize(
    ("args", "why"),
    [
        (["r1/**"], "no folder was named"),
        (["r1/**", "-o", "x", "--map", "none.toml"], "is not there"),
        (["--check", "nowhere"], "is no LeRobot dataset"),
    ],
)
def test_wrong_words_end_with_2(args: list[str], why: str) -> None:
    """What cannot be meant is a usage error with the reason."""
    found = run(*args)
    assert found.returncode == 2
    assert why in found.stderr

"""Episodes recorded live: by a program, from the command line, over a restart, one at a time."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys

import pytest

from fleetbox.blobs import Store
from fleetbox.episode_books import read_revisions
from fleetbox.episodes import Episode, fold
from fleetbox.errors import InputError
from fleetbox_edge.recorder import Recorder

from .conftest import Robot


def fleetbox(robot: Robot, *words: str) -> subprocess.CompletedProcess[str]:
    """Run the command line as this robot."""
    env = {**os.environ, "FLEETBOX_FLEET": str(robot.file)}
    return subprocess.run(
        [sys.executable, "-m", "fleetbox", *words], capture_output=True, text=True, env=env, timeout=120
    )


def held(robot: Robot) -> list[Episode]:
    """Return the robot's episodes as its store tells them, in order of time."""

    async def read() -> list[Episode]:
        async with Store(robot.url, robot.token) as store:
            found = fold(await read_revisions(store, "meta")).values()
        return sorted((one for one in found if one.robot == robot.id), key=lambda one: one.start_us)

    return asyncio.run(read())


def test_a_program_records_an_episode(robot: Robot) -> None:
    """It is open within the block and closed behind it, with what was set on it; an exception makes it a failure."""
    robot.write()
    with Recorder(robot.file) as rec:
        with rec.episode("pick cup", labels={"operator": "ann"}, streams=["log/*"]) as ep:
            rec.flush(60)
            [now] = held(robot)
            assert (now.state, now.note, now.success) == ("open", "pick cup", None)
            with pytest.raises(InputError, match="still being recorded"):
                rec.episode("another")
            ep.success = True
            ep.labels["tries"] = 2
        with pytest.raises(ZeroDivisionError), rec.episode("pick mug"):
            1 / 0  # noqa: B018
        with pytest.raises(InputError, match="without a note"):
            rec.episode(" ")
        rec.flush(60)
    cup, mug = held(robot)
    assert (cup.state, cup.success, dict(cup.labels)) == ("closed", True, {"operator": "ann", "tries": "2"})
    assert cup.start_us < cup.stop_us < mug.start_us
    assert (mug.state, mug.success, cup.streams) == ("closed", False, ("log/*",))


def test_one_stays_open_over_a_restart(robot: Robot) -> None:
    """A program that ends within an episode leaves it open; the next goes on with it, or is told what to do."""
    robot.write()
    with Recorder(robot.file) as rec:
        left = rec.episode("fold towel")
    with Recorder(robot.file) as rec:
        with pytest.raises(InputError, match="fold towel"):
            rec.episode("fold shirt")
        with rec.episode("fold towel", resume=True) as ep:
            assert ep.id == left.id
        rec.flush(60)
    [one] = held(robot)
    assert (one.state, one.version) == ("closed", 2)


def test_the_command_line_begins_and_ends_one(robot: Robot) -> None:
    """`record start` and `stop` are separate programs; a second start and a second stop are refused."""
    robot.write()
    with Recorder(robot.file) as rec:
        rec.log("log/app", "line")
        rec.flush(60)
        begun = fleetbox(robot, "record", "start", "pick cup", "--label", "operator=ann", "--json")
        assert begun.returncode == 0, begun.stderr
        again = fleetbox(robot, "record", "start", "pick cup")
        assert (again.returncode, "still being recorded" in again.stderr) == (2, True)
        with pytest.raises(InputError, match="still being recorded"):
            rec.episode("another")
        done = fleetbox(robot, "record", "stop", "--success", "--label", "try=1", "--json")
        assert done.returncode == 0, done.stderr
        nothing = fleetbox(robot, "record", "stop")
        assert (nothing.returncode, "no episode is being recorded" in nothing.stderr) == (1, True)
    [one] = held(robot)
    assert one.id == json.loads(begun.stdout)["episode"]["id"]
    assert (one.success, dict(one.labels)) == (True, {"operator": "ann", "try": "1"})
    assert one.stop_us > one.start_us


def test_one_begun_while_the_store_is_away_arrives(robot: Robot) -> None:
    """With no store an operator still begins and ends; the spool brings it once the store answers."""
    robot.write()
    url = robot.url
    robot.url = "http://127.0.0.1:9"
    robot.write()
    rec = Recorder(robot.file)
    with rec.episode("pick cup"):
        pass
    rec.close(0.2)
    robot.url = url
    robot.write()
    with Recorder(robot.file) as rec:
        rec.flush(60)
    [one] = held(robot)
    assert (one.state, one.note) == ("closed", "pick cup")

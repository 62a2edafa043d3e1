"""A spool that was damaged on disk gives back every frame but the damaged one, whatever the store already has."""

from __future__ import annotations

import random

import pytest

from fleetbox import chunks
from fleetbox_edge.recorder import Recorder

from .conftest import Robot

ROWS = 600


def leave_a_spool(robot: Robot) -> None:
    """Record rows and lines that the store cannot take, and stop."""
    good, robot.url = robot.url, "http://127.0.0.1:9"
    robot.write()
    with Recorder(robot.file, duties=False) as recorder:
        for number in range(ROWS):
            recorder.log("imu", {"n": number, "x": 0.5})
            if number % 100 == 99:
                recorder.log("log/app", f"line {number}")
                recorder._session.seal_all()
        recorder.close(0.05)
    robot.url = good
    robot.write()


def numbers(robot: Robot) -> list[int]:
    """Return the numbers of all rows, checking each record's labels against its rows."""
    found = []
    for record in robot.records("sensor", "imu"):
        rows = chunks.rows(record.data)
        assert len(rows) == int(record.labels["rows"])
        assert rows[0]["n"] == int(record.labels["seq"])
        assert rows[-1]["time_us"] == int(record.labels["t_end"])
        found += [row["n"] for row in rows]
    return found


@pytest.mark.parametrize("sent_before", [False, True])
def test_flipped_bits(robot: Robot, sent_before: bool) -> None:
    """One flipped bit costs at most its row, also when the store already has the chunk it was part of."""
    leave_a_spool(robot)
    (path,) = (path for path in robot.spools() if path.name.startswith("sensor"))
    folder = path.parent
    kept = {file.name: file.read_bytes() for file in folder.iterdir()}
    if sent_before:
        with Recorder(robot.file, duties=False) as recorder:
            recorder.flush(60)
        assert numbers(robot) == list(range(ROWS))
        folder.mkdir()
    data = bytearray(kept[path.name])
    used = len(bytes(data).rstrip(b"\0"))
    data[random.randrange(used)] ^= 1 << random.randrange(8)
    for name, content in {**kept, path.name: bytes(data)}.items():
        (folder / name).write_bytes(content)
    with Recorder(robot.file, duties=False) as recorder:
        recorder.flush(60)
        stats = recorder.stats()
    assert stats.damaged == 1
    found = numbers(robot)
    assert len(set(found)) == len(found)
    assert len(found) >= (ROWS if sent_before else ROWS - 1)
    lost = sorted(set(range(ROWS)) - set(found))
    assert stats.drops == ({"damaged frame": 1} if lost else {})
    assert [(drop.stream, drop.first, drop.rows) for drop in robot.drops()] == [("imu", number, 1) for number in lost]
    assert len(robot.records("log", "log/app")) == ROWS // 100
    assert not robot.spools()

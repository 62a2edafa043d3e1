"""How each class of the spool reaches the disk, and what outlives a power cut."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from fleetbox.errors import SettingsError
from fleetbox_edge.recorder import Recorder
from fleetbox_edge.spool import Limits, Spool
from fleetbox_edge.spool.spool import LINGER_S
from fleetbox_edge.spooled import Index, read_index

from .conftest import Robot

UP = 1_000_000.0  # seconds since the machine started


def unsynced(recorder: Recorder) -> dict[str, int]:
    """Return how many segments of each class the disk may not have."""
    spool = recorder._session.spool
    return {cls: len(spool.unsynced(cls)) for cls in ("media", "sensor", "log", "meta")}


def test_always_is_on_the_disk_when_log_returns(robot: Robot) -> None:
    """Classes with "always" are synced by the call itself: rows, columns, texts and pictures; others are not."""
    robot.url = "http://127.0.0.1:9"
    robot.write('spool = { fsync = { sensor = "always", log = "always" } }')
    with Recorder(robot.file, duties=False) as recorder:
        for number in range(3):
            recorder.log("imu", {"n": number, "x": 0.5})
            assert unsynced(recorder)["sensor"] == 0
            recorder.log_columns("force", [10**15 + number], {"f": [0.5]})
            assert unsynced(recorder)["sensor"] == 0
            recorder.log("log/app", "line")
            assert unsynced(recorder)["log"] == 0
            recorder.log("cam/front", b"\xff\xd8\xff")
            assert unsynced(recorder)["media"] == 1
        recorder.close(0.05)


def test_one_word_is_for_all_and_a_table_for_some(robot: Robot) -> None:
    """What a table leaves out stays as it is by default; a wrong word is told with its key."""
    never = dict.fromkeys(("media", "small", "sensor", "log"), "never")
    assert robot.settings.spool.fsync == {**never, "meta": "interval"}
    robot.write('spool = { fsync = "always" }')
    assert set(robot.settings.spool.fsync.values()) == {"always"}
    robot.write('spool = { fsync = { media = "always" } }')
    assert robot.settings.spool.fsync["media"] == "always"
    assert robot.settings.spool.fsync["meta"] == "interval"
    for wrong in ('"sometimes"', '{ media = "often" }', '{ video = "never" }'):
        robot.write(f"spool = {{ fsync = {wrong} }}")
        with pytest.raises(SettingsError, match="fsync"):
            robot.settings  # noqa: B018


def test_what_is_done_lingers_where_power_cuts_count(tmp_path: Path) -> None:
    """A full segment that the store has stays some seconds, until the store itself has synced; others go at once."""
    seconds = [UP]
    limits = Limits(max_bytes=1 << 20, lingering=frozenset({"meta"}))
    spool = Spool(tmp_path / "s", limits, lambda cls, segment, reason: None, lambda: seconds[0])
    for cls in ("meta", "sensor"):
        spool.reserve(cls, 40_000).append(bytes(40_000))
        spool.reserve(cls, 40_000)  # closes the first
        spool.sweep(cls)
    assert len(spool.garbage) == 1
    seconds[0] += LINGER_S - 0.1
    spool.sweep("meta")
    assert len(spool.garbage) == 1
    seconds[0] += 0.2
    spool.sweep("meta")
    assert len(spool.garbage) == 2
    assert spool.close()
    spool.unlock()


@pytest.fixture
def restarted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the machine have started anew since the spool was written."""
    monkeypatch.setattr("fleetbox_edge.spooled.boot_id", lambda: "another")


def leave(robot: Robot) -> Path:
    """Record lines that the store has acknowledged, and keep the spool as a power cut would leave it."""
    with Recorder(robot.file, duties=False) as recorder:
        for number in range(20):
            recorder.log("log/app", f"line {number}")
        recorder.flush(60)
        (path,) = (path for path in robot.spools() if path.name.startswith("log"))
        left = path.read_bytes()
    kept = robot.folder / "state" / "spool" / robot.id / "0-left"
    kept.mkdir()
    (kept / path.name).write_bytes(left)
    return kept / path.name


def test_what_was_done_before_a_restart_is_sent_again(robot: Robot, restarted: None) -> None:
    """After a power cut the store's word is no proof: records marked as done are brought once more, and kept once."""
    path = leave(robot)
    index = Index()
    read_index(index, "log", path.read_bytes())
    assert not any(ranges.numbers() for ranges in index.done.values())
    with Recorder(robot.file, duties=False) as recorder:
        recorder.flush(60)
        assert recorder.stats().replayed == 20
        assert recorder.stats().drops == {}
    assert len(robot.records("log", "log/app")) == 20
    assert robot.unnamed() == {}


def test_what_was_done_is_not_sent_again_otherwise(robot: Robot) -> None:
    """After a kill the store still has what it said yes to."""
    leave(robot)
    with Recorder(robot.file, duties=False) as recorder:
        recorder.flush(60)
        assert recorder.stats().replayed == 0
    assert len(robot.records("log", "log/app")) == 20


def test_late_records_touch_their_minutes(robot: Robot) -> None:
    """Records of minutes long over leave a note of each minute; those of now leave none."""
    from fleetbox_replication.census import Touches

    old_us = 1_700_000_000_000_000
    with Recorder(robot.file, duties=False) as recorder:
        while time.time() % 60 > 40:  # what the store has only after its minute was told is late, rightly
            time.sleep(0.1)
        recorder.log("log/app", "now")
        recorder.flush(60)
        touches = Touches(robot.settings.state / "touches")
        assert touches.take() == set()
        for number in range(10):
            recorder.log("log/app", f"late {number}", time=old_us + number * 10_000_000)
        recorder.flush(60)
        minutes = {minute_us for cls, stream, minute_us in touches.take() if (cls, stream) == ("log", "log/app")}
    assert minutes == {(old_us + number * 10_000_000) // 60_000_000 * 60_000_000 for number in range(10)}


def test_an_unfinished_folder_is_swept_away(robot: Robot) -> None:
    """A spool folder whose making was cut short is removed, once it is old enough to be nobody's."""
    root = robot.folder / "state" / "spool" / robot.id
    for name, age_s in ((".old", 3_600.0), (".new", 0.0)):
        (root / name).mkdir(parents=True)
        os.utime(root / name, (time.time() - age_s,) * 2)
    with Recorder(robot.file, duties=False) as recorder:
        recorder.flush(60)
        assert not (root / ".old").exists()
        assert (root / ".new").exists()

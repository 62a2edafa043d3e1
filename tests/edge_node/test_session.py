"""A session numbers, stamps and accounts for what it accepts, and ends when the clock is set."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fleetbox import chunks
from fleetbox.clock import Clock
from fleetbox_edge.outbox import Outbox
from fleetbox_edge.recorder import Recorder
from fleetbox_edge.session import Session
from fleetbox_edge.spool import Limits, Spool

from .conftest import Robot

T = 1_700_000_000_000_000  # µs
DAY_NS = 86_400_000_000_000


class Wall:
    """A wall clock that a test can set."""

    def __init__(self) -> None:
        self.ahead_ns = 0

    def now_ns(self) -> int:
        """Return ns since the epoch."""
        return time.time_ns() + self.ahead_ns


@pytest.fixture
def wall() -> Wall:
    """A clock that nobody has set yet."""
    return Wall()


@pytest.fixture
def session(tmp_path: Path, wall: Wall) -> Iterator[Session]:
    """A session that no agent empties."""
    made = Session(
        lambda on_drop: Spool(tmp_path / "spool", Limits(), on_drop),
        Outbox(1_000_000, lambda cls: None),
        clock=Clock(wall.now_ns),
    )
    yield made
    made.spool.close()
    made.spool.unlock()


@pytest.mark.parametrize("step_ns", [-DAY_NS, DAY_NS])
def test_a_set_clock_begins_a_new_session(robot: Robot, wall: Wall, step_ns: int) -> None:
    """After the clock is set, numbers begin again under another session and stamps follow it; nothing is lost."""
    with Recorder(robot.file, duties=False, clock=Clock(wall.now_ns)) as recorder:
        first = recorder.stats().session
        for number in range(100):
            recorder.log("imu", {"n": number, "x": 0.5})
        recorder.log("log/app", "before")
        wall.ahead_ns = step_ns
        deadline_s = time.monotonic() + 60
        while recorder.stats().session == first:
            assert time.monotonic() < deadline_s, "the step was not noticed"
            time.sleep(0.01)
        second = recorder.stats().session
        for number in range(100, 200):
            recorder.log("imu", {"n": number, "x": 0.5})
        recorder.log("log/app", "after")
        recorder.flush(60)
        assert recorder.stats().drops == {}
    for session, expected, ahead_ns, text in (
        (first, range(100), 0, "before"),
        (second, range(100, 200), step_ns, "after"),
    ):
        mine = [record for record in robot.records("sensor", "imu") if record.labels["session"] == session]
        assert [row["n"] for record in mine for row in chunks.rows(record.data)] == list(expected)
        assert [record.labels["seq"] for record in mine] == ["0"]
        (line,) = (record for record in robot.records("log", "log/app") if record.labels["session"] == session)
        assert (line.data.decode(), line.labels["seq"]) == (text, "0")
        for record in (*mine, line):
            assert abs(record.time_us - (time.time_ns() + ahead_ns) // 1000) < 600_000_000


def test_renewing_keeps_the_counts(session: Session, wall: Wall) -> None:
    """What earlier sessions bumped stays counted, and the clock is no longer off."""
    for _ in range(3):
        session.log("log/app", "line", time=T)
    wall.ahead_ns = DAY_NS
    assert abs(session.clock.step_ns() - DAY_NS) < 1_000_000_000
    session.renew()
    session.log("log/app", "line", time=T)
    assert (session.bumped(), session.blobs) == (2, 4)
    assert abs(session.clock.step_ns()) < 1_000_000_000


def test_the_oldest_stamp_counts_until_the_store_has_it(session: Session) -> None:
    """A row waits in its open chunk, then as a parcel; only what is acknowledged waits no longer."""
    assert session.oldest_us() is None
    session.log("imu", {"x": 1.0, "y": 2.0}, time=T + 5)
    session.log("log/app", "line", time=T + 9)
    assert session.oldest_us() == T + 5
    session.seal_all()
    assert session.oldest_us() == T + 5
    session.acknowledge(session.outbox.take("sensor"))
    assert session.oldest_us() == T + 9
    session.acknowledge(session.outbox.take("log"))
    assert session.oldest_us() is None


def test_a_spare_made_after_the_end_is_removed(session: Session, tmp_path: Path) -> None:
    """A segment that was being made ahead when the recorder closed leaves no file behind."""
    session.closed = True
    session.make_spare("sensor", tmp_path / "spool" / "sensor-9.seg", 65_536)
    assert list((tmp_path / "spool").glob("*.seg")) == []
    assert session.spool.bytes == 0


def test_a_stamp_from_the_future_drags_nothing_along(session: Session) -> None:
    """After one row or line of 2076, those without a time are stamped now, in chunks of their own."""
    now_us = session.clock.now_us()
    future_us = now_us + 50 * 365 * 86_400_000_000
    for number in range(6):
        given_us = future_us if number == 2 else None
        session.log("imu", {"n": number, "x": 0.5}, time=given_us)
        session.log("log/app", f"line {number}", time=given_us)
    session.seal_all()
    rows = [row for parcel in session.outbox.take("sensor") for row in chunks.rows(parcel.payload())]
    assert [row["n"] for row in rows] == list(range(6))
    stamps = {"imu": [row["time_us"] for row in rows], "log": [p.time_us for p in session.outbox.take("log")]}
    for found in stamps.values():
        assert found.pop(2) == future_us
        assert len(found) == 5
        assert all(now_us <= stamp < now_us + 60_000_000 for stamp in found)
        assert found == sorted(set(found))
    assert session.backward == 2


def test_rows_follow_a_stream_slightly_ahead(session: Session) -> None:
    """A last stamp less than a second ahead is jitter: rows without a time go on behind it, in one chunk."""
    now_us = session.clock.now_us()
    session._now_us = lambda: now_us  # it stands: on a busy machine 0.9 s may pass between two lines
    ahead_us = now_us + 900_000
    session.log("imu", {"n": 0, "x": 0.5}, time=ahead_us)
    for number in (1, 2):
        session.log("imu", {"n": number, "x": 0.5})
    session.seal_all()
    (parcel,) = session.outbox.take("sensor")
    assert [row["time_us"] - ahead_us for row in chunks.rows(parcel.payload())] == [0, 1, 2]
    assert session.backward == 0

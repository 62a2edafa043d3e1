"""The reconciler's file: what is put comes back, changes are whole, and damage means starting over."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from fleetbox.ledger import Count, Standing, Tombstone
from fleetbox_replication.reconcile.minute import PROVEN, SETTLED, Minute
from fleetbox_replication.reconcile.state import Cursor, State
from tests.replication.reconcile.conftest import BASE_US

MINUTE = Minute(
    "r1", "sensor", "cam/front", BASE_US, since_us=7, told=Count(3, 4, (1 << 64) - 1), last=Count(2, 3, 5),
    partial=True, cloud=2, there=Count(1, 1, 1), cloud_there=1, once=True, told_us=8, there_us=9,
    standing=Standing("cloud", "sensor", "cam/front", BASE_US, 1, {"507 disk full": 2}, {"evicted": 3}, 4),
)  # fmt: skip


def test_what_is_put_comes_back_in_another_life(tmp_path: Path) -> None:
    """Minutes, cursors and tombstones are the same after closing and opening."""
    state = State(tmp_path / "s.sqlite")
    stone = Tombstone("cloud", "sensor", "imu", 1, 2, "me")
    with state.change():
        state.put(MINUTE)
        state.move("here", "r1", Cursor(5, 6))
        state.bury("r1", stone)
        state.tell_until("r1", "sensor", "imu", 9)
        state.tell_until("r1", "sensor", "imu", 8)
    state.close()
    again = State(tmp_path / "s.sqlite")
    assert again.minute("r1", MINUTE.key) == MINUTE
    assert again.open("r1", "sensor") == [MINUTE]
    assert (again.cursor("here", "r1"), again.cursor("there", "r1")) == (Cursor(5, 6), Cursor())
    assert again.stones_at("r1", "sensor", "cloud") == (stone,)
    assert again.told_until("r1", "sensor") == {"imu": 9}
    again.close()


def test_a_change_is_whole_or_nothing(tmp_path: Path) -> None:
    """What raises in the middle leaves nothing behind."""
    state = State(tmp_path / "s.sqlite")

    def fail() -> None:
        with state.change():
            state.put(MINUTE)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert state.minute("r1", MINUTE.key) is None
    state.close()


@pytest.mark.parametrize("content", [b"", b"rubbish" * 999, b"SQLite format 3\x00" + b"\xff" * 9999])
def test_a_damaged_file_is_started_over(tmp_path: Path, content: bytes) -> None:
    """Whatever stands in the file, the state opens, empty and usable."""
    path = tmp_path / "s.sqlite"
    path.write_bytes(content)
    state = State(path)
    state.put(MINUTE)
    assert state.minute("r1", MINUTE.key) == MINUTE
    state.close()


def test_other_hops_mean_reading_again_without_forgetting_what_was_said() -> None:
    """When a robot's tasks change, its pages are read anew; a standing that was told can still be taken back."""
    state = State(None)
    with state.change():
        assert state.start_over("r1", "sensor")
        state.put(MINUTE)
        state.put(replace(MINUTE, stream="imu", standing=None))
        state.move("here", "r1", Cursor(5, 6))
        assert not state.start_over("r1", "sensor")
        assert state.start_over("r1", "sensor, media")
    assert state.cursor("here", "r1") == Cursor()
    assert state.minute("r1", ("sensor", "imu", BASE_US)) is None
    left = state.minute("r1", MINUTE.key)
    assert left is not None
    assert (left.told, left.there, left.standing) == (Count(), None, MINUTE.standing)
    state.close()


def test_doubt_opens_what_was_proven_and_nothing_else() -> None:
    """A range, or what was proven lately, is opened; settled minutes are left alone."""
    state = State(None)
    for at, (known, since_us) in enumerate([(PROVEN, 10), (PROVEN, 20), (SETTLED, 30)]):
        state.put(replace(MINUTE, minute_us=at, state=known, since_us=since_us, stream="imu", standing=None))
    assert state.proven_records("r1", "sensor") == {"imu": 6}
    assert state.doubt_since(15, 99) == 1
    assert state.doubt("r1", ("sensor", "imu"), 0, 100, 99) == 1
    assert [(minute.minute_us, minute.since_us) for minute in state.open()] == [(0, 99), (1, 99)]
    state.close()

"""Touches: every note survives its writer, whoever takes them meanwhile."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetbox.ledger import MINUTE_US, minute_of
from fleetbox_replication.census import Touches

NOW_US = minute_of(1_790_000_000_000_000) + 30_000_000
OLD_US = NOW_US - 10 * MINUTE_US


def _touches(path: Path) -> Touches:
    return Touches(path, now_us=lambda: NOW_US)


def test_a_late_record_is_noted_until_it_is_settled(tmp_path: Path) -> None:
    """What was taken comes again until it is settled, also to another process; then it is gone."""
    here, there = _touches(tmp_path / "t"), _touches(tmp_path / "t")
    here.note("sensor", "imu", OLD_US)
    here.note("media", "cam/front", OLD_US + MINUTE_US)
    wanted = {("sensor", "imu", minute_of(OLD_US)), ("media", "cam/front", minute_of(OLD_US) + MINUTE_US)}
    assert there.take() == wanted
    assert there.take() == wanted
    there.settle()
    assert here.take() == set()


def test_what_comes_between_take_and_settle_stays(tmp_path: Path) -> None:
    """The same minute may change while it is being listed: the second note is kept for the next look."""
    touches = _touches(tmp_path / "t")
    touches.note("sensor", "imu", OLD_US)
    assert len(touches.take()) == 1
    touches.note("sensor", "imu", OLD_US)
    touches.settle()
    assert touches.take() == {("sensor", "imu", minute_of(OLD_US))}


@pytest.mark.parametrize("ago_us", [0, 29_000_000, 32_000_000])
def test_a_minute_that_cannot_be_told_yet_needs_no_note(tmp_path: Path, ago_us: int) -> None:
    """The running minute, and the one before within its first seconds, cost no file."""
    touches = Touches(tmp_path / "t", now_us=lambda: minute_of(NOW_US) + 2_000_000)
    touches.note("sensor", "imu", minute_of(NOW_US) + 2_000_000 - ago_us)
    assert touches.take() == set()
    assert list(tmp_path.iterdir()) == []


def test_the_same_note_is_written_once(tmp_path: Path) -> None:
    """A replay of a thousand records of one minute leaves one line."""
    touches = _touches(tmp_path / "t")
    for at in range(1000):
        touches.note("sensor", "imu", minute_of(OLD_US) + at)
    assert len((tmp_path / "t").read_text().split()) == 3


def test_a_line_cut_short_costs_nobody_elses(tmp_path: Path) -> None:
    """A disk that was full in mid-line leaves a torn line; those before and after it are read."""
    touches = _touches(tmp_path / "t")
    touches.note("sensor", "imu", OLD_US)
    with (tmp_path / "t").open("ab") as file:
        file.write(b"sensor\tgps\t17900")
    touches.note("sensor", "odom", OLD_US)
    assert {("sensor", "imu", minute_of(OLD_US)), ("sensor", "odom", minute_of(OLD_US))} <= touches.take()


def test_a_place_that_cannot_be_written_keeps_the_note_in_memory(tmp_path: Path) -> None:
    """Trouble with the disk never reaches the writer; the note is taken all the same, and settled."""
    blocked = tmp_path / "file"
    blocked.write_text("")
    touches = _touches(blocked / "t")
    touches.note("sensor", "imu", OLD_US)
    assert touches.take() == {("sensor", "imu", minute_of(OLD_US))}
    touches.settle()
    assert touches.take() == set()


def _write(path: Path, first: int, ready: multiprocessing.synchronize.Event) -> None:
    touches = _touches(path)
    for at in range(first, first + 200):
        touches.note("sensor", f"s{at}", OLD_US)
    ready.set()
    signal.pause()


def test_kill_9_of_the_writers_takes_no_note(tmp_path: Path) -> None:
    """Three processes note while a fourth takes; they are killed, and every note has been given or is still there."""
    context = multiprocessing.get_context("spawn")
    ready = [context.Event() for _ in range(3)]
    workers = [
        context.Process(target=_write, args=(tmp_path / "t", number * 200, event), daemon=True)
        for number, event in enumerate(ready)
    ]
    for worker in workers:
        worker.start()
    taker, found = _touches(tmp_path / "t"), set()
    try:
        while not all(event.wait(0.002) for event in ready):
            found |= taker.take()
            taker.settle()
            assert all(worker.is_alive() for worker in workers)
    finally:
        for worker in workers:
            os.kill(worker.pid or 0, signal.SIGKILL)
            worker.join()
            worker.close()
    found |= taker.take()
    assert {stream for _, stream, _ in found} == {f"s{at}" for at in range(600)}


def test_threads_share_one_object(tmp_path: Path) -> None:
    """Two threads note through one object while it is being taken; nothing is lost."""
    touches = _touches(tmp_path / "t")
    threads = [
        threading.Thread(target=lambda n=n: [touches.note("log", f"s{n}/{at}", OLD_US) for at in range(300)])
        for n in range(2)
    ]
    found = set()
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        found |= touches.take()
        touches.settle()
    found |= touches.take()
    assert len(found) == 600


@given(st.lists(st.sampled_from(["note a", "note b", "take", "settle", "restart"]), max_size=30))
def test_every_note_is_given_after_it_was_made(tmp_path_factory: pytest.TempPathFactory, steps: list[str]) -> None:
    """In any order of notes, takes, settles and restarts, a note made after a take comes with the next one."""
    path = tmp_path_factory.mktemp("touches") / "t"
    touches, owed, given_now = _touches(path), set(), set()
    for step in steps:
        if step.startswith("note"):
            touches.note("sensor", step[-1], OLD_US)
            owed.add(step[-1])
            given_now.discard(step[-1])
        elif step == "take":
            given_now = {stream for _, stream, _ in touches.take()}
            assert owed <= given_now
        elif step == "settle":
            touches.settle()
            owed -= given_now
            given_now = set()
        else:
            touches.close()
            touches = _touches(path)
            given_now = set()
    assert owed <= {stream for _, stream, _ in touches.take()}

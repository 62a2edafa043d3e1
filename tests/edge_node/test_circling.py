"""Streams that circle in memory reach the disk for events only: each record once, in order, with its own stamp."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fleetbox import chunks, events
from fleetbox.clock import Clock
from fleetbox_edge.notices import Notices
from fleetbox_edge.recorder import Recorder

from .conftest import Robot
from .switching import switch

POLICY = """
[stream."imu"]
ring = "ram 600 s"
expect = "100 Hz"
[stream."cam/*"]
ring = "ram 600 s"
[stream."log/*"]
ring = "ram 600 s"
[event.default]
pre = "300s"
post = "0s"
"""
# Logs rows, marks the three-hundredth with nine tenths of the time since the second as its pre-window, goes on until it
# is killed, and prints the last number that was logged.
CHILD = """
import sys, time
from fleetbox_edge.recorder import Recorder
recorder, number = Recorder(sys.argv[1], duties=False), 0
while True:
    recorder.log("imu", {"n": number, "x": 0.5})
    if number == 1:
        began_s = time.monotonic()
    if number == 300:
        recorder.mark("brake", pre=0.9 * (time.monotonic() - began_s), post="100s")
    print(number, flush=True)
    number += 1
    time.sleep(0.004)
"""
DISK = POLICY.replace('ring = "ram 600 s"', 'ring = "disk"')
FRAME = np.zeros((48, 64, 3), np.uint8)


@pytest.fixture
def circling(robot: Robot) -> Robot:
    """A robot whose numbers, pictures and texts circle in memory."""
    robot.write(policy=POLICY)
    return robot


def numbers(robot: Robot, stream: str = "imu") -> list[int]:
    """Return the numbers that a stream's rows carry, in the order of the store."""
    return [row["n"] for row in robot.rows(stream)]


def until(condition: Callable[[], Any], what: str, within_s: float = 60) -> None:
    """Wait until a condition holds."""
    deadline_s = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline_s, what
        time.sleep(0.02)


def test_nothing_reaches_the_disk_until_an_event_asks(circling: Robot) -> None:
    """Rows, columns, pictures and texts circle: nothing is spooled or stored; an event brings them, numbered anew."""
    with Recorder(circling.file, duties=False) as recorder:
        for number in range(1_000):
            recorder.log("imu", {"n": number, "x": 0.5})
        for number in range(20):
            recorder.log("cam/front", FRAME, labels={"n": number})
            recorder.log("log/app", f"line {number}")
        recorder.flush(60)
        stats = recorder.stats()
        assert (stats.rows, stats.blobs, stats.spooled_bytes, stats.circling.rows) == (0, 0, 0, 1_040)
        assert circling.rows("imu") == []
        recorder.mark("hard_brake", streams=["imu", "log/*"])
        recorder.flush(60)
        assert numbers(circling) == list(range(1_000))
        assert [record.data.decode() for record in circling.records("log", "log/app")] == [
            f"line {number}" for number in range(20)
        ]
        assert circling.records("media", "cam/front") == []
        assert recorder.stats().circling.rows == 20
        recorder.mark("hard_brake", streams=["cam/*"])
        recorder.flush(60)
        frames = circling.records("media", "cam/front")
        assert [record.labels["n"] for record in frames] == [str(number) for number in range(20)]
        assert [record.labels["seq"] for record in frames] == [str(number) for number in range(20)]
    assert circling.unnamed() == {}


def test_an_event_brings_only_its_window_and_overlapping_ones_nothing_twice(circling: Robot) -> None:
    """Twelve overlapping windows in the past bring each row of their union once, with the stamp it was given."""
    base = int(time.time() * 1e6) - 20_000_000
    with Recorder(circling.file, duties=False) as recorder:
        for number in range(2_000):
            recorder.log("imu", {"n": number, "x": 0.5}, time=base + number * 10_000)
        for index in range(12):
            recorder.mark("late", time=base + 6_000_000 + index * 500_000, pre=2, post=1)
        recorder.flush(60)
        assert numbers(circling) == list(range(400, 1_251))
        assert [row["time_us"] for row in circling.rows("imu")] == [base + n * 10_000 for n in range(400, 1_251)]
        recorder.mark("older", time=base + 3_000_000, pre=2, post=0)
        recorder.mark("all", pre=300, post=0)
        recorder.flush(60)
        assert sorted(numbers(circling)) == list(range(2_000))
        assert numbers(circling)[100:301] == list(range(100, 301)), "the store orders them by their stamps"
    assert circling.unnamed() == {}


def test_within_a_window_rows_go_straight_to_the_spool(circling: Robot) -> None:
    """From the mark until its stop nothing circles, and after it everything does again."""
    with Recorder(circling.file, duties=False) as recorder:
        recorder.log("imu", {"n": 0, "x": 0.5})
        now_us = recorder._session.clock.now_us()
        recorder.mark("brake", time=now_us, pre=10, post=1)
        recorder.flush(60)
        for number in range(1, 500):
            recorder.log("imu", {"n": number, "x": 0.5}, time=now_us + number * 2_000)
            assert recorder.stats().circling.rows == 0
        for number in range(500, 600):
            recorder.log("imu", {"n": number, "x": 0.5}, time=now_us + 2_000_000 + number)
        assert recorder.stats().circling.rows == 100
        recorder.flush(60)
    assert numbers(circling) == list(range(500))


def test_columns_circle_as_rows_do(circling: Robot) -> None:
    """Pieces of columns that reach into a window come, in order, and mix with rows of the same stream."""
    base = int(time.time() * 1e6) - 30_000_000
    with Recorder(circling.file, duties=False) as recorder:
        for second in range(20):
            times = base + second * 1_000_000 + np.arange(100) * 10_000
            recorder.log_columns("imu", times, {"n": np.arange(100) + second * 100, "x": np.zeros(100)})
        recorder.log("imu", {"n": 2_000, "x": 0.0}, time=base + 20_000_000)
        assert recorder.stats().circling.rows == 2_001
        recorder.mark("brake", time=base + 10_500_000, pre=3, post=2)
        recorder.flush(60)
        assert numbers(circling) == list(range(700, 1_300))
        recorder.mark("end", time=base + 20_000_000, pre=1, post=0)
        recorder.flush(60)
        assert numbers(circling)[-101:] == list(range(1_900, 2_001))
    assert circling.unnamed() == {}


def test_memory_is_bounded_and_what_had_to_go_is_counted(circling: Robot) -> None:
    """Beyond the bound the oldest goes first, whichever stream it is of; what an event then brings is the newest."""
    circling.write("[ring]\nram = 200000", policy=POLICY)
    with Recorder(circling.file, duties=False) as recorder:
        for number in range(3_000):
            recorder.log("imu", {"n": number, "x": 0.5})
            recorder.log("log/app", f"line {number}")
            assert recorder.stats().circling.bytes <= 200_000
        circles = recorder.stats().circling
        assert circles.rows + circles.short == 6_000
        recorder.mark("brake")
        recorder.flush(60)
        assert recorder.stats().circling.rows == 0
    found = numbers(circling)
    assert found == list(range(3_000))[-len(found) :]
    assert abs(len(found) - len(circling.records("log", "log/app"))) <= 300
    assert len(found) > 200


def test_what_nobody_asks_for_grows_old(robot: Robot) -> None:
    """A ring of half a second forgets what is older than that and the slack, and its memory is free again."""
    robot.write(policy='[stream."imu"]\nring = "ram 0.5s"')
    with Recorder(robot.file, duties=False) as recorder:
        for number in range(500):
            recorder.log("imu", {"n": number, "x": 0.5})
        until(lambda: recorder.stats().circling.rows == 0, "nothing was forgotten")
        assert recorder.stats().circling.expired == 500
        assert recorder.stats().circling.bytes == 0
        assert recorder.stats().circling.cut == 0
        recorder.mark("brake", pre=60, post=0)
        assert recorder.stats().circling.cut == 1
        recorder.flush(60)
    assert robot.rows("imu") == []


def test_an_event_of_another_process_is_heard(circling: Robot) -> None:
    """A mark of a recorder that has no such stream brings to the disk what circles in another one."""
    with Recorder(circling.file, duties=False) as camera, Recorder(circling.file, duties=False) as other:
        for number in range(200):
            camera.log("imu", {"n": number, "x": 0.5})
        other.mark("brake", pre=300, post=0)
        other.flush(60)
        until(lambda: camera.stats().circling.rows == 0, "the event was not heard")
        camera.flush(60)
        assert numbers(circling) == list(range(200))


def test_a_ring_of_pictures_still_makes_previews(robot: Robot) -> None:
    """Small frames of a camera that circles are recorded; an event at `preview` leaves the originals circling."""
    robot.write(
        policy='[stream."cam/*"]\nring = "ram 600 s"\npreview = { size = "32x24", every = "1s" }\n'
        '[event.default]\npre = "300s"\npost = "0s"'
    )
    with Recorder(robot.file, duties=False) as recorder:
        recorder.log("cam/front", FRAME)
        recorder.flush(60)
        assert recorder.stats().blobs == 1
        rule = recorder.live.current.event_rule("brake")
        event = events.new_event(events.Event("", "brake", robot.id, T := int(time.time() * 1e6), T - 300_000_000, T))
        assert rule.resolution == "original"
        recorder._session.want(event.__class__(**{**_fields(event), "resolution": "preview"}))
        recorder.flush(60)
        assert recorder.stats().circling.rows == 1
        recorder.mark("brake")
        recorder.flush(60)
        assert len(robot.records("media", "cam/front")) == 1


def _fields(event: events.Event) -> dict[str, Any]:
    return {name: getattr(event, name) for name in event.__dataclass_fields__}


def test_marking_does_not_hold_up_other_threads(circling: Robot) -> None:
    """While 50,000 rows are brought to the disk the lock is let go again and again, and all come once and in order.

    How long another thread then waits is the machine's business: the work done under the lock at a stretch is ours.
    """
    with Recorder(circling.file, duties=False) as recorder:
        for number in range(50_000):
            recorder.log("imu", {"n": number, "x": 0.5})
        stop, logged = threading.Event(), [50_000]
        held_s: list[float] = []  # of processor time, at a stretch
        move = recorder._session.move

        def timed() -> bool:
            began_s = time.thread_time()
            more = move()
            held_s.append(time.thread_time() - began_s)
            return more

        recorder._session.move = timed  # type: ignore[method-assign]

        def go_on() -> None:
            while not stop.is_set():
                recorder.log("imu", {"n": logged[0], "x": 0.5})
                logged[0] += 1
                stop.wait(0.0005)

        thread = threading.Thread(target=go_on)
        thread.start()
        recorder.mark("brake", pre=300, post=120)
        until(lambda: recorder.stats().circling.rows == 0, "the ring was not emptied")
        stop.set()
        thread.join()
        recorder.flush(60)
        assert numbers(circling) == list(range(logged[0]))
        assert len(held_s) >= 100
        assert max(held_s) < sum(held_s) / 10
    assert circling.unnamed() == {}


def test_texts_and_loose_rows_keep_their_values(circling: Robot) -> None:
    """Rows with text, missing values and growing fields come back value by value."""
    rows: list[dict[str, Any]] = [{"a": 1}, {"a": 1.5}, {"a": 2, "b": "text"}, {"b": None, "a": 0}, {"v": [1.0, 2.0]}]
    with Recorder(circling.file, duties=False) as recorder:
        for row in rows * 3:
            recorder.log("imu", row)
        recorder.mark("brake")
        recorder.flush(60)
    found = [row for record in circling.records("sensor", "imu") for row in chunks.rows(record.data)]
    assert [{k: v for k, v in row.items() if k != "time_us" and v is not None} for row in found] == [
        {k: v for k, v in row.items() if v is not None} for row in rows * 3
    ]


def test_the_state_folder_stays_empty(circling: Robot, tmp_path: Path) -> None:
    """Minutes of a stream that circles write no byte of payload into the state folder."""
    with Recorder(circling.file, duties=False) as recorder:
        for number in range(20_000):
            recorder.log("imu", {"n": number, "x": 0.5})
        assert circling.spools() == []


def test_recording_to_disk_goes_on_after_a_restart_within_the_window(circling: Robot) -> None:
    """A program that starts again within the post-window, with its store away, spools from the first row on."""
    with Recorder(circling.file, duties=False) as recorder:
        recorder.log("imu", {"n": 0, "x": 0.5})
        recorder.mark("brake", pre=10, post=120)
        recorder.flush(60)
    with Recorder(circling.file, duties=False) as recorder:
        for number in range(1, 100):
            recorder.log("imu", {"n": number, "x": 0.5})
            assert recorder.stats().circling.rows == 0
        recorder.flush(60)
    assert numbers(circling) == list(range(100))


def test_killed_within_the_window(circling: Robot) -> None:
    """A program killed while a window is open loses nothing of it; the next one records on to the disk.

    What only circled is gone with the memory, and a later window that reaches back there is called cut.
    """
    with subprocess.Popen(
        [sys.executable, "-c", CHILD, str(circling.file)], stdout=subprocess.PIPE, text=True
    ) as program:
        assert program.stdout is not None
        for line in program.stdout:
            if (last := int(line)) >= 600:
                break
        program.kill()
    with Recorder(circling.file, duties=False) as recorder:
        for number in range(10_000, 10_100):
            recorder.log("imu", {"n": number, "x": 0.5})
            assert recorder.stats().circling.rows == 0
        recorder.flush(60)
        found = numbers(circling)
        assert set(found) >= {*range(300, last + 1), *range(10_000, 10_100)}
        assert 0 < min(found) < 300, "of what circled, the pre-window alone"
        assert len(found) == len(set(found))
        assert recorder.stats().circling.cut == 0
        recorder.mark("later", pre=30, post=0)
        assert recorder.stats().circling.cut == 1
    assert circling.unnamed() == {}


def test_an_event_that_only_the_store_knows_is_heard_after_a_start(circling: Robot) -> None:
    """A mark made from elsewhere, without a notice, opens its window in a program that starts later."""
    with Recorder(circling.file, duties=False) as recorder:
        recorder.mark("brake", pre=10, post=120)
        recorder.flush(60)
    for notice in (circling.folder / "state" / "notices").iterdir():
        notice.unlink()
    with Recorder(circling.file, duties=False) as recorder:
        recorder.log("imu", {"n": 0, "x": 0.5})
        until(lambda: recorder.stats().rows == 1, "the event was not heard")
        recorder.log("imu", {"n": 1, "x": 0.5})
        assert recorder.stats().circling.rows == 0


def test_notices_are_swept(circling: Robot) -> None:
    """A notice goes when its window has been over for a minute, and one that is torn as well."""
    notices = Notices(circling.folder / "state")
    now_us = int(time.time() * 1e6)
    for name, stop_us in (("old", now_us - 61_000_000), ("new", now_us)):
        notices.post(events.Event(f"{name}-1", name, circling.id, stop_us, stop_us, stop_us))
    (circling.folder / "state" / "notices" / "torn.json").write_text("{")
    other = Notices(circling.folder / "state")
    assert [event.kind for event in other.news()] == ["new", "old"]
    assert other.news() == []
    other.sweep(now_us)
    assert [event.kind for event in Notices(circling.folder / "state").news()] == ["new"]
    assert len(list((circling.folder / "state" / "notices").iterdir())) == 1


@pytest.mark.parametrize("step_s", [-3600, 3600])
def test_a_clock_that_is_set_loses_nothing_that_an_event_asked_for(circling: Robot, step_s: int) -> None:
    """Rows of before the step circle on under their session; an event over their time brings them, numbered."""
    ahead_ns = [0]
    clock = Clock(lambda: time.time_ns() + ahead_ns[0])
    with Recorder(circling.file, duties=False, clock=clock) as recorder:
        first, began_us = recorder.stats().session, int(time.time() * 1e6)
        for number in range(500):
            recorder.log("imu", {"n": number, "x": 0.5})
        ahead_ns[0] = step_s * 1_000_000_000
        until(lambda: recorder.stats().session != first, "the step was not noticed")
        for number in range(500, 600):
            recorder.log("imu", {"n": number, "x": 0.5})
        assert recorder.stats().circling.rows == 600
        recorder.mark("after", pre=100, post=0)
        recorder.flush(60)
        assert numbers(circling) == list(range(500, 600))
        recorder.mark("before", time=began_us, pre=1, post=100)
        recorder.flush(60)
        assert sorted(numbers(circling)) == list(range(600))
    assert circling.unnamed() == {}


@pytest.mark.parametrize("step_s", [-3600, 3600])
def test_the_clock_is_set_within_a_window(circling: Robot, step_s: int) -> None:
    """What was logged until the step is on the disk; what comes then lies outside the window, and circles on."""
    ahead_ns = [0]
    clock = Clock(lambda: time.time_ns() + ahead_ns[0])
    with Recorder(circling.file, duties=False, clock=clock) as recorder:
        first = recorder.stats().session
        for number in range(100):
            recorder.log("imu", {"n": number, "x": 0.5})
        recorder.mark("brake", pre=100, post=100)
        for number in range(100, 200):
            recorder.log("imu", {"n": number, "x": 0.5})
        ahead_ns[0] = step_s * 1_000_000_000
        until(lambda: recorder.stats().session != first, "the step was not noticed")
        for number in range(200, 300):
            recorder.log("imu", {"n": number, "x": 0.5})
        recorder.flush(60)
        assert numbers(circling) == list(range(200))
        assert recorder.stats().circling.rows == 100
        recorder.mark("after", pre=100, post=0)
        recorder.flush(60)
        assert sorted(numbers(circling)) == list(range(300))
        assert recorder.stats().circling.cut == 1, "the first window reaches back before the program began"
    assert circling.unnamed() == {}


def test_a_policy_that_changes_loses_nothing_and_writes_nothing_twice(circling: Robot) -> None:
    """Four threads log while streams go from memory to disk and back twenty times; every row is there once, in order.

    An event over everything at the end brings what still circles.
    """
    with Recorder(circling.file, duties=False) as recorder:
        stop, counts = threading.Event(), [0] * 4

        def log(index: int) -> None:
            while not stop.is_set():
                recorder.log("imu" if index == 0 else f"imu/{index}", {"n": counts[index], "x": 0.5})
                counts[index] += 1
                if counts[index] % 50 == 0:
                    stop.wait(0.001)

        threads = [threading.Thread(target=log, args=(index,)) for index in range(4)]
        for thread in threads:
            thread.start()
        texts = [POLICY.replace('"imu"]', '"imu**"]'), DISK]
        for number in range(20):
            switch(recorder.live, f"version = {number + 2}\n{texts[number % 2]}")
            stop.wait(0.05)
        stop.set()
        for thread in threads:
            thread.join()
        recorder.mark("end", pre=300, post=0)
        recorder.flush(60)
        assert recorder.stats().drops == {}
    for index, count in enumerate(counts):
        assert numbers(circling, "imu" if index == 0 else f"imu/{index}") == list(range(count))
    assert circling.unnamed() == {}

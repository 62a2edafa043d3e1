"""Kill a recording process with SIGKILL at any moment: what log() has accepted is in the store in the end."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import StoreServer

from fleetbox_edge.recorder import Recorder

from .conftest import Robot

# Logs rows and frames as fast as it can and prints the last number whose log() has returned.
CHILD = """
import sys
from fleetbox_edge.recorder import Recorder
recorder = Recorder(sys.argv[1], duties=False, memory_bytes=int(sys.argv[2]))
number = 0
while True:
    recorder.log("imu", {"n": number, "x": number / 7})
    if number % 50 == 0:
        recorder.log("cam/front", b"\\xff\\xd8\\xff" + number.to_bytes(8) * 500)
    sys.stdout.write(f"{number}\\n")
    sys.stdout.flush()
    number += 1
"""


@pytest.fixture(autouse=True)
def soon_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do not wait a minute for a record torn by a kill: whoever wrote it is dead for sure."""
    monkeypatch.setattr("fleetbox.blobs.writing.TORN_AFTER_S", 5.0)


def record_and_kill(robot: Robot, seconds: float, memory_bytes: int = 64_000_000, least: int = 0) -> int:
    """Run the child for a while after it has logged `least` rows, kill it, and return the last number it printed."""
    last, killer = -1, None
    with subprocess.Popen(
        [sys.executable, "-c", CHILD, str(robot.file), str(memory_bytes)], stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        for line in child.stdout:
            last = int(line) if line.endswith("\n") else last
            if killer is None and last >= least:  # counted from a row: starting takes as long as the machine is busy
                killer = threading.Timer(seconds, child.send_signal, [signal.SIGKILL])
                killer.start()
    return last


def frames(robot: Robot) -> list[int]:
    """Return the numbers of all frames in the store."""
    return [int.from_bytes(record.data[3:11]) for record in robot.records("media", "cam/front")]


def by_session(robot: Robot) -> dict[str, list[int]]:
    """Return the numbers of all rows by session, the oldest first, in order of `seq`, which has no gap or overlap.

    The names of sessions that begin within one second are in no order: their first records are.
    """
    from fleetbox import chunks

    found: dict[str, list[int]] = {}
    records = sorted(robot.records("sensor", "imu"), key=lambda record: (int(record.labels["seq"]), record.time_us))
    for record in records:
        numbers = found.setdefault(record.labels["session"], [])
        assert int(record.labels["seq"]) == len(numbers)
        numbers += [row["n"] for row in chunks.rows(record.data)]
    return found


@pytest.mark.slow
def test_killed_again_and_again(robot: Robot) -> None:
    """Four processes are killed at random moments; all their rows and frames are there once, counted singly."""
    lasts = [record_and_kill(robot, random.uniform(0.05, 1.0)) for _ in range(4)]
    with Recorder(robot.file, duties=False) as recorder:
        recorder.flush(150)
        assert recorder.stats().damaged <= 4  # at most the frame that each was writing
    sessions = by_session(robot)
    assert len(sessions) == 4
    for last, numbers in zip(lasts, sessions.values(), strict=True):
        assert numbers == list(range(len(numbers)))
        assert len(numbers) > last
    wanted = sorted(number for last in lasts for number in range(0, last + 1, 50))
    there = frames(robot)
    assert len(there) - len(wanted) <= 4  # one may have been accepted without being printed
    for number in set(wanted):
        assert there.count(number) >= wanted.count(number)
    assert not robot.spools()
    assert robot.unnamed() == {}


def test_killed_while_the_store_is_down(robot: Robot, new_store_server: Callable[..., StoreServer]) -> None:
    """A process killed during an outage, with memory bounded so that chunks went to the spool, loses nothing."""
    server = new_store_server()
    robot.url, robot.token = server.url, server.token
    robot.write()
    server.kill()
    last = record_and_kill(robot, 2.0, memory_bytes=50_000)
    server.start()
    with Recorder(robot.file, duties=False) as recorder:
        recorder.flush(150)
    (numbers,) = by_session(robot).values()
    assert numbers == list(range(len(numbers)))
    assert len(numbers) > last
    assert set(range(0, last + 1, 50)) <= set(frames(robot))
    assert robot.unnamed() == {}


def test_replay_killed_in_the_middle(robot: Robot) -> None:
    """A replay that is itself killed doubles nothing when the next one starts over."""
    good = robot.url
    robot.url = "http://127.0.0.1:9"
    robot.write()
    last = record_and_kill(robot, 1.0)
    robot.url = good
    robot.write()
    replayer = (
        "import sys; from fleetbox_edge.recorder import Recorder; r = Recorder(sys.argv[1], duties=False);"
        "print(flush=True); r.flush()"
    )
    for _ in range(3):
        child = subprocess.Popen([sys.executable, "-c", replayer, str(robot.file)], stdout=subprocess.PIPE)
        assert child.stdout is not None
        child.stdout.readline()
        time.sleep(random.uniform(0.0, 0.1))
        child.kill()
        child.communicate()
    with Recorder(robot.file, duties=False) as recorder:
        recorder.flush(150)
    (numbers,) = by_session(robot).values()
    assert numbers == list(range(len(numbers)))
    assert len(numbers) > last


def test_store_killed_while_writing(robot: Robot, new_store_server: Callable[..., StoreServer]) -> None:
    """The store is killed ten times in mid-write; every row and frame is readable once in the end."""
    server = new_store_server()
    robot.url, robot.token = server.url, server.token
    robot.write()
    stop = threading.Event()
    logged = 0
    with Recorder(robot.file, duties=False) as recorder:

        def work() -> None:
            nonlocal logged
            while not stop.is_set():
                recorder.log("imu", {"n": logged, "x": 0.5})
                if logged % 50 == 0:
                    recorder.log("cam/front", b"\xff\xd8\xff" + logged.to_bytes(8) * 5_000)
                logged += 1
                time.sleep(0.0005)

        thread = threading.Thread(target=work)
        thread.start()
        try:
            for _ in range(10):
                time.sleep(random.uniform(0.2, 0.5))
                server.kill()
                server.start()
        finally:
            stop.set()
            thread.join()
        recorder.flush(150)
        assert recorder.stats().drops == {}
    (numbers,) = by_session(robot).values()
    assert numbers == list(range(logged))
    assert sorted(frames(robot)) == list(range(0, logged, 50))
    assert robot.unnamed() == {}


def test_a_live_process_keeps_its_spool(robot: Robot, tmp_path: Path) -> None:
    """The spool of a process that still runs is left alone by another that starts."""
    with Recorder(robot.file, duties=False) as first:
        first.log("imu", {"n": 1, "x": 1.0})
        before = robot.spools()
        with Recorder(robot.file, duties=False) as second:
            second.flush(60)
        assert before
        assert set(before) <= set(robot.spools())
    assert [row["n"] for row in robot.rows("imu")] == [1]


def test_killed_with_drops_that_nobody_was_told(robot: Robot) -> None:
    """Frames that a full spool gave up are named after a kill: by their numbers, with the reason, all of them."""
    good, robot.url = robot.url, "http://127.0.0.1:9"
    robot.write('spool = { max = "2 MB" }')
    last = record_and_kill(robot, 0.5, memory_bytes=50_000, least=50_000)  # 4 MB of frames
    robot.url = good
    robot.write()
    with Recorder(robot.file, duties=False) as recorder:
        recorder.flush(150)
    drops = [drop for drop in robot.drops() if drop.stream == "cam/front"]
    assert {drop.reason for drop in drops} == {"spool full"}
    there = len(frames(robot))
    assert there + sum(drop.rows for drop in drops) >= last // 50
    assert robot.unnamed() == {}


@pytest.mark.slow
def test_two_processes_on_one_stream(robot: Robot) -> None:
    """Two programs record the same streams at once and are killed; each one's rows and frames are all there."""
    lasts: list[int] = []
    threads = [threading.Thread(target=lambda: lasts.append(record_and_kill(robot, 1.0))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with Recorder(robot.file, duties=False) as recorder:
        recorder.flush(150)
    sessions = by_session(robot)
    assert len(sessions) == 2
    assert sorted(len(numbers) for numbers in sessions.values())[0] > min(lasts)
    assert all(numbers == list(range(len(numbers))) for numbers in sessions.values())
    assert len(frames(robot)) >= sum(last // 50 + 1 for last in lasts)
    assert robot.unnamed() == {}

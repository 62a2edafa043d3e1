"""A policy changes under load, in every process of a robot at once: no record is lost, and none is there twice."""

from __future__ import annotations

import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from fleetbox import chunks
from fleetbox.settings import Policy
from fleetbox_edge.recorder import Recorder

from .conftest import Robot
from .switching import TRUSTED, of_folder, switch
from .test_duties import until

ALWAYS = '[stream."b/*"]\nship = "always"\n[stream."**"]\nship = "always"'
ON_EVENT = '[stream."b/disk"]\n[stream."cam/*"]\npreview = { size = "32x24", every = "1s", ship = "event" }'
IN_RAM = '[stream."*/ram"]\nring = "ram 600 s"\n[stream."**"]\nship = "always"\nto = "edge"'
TEXTS = (ALWAYS, IN_RAM, ON_EVENT)
SWITCHES = 24
EVERY_S = 0.15

OTHER = """
import sys, threading
from fleetbox_edge.recorder import Recorder
with Recorder(sys.argv[1], duties=False) as recorder:
    stop = threading.Event()

    def wait_for_the_last():
        last = sys.stdin.readline().strip()
        while recorder.live.current.hash != last:
            stop.wait(0.02)
        stop.set()

    threading.Thread(target=wait_for_the_last, daemon=True).start()
    n = 0
    print("begun", flush=True)
    while not stop.is_set():
        for stream in ("b/disk", "b/ram"):
            recorder.log(stream, {"n": n, "x": 0.5})
        n += 1
        if n % 20 == 0:
            stop.wait(0.004)  # about 5,000 rows a second
    recorder.mark("end", pre=300, post=0)
    recorder.flush(60)
    assert recorder.stats().drops == {}, recorder.stats().drops
    print(n, flush=True)
"""


class Load:
    """Log rows, columns, texts and pictures from several threads, until told to stop; `counts` tells how many."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder, self._stop = recorder, threading.Event()
        self.counts: dict[str, int] = {}
        self._frame = np.zeros((48, 64, 3), np.uint8)
        works = [("a/disk", self._row), ("a/ram", self._row), ("columns/ram", self._columns), ("log/ram", self._text)]
        works += [("cam/ram", self._picture), ("cam/disk", self._picture)]
        self._threads = [threading.Thread(target=self._work, args=work) for work in works]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Stop all, and wait for them."""
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _work(self, stream: str, log: object) -> None:
        self.counts[stream] = 0
        while not self._stop.is_set():
            self.counts[stream] += log(stream, self.counts[stream])  # type: ignore[operator]
            self._stop.wait(0.001)

    def _row(self, stream: str, number: int) -> int:
        for more in range(5):
            self._recorder.log(stream, {"n": number + more, "x": 0.5})
        return 5

    def _columns(self, stream: str, number: int) -> int:
        now_us = time.time_ns() // 1000
        self._recorder.log_columns(stream, now_us - 50 + np.arange(50), {"n": number + np.arange(50)})
        self._stop.wait(0.01)
        return 50

    def _text(self, stream: str, number: int) -> int:
        self._recorder.log(stream, f"line {number}")
        return 1

    def _picture(self, stream: str, number: int) -> int:
        self._recorder.log(stream, self._frame, labels={"n": number})
        self._stop.wait(0.01)
        return 1


@pytest.mark.parametrize("duties", [True, False])
def test_switches_under_load_lose_nothing_and_double_nothing(robot: Robot, duties: bool) -> None:
    """Twenty-four switches between memory and disk, always and on event, while two processes log: counted one by one.

    Each record was kept by a policy that says so, and the other process followed without a restart.
    """
    robot.write(TRUSTED)
    with Recorder(robot.file, duties=duties) as recorder:
        other = subprocess.Popen(
            [sys.executable, "-c", OTHER, str(robot.file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        try:
            assert other.stdout is not None
            assert other.stdin is not None
            assert other.stdout.readline() == "begun\n"
            load = Load(recorder)
            policies = _switch_often(recorder, load)
            other.stdin.write(f"{policies[-1].hash}\n")
            other.stdin.flush()
            theirs = int(other.stdout.readline())
            load.stop()
            assert other.wait(60) == 0
        finally:
            other.kill()
            other.communicate()
        recorder.mark("end", pre=300, post=0)
        recorder.flush(60)
        assert recorder.stats().drops == {}
    counts = load.counts | {"b/disk": theirs, "b/ram": theirs}
    for stream, count in counts.items():
        assert _numbers(robot, stream) == list(range(count)), stream
    assert robot.unnamed() == {}
    _check_labels(robot, policies)


def _switch_often(recorder: Recorder, load: Load) -> list[Policy]:
    """Put one policy after the other in force, each as long as it takes to log a row under it."""
    policies = []
    for number in range(SWITCHES):
        policies.append(switch(recorder.live, f"version = {number + 2}\n{TEXTS[number % len(TEXTS)]}"))
        before = load.counts.get("a/disk", 0)
        time.sleep(EVERY_S)
        until(lambda before=before: load.counts.get("a/disk", 0) > before + 5)  # type: ignore[misc]
    return policies


def _numbers(robot: Robot, stream: str) -> list[int]:
    cls = {"log": "log", "cam": "media"}.get(stream.split("/")[0], "sensor")
    records = sorted(robot.records(cls, stream), key=lambda record: record.time_us)
    if cls == "sensor":
        return [int(row["n"]) for record in records for row in chunks.rows(record.data)]
    if cls == "log":
        return [int(record.data.split()[1]) for record in records]
    return [int(record.labels["n"]) for record in records]


def _check_labels(robot: Robot, policies: list[Policy]) -> None:
    """Check that each record kept when it was written names a policy that keeps its stream, and that most did."""
    rules = {policy.hash: policy.rule_for("a/disk") for policy in policies}
    found = {record.labels["policy"] for record in robot.records("sensor", "a/disk") if "keep" in record.labels}
    assert len(found) >= SWITCHES // 2
    assert all(rules[key].ship == "always" for key in found - {policies[-1].hash})


def test_a_process_that_starts_later_takes_what_holds(robot: Robot) -> None:
    """What was taken over the air lies in the state folder: another process, and one that starts later, have it."""
    with Recorder(robot.file, duties=False) as recorder:
        policy = switch(recorder.live, f"version = 7\n{ALWAYS}")
    assert of_folder(robot.folder).current.hash == policy.hash
    with Recorder(robot.file, duties=False) as later:
        assert later.live.current.hash == policy.hash
        later.log("imu", {"n": 0, "x": 0.5})
        later.flush(60)
    (record,) = robot.records("sensor", "imu")
    assert record.labels["policy"] == policy.hash


def test_a_file_that_cannot_be_read_leaves_robot_tomls_policy_in_force(robot: Robot) -> None:
    """Half a file, or one of another program, changes nothing and stops nobody."""
    folder = robot.folder / "state" / "policy"
    folder.mkdir(parents=True)
    for text in ("", "{", '{"envelope": {}}', "[]"):
        (folder / "current.json").write_text(text)
        with Recorder(robot.file, duties=False) as recorder:
            assert recorder.live.current.hash == recorder.live.base.hash
            recorder.log("imu", {"n": 0, "x": 0.5})
            assert recorder.flush(60)

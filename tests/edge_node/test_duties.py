"""One process per robot does its duties; another takes over when it dies; an event is labelled."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from conftest import StoreServer

from fleetbox.blobs import Store
from fleetbox.events import Event, read_events
from fleetbox.naming import CLASSES
from fleetbox_edge.recorder import Recorder

from .conftest import Robot

HOLDER = "import sys, time; from fleetbox_edge.recorder import Recorder; r = Recorder(sys.argv[1]);" + (
    "\nwhile not r.stats().duties: time.sleep(0.01)\nprint(flush=True)\ntime.sleep(60)"
)


def until(true: Callable[[], Any], seconds: float = 90.0) -> Any:
    """Wait until something is true, and return it."""
    deadline = time.monotonic() + seconds
    while not (value := true()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return value


def until_settled(recorder: Recorder) -> None:
    """Wait until rings and tasks stand: a recorder waits some seconds for that, and then writes all the same."""
    until(lambda: (duties := recorder.duties) is not None and duties.settled.is_set())


def ask(robot: Robot, question: Callable[[Store], Any]) -> Any:
    """Ask the robot's store something."""

    async def asked() -> Any:
        async with Store(robot.url, robot.token) as store:
            return await question(store)

    return asyncio.run(asked())


def test_duties_are_taken_over(robot: Robot) -> None:
    """While one process holds the duties another waits, and has them soon after a kill -9."""
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(robot.file)], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        with Recorder(robot.file) as recorder:
            recorder.log("imu", {"x": 1.0})
            recorder.flush(60)
            assert not recorder.stats().duties
            holder.send_signal(signal.SIGKILL)
            until(lambda: recorder.stats().duties)


def test_rings_and_tasks_stand(robot: Robot, new_store_server: Callable[..., StoreServer]) -> None:
    """The holder makes FIFO rings, an unbounded meta, a bounded kept, and the tasks towards its site."""
    site = new_store_server()
    (robot.folder / "site").write_text(site.token)
    extra = f'site = "{site.url}"\nsite_name = "edge"\nsite_token = {{ file = "site" }}\nrelay = "http://127.0.0.1:0"\n'
    robot.write(extra + 'ring = { sensor = "1 GB", media = "2 GB", kept = "3 GB" }')
    with Recorder(robot.file) as recorder:
        until_settled(recorder)
        recorder.log("imu", {"x": 1.0})
        recorder.flush(60)
        quotas = {}
        for cls in ("sensor", "media", "meta", "kept"):
            spec = ask(robot, lambda store, cls=cls: store.bucket_spec(cls))
            quotas[cls] = (spec.quota_type, spec.quota_bytes)
        tasks = ask(robot, lambda store: store.tasks())
    assert quotas["sensor"] == ("FIFO", 10**9)
    assert quotas["media"] == ("FIFO", 2 * 10**9)
    assert quotas["meta"][0] == "NONE"
    assert quotas["kept"] == ("HARD", 3 * 10**9)
    assert {task.spec.dst_bucket for task in tasks} == {f"{robot.id}--{cls}" for cls in CLASSES}


def test_a_mark_labels_what_was_recorded_before_it(robot: Robot) -> None:
    """Two overlapping marks: every chunk and line around them gets keep=1 once, and both events are closed."""
    robot.write(policy='[event.default]\npre = "100s"\npost = "200ms"\n')
    with Recorder(robot.file) as recorder:
        for number in range(50):
            recorder.log("imu", {"n": number, "x": 0.5})
            recorder.log("log/app", f"line {number}")
        first = recorder.mark("hard_brake", note="first")
        time.sleep(0.05)
        second = recorder.mark("hard_brake", streams=["log/**"])
        recorder.flush(60)

        def closed() -> list[Event]:
            events: list[Event] = ask(robot, lambda store: read_events(store, ["meta"]))
            return [event for event in events if event.state == "labelled"]

        until(lambda: len(closed()) == 2)
        events = {event.id: event for event in closed()}
    assert events[first].note == "first"
    assert events[second].streams == ("log/**",)
    assert events[first].labelled["log/app"] == 50
    assert "imu" not in events[second].labelled
    for cls, stream in (("sensor", "imu"), ("log", "log/app")):
        assert all(record.labels.get("keep") == "1" for record in robot.records(cls, stream))


def test_the_agent_verb_stops_on_term(robot: Robot) -> None:
    """`fleetbox agent run` replays what a stopped program left, and ends with 0 on SIGTERM and 130 on Ctrl-C."""
    for number, code in ((signal.SIGTERM, 0), (signal.SIGINT, 130)):
        command = [sys.executable, "-m", "fleetbox", "agent", "run", "--config", str(robot.file)]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as agent:
            assert agent.stderr is not None
            until(lambda agent=agent: "agent runs" in agent.stderr.readline())
            agent.send_signal(number)
            assert agent.wait(60) == code

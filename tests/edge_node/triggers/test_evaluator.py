"""Triggers while a robot records: the events they raise, from every process, over restarts and switches."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from fleetbox.blobs import Store
from fleetbox.events import Event, read_events
from fleetbox.settings import find_fleet
from fleetbox_edge.recorder import Recorder
from fleetbox_edge.triggers.checks import triggers
from fleetbox_edge.triggers.memory import read_memory

from ..conftest import Robot
from ..switching import switch

PATIENCE_S = 90.0  # two busy cores and a child that starts; an event is normally there after 0.1 s
BRAKE = '[trigger.brake]\non = "imu"\nwhen = "ax < -4.0"\nevent = "hard_brake"\nnote = "braked"\ncooldown = "1h"\n'

OTHER = """
import sys
import numpy as np
from fleetbox_edge.recorder import Recorder
with Recorder(sys.argv[1], duties=False) as recorder:
    recorder.log("imu", {"ax": 0.0, "ay": 0.1})
    recorder.log("imu", {"ax": np.float64(-5.0), "ay": np.float64(0.1)})
    recorder.log_columns("wheel", [1_000_000 * second for second in range(1_800_000_000, 1_800_000_300)],
                         {"v": np.arange(300.0), "w": np.zeros((300, 40))})
    recorder.log("log/nav", "lost the map " + "x" * 100_000)
    recorder.log("cam/front", b"\\xff\\xd8\\xff\\xd9", labels={"side": "left"})
    sys.stdin.readline()
"""


HOLDER = """
import sys, time
from fleetbox_edge.recorder import Recorder
recorder = Recorder(sys.argv[1])
while recorder._running.triggers.judge_now is None:
    time.sleep(0.01)
recorder.log("imu", {"ax": -5.0, "ay": 0.1})
time.sleep(60)
"""


def events_of(robot: Robot) -> list[Event]:
    """Return the robot's events."""

    async def read() -> list[Event]:
        async with Store(robot.url, robot.token) as store:
            return await read_events(store, ["meta"])

    return asyncio.run(read())


def until(true: Callable[[], bool], what: str) -> None:
    """Wait until something is so."""
    last = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < last, f"after {PATIENCE_S:g} s still not: {what}"
        time.sleep(0.02)


def until_judging(recorder: Recorder) -> None:
    """Wait until a recorder's agent has the duties and judges."""
    until(lambda: recorder._running.triggers.judge_now is not None, "judging")


def told(robot: Robot) -> list[int]:
    """Return the newest moments that the robot's triggers remember."""
    memory = read_memory(robot.settings.state)
    return [one[0] for one in memory.told.values() if one[0] is not None] if memory else []


def doctor(robot: Robot) -> dict[str, str]:
    """Return what doctor says of the triggers: text -> verdict."""
    checks = asyncio.run(triggers(find_fleet(robot.file), robot.id))
    return {check.text: check.verdict for check in checks}


def test_a_row_raises_an_event_at_its_own_time_and_its_window_is_kept(robot: Robot) -> None:
    """What was recorded before the moment is labelled; one moment makes one event."""
    robot.write(policy=BRAKE + '[event.hard_brake]\npre = "60s"\npost = "0s"\nstreams = ["imu"]')
    with Recorder(robot.file) as recorder:
        until_judging(recorder)
        recorder.log("imu", {"ax": 0.1, "ay": 0.2})
        recorder.log("imu", {"ax": -5.0, "ay": 0.2})
        recorder.log("imu", {"ax": -6.0, "ay": 0.2})
        recorder.flush(PATIENCE_S)
        [event] = events_of(robot)
        rows = robot.rows("imu")
        assert (event.kind, event.trigger, event.note) == ("hard_brake", "brake", "braked: imu: ax=-5")
        assert event.time_us == rows[1]["time_us"]
        until(lambda: all(record.labels.get("keep") == "1" for record in robot.records("sensor", "imu")), "labelled")
        until(lambda: events_of(robot)[0].state == "labelled", "closed")
        assert event.policy == recorder.live.current.hash
    assert next(iter(doctor(robot).values())) == "PASS"


def test_a_fence_says_where(robot: Robot) -> None:
    """An event of a fence has its row's position as the labels that events are searched by, whatever its fields."""
    robot.write(
        policy='[trigger.dock]\non = "gps"\nfence = { circle = [52.52, 13.405, 25], fields = ["fix.lat", "fix.lon"] }\n'
        '[trigger.aisle]\non = "odom"\nfence = { box = [[0, 0], [5, 5]], fields = ["px", "py"], plane = true }\n'
    )
    with Recorder(robot.file) as recorder:
        until_judging(recorder)
        for lat in (52.53, 52.52):
            recorder.log("gps", {"fix": {"lat": lat, "lon": 13.4051}})
        recorder.log("odom", {"px": 1.5, "py": np.float32(2.0)})
        recorder.flush(PATIENCE_S)
        until(lambda: len(events_of(robot)) == 2, "two events")
    assert {event.trigger: dict(event.labels) for event in events_of(robot)} == {
        "dock": {"lat": "52.52", "lon": "13.4051"},
        "aisle": {"x": "1.5", "y": "2.0"},
    }


def test_what_other_processes_log_is_judged(robot: Robot) -> None:
    """Rows, numpy's numbers, columns of another year, a long text and a picture's labels reach the one that judges."""
    robot.write(
        policy=BRAKE
        + '[trigger.fast]\non = "wheel"\nwhen = "v >= 299.0"\n'
        + '[trigger.lost]\non = "log/**"\nwhen = "text.startsWith(\'lost\')"\n'
        + '[trigger.left]\non = "cam/*"\nwhen = "has(labels.side) && labels.side == \'left\'"\n'
    )
    with (
        Recorder(robot.file) as recorder,
        subprocess.Popen([sys.executable, "-c", OTHER, str(robot.file)], stdin=subprocess.PIPE) as other,
    ):
        try:
            until(lambda: len(events_of(robot)) >= 4, "four events")
        finally:
            other.communicate(b"\n", PATIENCE_S)
        assert other.returncode == 0
        recorder.flush(PATIENCE_S)
    found = {event.trigger: event for event in events_of(robot)}
    assert set(found) == {"brake", "fast", "lost", "left"}
    assert found["fast"].time_us == 1_800_000_299_000_000
    memory = read_memory(robot.settings.state)
    assert memory is not None
    assert memory.counts["fast"].judged == 300
    assert all(counts.unjudged == counts.errors == 0 for counts in memory.counts.values())


def test_cooldowns_outlive_the_agent(robot: Robot) -> None:
    """A restart within the cooldown does not raise the same moment again."""
    robot.write(policy=BRAKE)
    for _ in range(2):
        with Recorder(robot.file) as recorder:
            until_judging(recorder)
            recorder.log("imu", {"ax": -5.0, "ay": 0.2})
            recorder.flush(PATIENCE_S)
    assert len(events_of(robot)) == 1


def test_a_kill_neither_forgets_nor_repeats_a_moment(robot: Robot) -> None:
    """The event of an agent that is killed at once stands, and its cooldown holds in the next one."""
    robot.write(policy=BRAKE)
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(robot.file)]) as child:
        try:
            until(lambda: read_memory(robot.settings.state) is not None, "a memory")
            until(lambda: bool(told(robot)), "an event remembered")
        finally:
            child.kill()
    with Recorder(robot.file) as recorder:
        until_judging(recorder)
        recorder.log("imu", {"ax": -5.0, "ay": 0.2})
        recorder.flush(PATIENCE_S)
    assert [event.trigger for event in events_of(robot)] == ["brake"]


def test_a_trigger_brings_to_the_disk_what_circled_in_memory(robot: Robot) -> None:
    """A stream that is recorded in memory only is judged all the same, and its event keeps what led to it."""
    robot.write(policy=BRAKE + '[stream.imu]\nring = "ram 60 s"\n[event.hard_brake]\npre = "60s"\npost = "0s"')
    with Recorder(robot.file) as recorder:
        until_judging(recorder)
        for ax in (0.1, 0.2, -5.0):
            recorder.log("imu", {"ax": ax, "ay": 0.2})
        until(lambda: len(robot.rows("imu")) == 3, "on the disk")
        recorder.flush(PATIENCE_S)
    assert [row["ax"] for row in robot.rows("imu")] == [0.1, 0.2, -5.0]


def test_a_program_without_the_duties_takes_them_over_and_judges_on(robot: Robot) -> None:
    """What was logged while nobody judged is judged by the next holder."""
    robot.write(policy=BRAKE)
    first = Recorder(robot.file)
    until_judging(first)
    with Recorder(robot.file) as second:
        first.close()
        second.log("imu", {"ax": -5.0, "ay": 0.2})
        until(lambda: len(events_of(robot)) == 1, "an event")


def test_faults_are_told_and_stop_no_other_trigger(robot: Robot) -> None:
    """One that is no CEL fails, one that raises warns, one that is never true shows it, one goes on working."""
    robot.write(
        policy=BRAKE
        + '[trigger.typo]\non = "imu"\nwhen = "ax <"\n'
        + '[trigger.field]\non = "imu"\nwhen = "speed < 3.0"\n'
        + '[trigger.never]\non = "imu"\nwhen = "ax < -400.0"\n'
        + '[trigger.absent]\non = "gps"\nwhen = "lat > 0.0"\n'
    )
    with Recorder(robot.file) as recorder:
        until_judging(recorder)
        for ax in (0.0, -5.0, 0.0):
            recorder.log("imu", {"ax": ax, "ay": 0.2})
        recorder.flush(PATIENCE_S)
    assert [event.trigger for event in events_of(robot)] == ["brake"]
    said = doctor(robot)
    assert any("trigger typo cannot work" in text and verdict == "FAIL" for text, verdict in said.items())
    assert any("trigger field raised on 3 of 3 records: " in text and v == "WARN" for text, v in said.items())
    line = next(text for text, verdict in said.items() if verdict == "PASS")
    assert "raised 1 events; never true: field (0 of 3), never (0 of 3); without a record: absent (on gps)" in line


def test_an_always_true_trigger_is_stopped(robot: Robot) -> None:
    """Beyond its share of the hour it is muted, and doctor says so."""
    robot.write(
        policy='[trigger.all]\non = "imu"\nwhen = "true"\nmode = "level"\ncooldown = "0s"\nper_hour = 5\n'
        + '[event.all]\npre = "0s"\npost = "0s"'
    )
    with Recorder(robot.file) as recorder:
        until_judging(recorder)
        for number in range(500):
            recorder.log("imu", {"n": number, "x": 0.1})
        recorder.flush(PATIENCE_S)
    assert len(events_of(robot)) == 5
    assert any("is muted until" in text and verdict == "WARN" for text, verdict in doctor(robot).items())


def test_a_site_hears_what_became_of_triggers(robot: Robot, tmp_path: Path) -> None:
    """Without robot.toml here, the robot's last word in `meta` tells what raises and what never was true."""
    robot.write(policy=BRAKE + '[trigger.field]\non = "imu"\nwhen = "speed < 3.0"\n')
    with Recorder(robot.file) as recorder:
        until_judging(recorder)
        for ax in (0.0, -5.0, 0.0):
            recorder.log("imu", {"ax": ax, "ay": 0.2})
        recorder.flush(PATIENCE_S)
        evaluator = recorder._running.triggers
        memory = evaluator._remember()
        assert memory is not None
        early = replace(memory, at_us=memory.since_us + 59_000_000)
        assert not evaluator._report.tell(early), "a minute has not passed"
        assert evaluator._report.tell(replace(memory, at_us=memory.since_us + 60_000_000))
        recorder.flush(PATIENCE_S)
    (tmp_path / "token").write_text(robot.token)
    (tmp_path / "fleet.toml").write_text(
        f'[[robots]]\nmatch = "{robot.id}"\nsite = "edge"\nstore = "{robot.url}"\ntoken = {{ file = "token" }}\n'
        '[site.edge]\nstore = "http://127.0.0.1:9"\ntoken = { file = "token" }\n'
    )
    checks = asyncio.run(triggers(find_fleet(tmp_path / "fleet.toml"), robot.id))
    assert [check.verdict for check in checks] == ["WARN", "PASS"]
    assert "trigger field raised on 3 of 3 records: " in checks[0].text
    assert "raised 1 events; never true: field (0 of 3) (as its agent told " in checks[1].text


def test_a_stream_that_falls_silent_raises_an_event(robot: Robot) -> None:
    """The moment is when its silence was long enough."""
    robot.write(policy='[trigger.dark]\non = "cam/*"\ngap = "300ms"\nevent = "camera_gap"')
    with Recorder(robot.file) as recorder:
        until_judging(recorder)
        recorder.log("cam/front", np.zeros((4, 4, 3), np.uint8))
        until(lambda: len(events_of(robot)) == 1, "an event")
        recorder.flush(PATIENCE_S)
    [event] = events_of(robot)
    [record] = robot.records("media", "cam/front")
    assert event.kind == "camera_gap"
    assert abs(event.time_us - record.time_us - 300_000) < 1_000


def test_triggers_follow_the_policy_over_the_air(robot: Robot) -> None:
    """A new policy's rules judge streams that have long been logged, and those of the old one are silent."""
    robot.write(policy=BRAKE)
    with Recorder(robot.file) as recorder:
        until_judging(recorder)
        recorder.log("imu", {"ax": 0.0, "ay": 0.0})
        recorder.log("imu", {"ax": 0.0, "ay": 0.0})
        switch(recorder.live, '[trigger.turn]\non = "imu"\nwhen = "ay > 1.0"\ncooldown = "0s"')
        recorder.log("imu", {"ax": -9.0, "ay": 0.0})
        recorder.log("imu", {"ax": -9.0, "ay": 2.0})
        recorder.flush(PATIENCE_S)
    assert [event.trigger for event in events_of(robot)] == ["turn"]

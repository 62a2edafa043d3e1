"""What an agent measures of its machine and of itself: rows in the store that always ship, once per robot."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
from conftest import StoreServer

from fleetbox.errors import SettingsError
from fleetbox.measurements import AGENT_STREAM, HOST_STREAM, SITES
from fleetbox.settings import load_robot
from fleetbox_edge.recorder import Recorder
from fleetbox_edge.vitals import Clocks, Vitals

HEALTH = '[agent]\nhealth = "1 s"\n'


class FakeClock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.s = 100.0

    def clocks(self) -> Clocks:
        """Return it as vitals take it."""
        return Clocks(monotonic_s=lambda: self.s)


@pytest.fixture
def site(new_store_server: Callable[..., StoreServer]) -> StoreServer:
    """A site to report to."""
    return new_store_server()


def test_the_temperature_is_in_the_row_where_there_is_a_sensor(  # type: ignore[no-untyped-def]
    robot, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Machines of tests have none: the system's answer is that of a processor at 61.5 degrees beside a hot disk."""
    told = {"cpu_thermal": [SimpleNamespace(current=61.5)], "nvme": [SimpleNamespace(current=80.0)]}
    monkeypatch.setattr(psutil, "sensors_temperatures", lambda: told, raising=False)
    robot.write(HEALTH)
    with Recorder(robot.file) as recorder:
        vitals = Vitals(recorder, FakeClock().clocks())
        assert vitals.tick()
        vitals.close()
        recorder.flush(60)
    (host,) = robot.rows(HOST_STREAM)
    assert host["temp_c"] == 61.5


def test_a_row_of_each_stream_when_it_is_due(robot) -> None:  # type: ignore[no-untyped-def]
    """Rows come at once and then as often as asked, ship by themselves, and hold nothing that is no number."""
    robot.write(HEALTH, policy='[stream."**"]\nship = "never"\n')
    clock = FakeClock()
    with Recorder(robot.file) as recorder:
        vitals = Vitals(recorder, clock.clocks())
        assert [vitals.tick() for _ in range(3)] == [True, False, False]
        clock.s += 1.0
        assert vitals.tick()
        vitals.close()
        recorder.flush(60)
    (host, second), agent = robot.rows(HOST_STREAM), robot.rows(AGENT_STREAM)
    assert {"cpu", "ram", "disk", "disk_free_bytes", "load1"} <= host.keys()
    assert host.keys() - {"time_us"} <= {*SITES.fields}
    assert 0 < second["ram"] <= 100
    assert 0 < host["disk"] <= 100
    assert len(agent) == 2
    assert agent[0]["policy"] == 1.0
    assert "dead_letters" not in agent[0]  # without a site nobody refuses anything
    numbers = [value for row in (host, *agent) for value in row.values()]
    assert all(math.isfinite(value) for value in numbers)
    for stream in (HOST_STREAM, AGENT_STREAM):
        assert {record.labels["keep"] for record in robot.records("sensor", stream)} == {"1"}


def test_only_one_agent_measures(robot) -> None:  # type: ignore[no-untyped-def]
    """A second agent stays silent until the first has ended."""
    robot.write(HEALTH)
    clock = FakeClock()
    with Recorder(robot.file) as recorder:
        first, second = Vitals(recorder, clock.clocks()), Vitals(recorder, clock.clocks())
        assert first.tick()
        assert not second.tick()
        first.close()
        clock.s += 2.0
        assert second.tick()
        second.close()
        recorder.flush(60)
    assert len(robot.rows(HOST_STREAM)) == 2


def test_the_ring_and_the_uplink_are_told(robot, site: StoreServer) -> None:  # type: ignore[no-untyped-def]
    """With a site: what each ring holds and for how long, the cap, what the site would not take."""
    (robot.folder / "site.token").write_text(site.token)
    more = f'site = "{site.url}"\nsite_token = {{ file = "site.token" }}\nrelay = "http://127.0.0.1:0"\n'
    robot.write(f'{more}uplink = {{ max = "8 Mbit/s" }}\n{HEALTH}')
    clock = FakeClock()
    with Recorder(robot.file) as recorder:
        for number in range(50):
            recorder.log("imu", {"ax": number / 2})
        recorder.flush(60)
        vitals, deadline = Vitals(recorder, clock.clocks()), time.monotonic() + 60
        while "ring.sensor.used_bytes" not in (row := vitals.agent_row()):
            assert time.monotonic() < deadline, row
            time.sleep(0.05)
        clock.s += 1.0
        row = vitals.agent_row()
        assert row["uplink.max_bytes_s"] == 1_000_000
        assert row["uplink.bytes_s"] >= 0
        assert row["dead_letters"] == 0
        assert row["dropped"] == 0
        assert row["spool.bytes"] > 0
        assert row["spool.oldest_s"] < 600


def test_the_agent_verb_measures_and_a_program_does_not(robot) -> None:  # type: ignore[no-untyped-def]
    """`fleetbox agent run` logs by itself; a Recorder in somebody's program logs what it is given."""
    robot.write(HEALTH)
    with Recorder(robot.file) as recorder:
        recorder.log("imu", {"ax": 1.0})
        recorder.flush(60)
    assert robot.rows(HOST_STREAM) == []
    command = [sys.executable, "-m", "fleetbox", "agent", "run", "--config", str(robot.file)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as agent:
        try:
            deadline = time.monotonic() + 90
            while len(robot.rows(AGENT_STREAM)) < 2:
                assert time.monotonic() < deadline, "the agent logs nothing of itself"
                time.sleep(0.2)
            os.kill(agent.pid, signal.SIGTERM)
            assert agent.wait(60) == 0
        finally:
            agent.kill()


@pytest.mark.parametrize("text", ['"never"', '"0.1 s"', "15", '"15 parsecs"', "true"])
def test_a_health_that_is_no_time_is_a_fault(robot, text: str) -> None:  # type: ignore[no-untyped-def]
    """What is wrong is said with the key; "off" and times are taken."""
    robot.write(f"[agent]\nhealth = {text}\n")
    with pytest.raises(SettingsError, match=r"agent\.health"):
        load_robot(Path(robot.file))
    robot.write('[agent]\nhealth = "off"\n')
    assert load_robot(robot.file).agent.health is None

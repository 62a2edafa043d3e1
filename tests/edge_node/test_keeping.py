"""rec.keep and mark: what is kept of a moment, how fine, how far, and through a reboot in the middle of it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from fleetbox.clock import Clock
from fleetbox.errors import InputError
from fleetbox.events import Event, decode, read_events
from fleetbox_edge import duties
from fleetbox_edge.recorder import Recorder
from fleetbox_replication.labeler import Duty
from tests.conftest import StoreServer

from .conftest import Robot
from .test_duties import ask, until
from .test_marking import fleetbox
from .test_thinning import picture

POLICY = """
[stream."cam/*"]
preview = { size = "64x36", every = "100ms", ship = "event" }
[event.quiet]
resolution = "preview"
to = "edge"
streams = ["cam/*"]
"""
MARKER = """
import sys, time
from fleetbox_edge.recorder import Recorder
with Recorder(sys.argv[1]) as recorder:
    for number in range(100_000):
        recorder.log("log/app", f"{number}")
        if number == 20:
            recorder.mark("crash", pre="10s", post="120s")
            recorder.flush(60)
            print(time.time_ns() // 1000, flush=True)
        time.sleep(0.01)
"""


def events_of(robot: Robot) -> list[Event]:
    """Return the robot's events as they stand."""
    found: list[Event] = ask(robot, lambda store: read_events(store, ["meta"]))
    return found


def closed(robot: Robot) -> list[Event]:
    """Return the events whose window has been labelled."""
    return [event for event in events_of(robot) if event.state == "labelled"]


def keeps(robot: Robot, cls: str, stream: str) -> list[str]:
    """Return the `keep` of a stream's records, "" for none."""
    return [record.labels.get("keep", "") for record in robot.records(cls, stream)]


def test_keep_takes_an_interval_as_fine_as_it_is_told(robot: Robot) -> None:
    """At "preview" small frames and numbers are selected and the pictures stay; a stop in the past needs no waiting."""
    robot.write(policy=POLICY)
    with Recorder(robot.file) as recorder:
        for number in range(10):
            recorder.log("cam/front", picture())
            recorder.log("imu", {"ax": float(number)})
            time.sleep(0.02)
        recorder.flush(60)
        made = recorder.keep(
            ["cam/*", "imu"], start="-200s", stop="+0s", resolution="preview", note="slipped", kind="slip"
        )
        (event,) = until(lambda: closed(robot))
    assert (event.id, event.kind, event.note, event.resolution, event.to) == (
        made,
        "slip",
        "slipped",
        "preview",
        "cloud",
    )
    assert event.time_us - event.start_us >= 199_000_000
    assert event.stop_us - event.time_us < 1_000_000
    assert set(keeps(robot, "media", "cam/front")) == {""}
    assert set(keeps(robot, "small", "cam/front/preview")) == {"1"}
    assert set(keeps(robot, "sensor", "imu")) == {"1"}


def test_a_mark_follows_its_kinds_rule_unless_it_says_otherwise(robot: Robot) -> None:
    """How fine and how far come from the policy; the call and the command line may say otherwise."""
    robot.write(policy=POLICY)
    with Recorder(robot.file, duties=False) as recorder:
        recorder.mark("quiet")
        recorder.mark("quiet", resolution="original", to="cloud", streams="imu")
        recorder.flush(60)
        done = fleetbox(robot, "mark", "quiet", "--resolution", "thumbnail", "--json")
        bad = fleetbox(robot, "mark", "quiet", "--to", "moon")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["resolution"], told["to"], told["streams"]) == ("thumbnail", "edge", ["cam/*"])
    assert (bad.returncode, "moon" in bad.stderr) == (2, True)
    found = [(event.resolution, event.to, event.streams) for event in events_of(robot)]
    assert found[:2] == [("preview", "edge", ("cam/*",)), ("original", "cloud", ("imu",))]


@pytest.mark.parametrize(
    ("asked", "text"),
    [
        ({"start": "+5s", "stop": "-5s"}, "start lies behind stop"),
        ({"stop": "+10min"}, "ahead"),
        ({"start": "a while ago"}, "not understood"),
        ({"resolution": "tiny"}, "resolution 'tiny'"),
        ({"to": "moon"}, "to 'moon'"),
        ({"streams": []}, "no globs"),
    ],
)
def test_what_cannot_be_kept_is_refused(recorder: Recorder, asked: dict[str, object], text: str) -> None:
    """Nothing is written, and the error says what to give."""
    with pytest.raises(InputError, match=text):
        recorder.keep(**asked)  # type: ignore[arg-type]


def test_an_interval_in_the_past_has_its_moment_at_its_end(recorder: Recorder, robot: Robot) -> None:
    """The moment of what lies wholly in the past is the end that is nearest to now."""
    recorder.keep("imu", start=1_700_000_000, stop=1_700_000_060)
    recorder.flush(60)
    (record,) = robot.records("meta", "events")
    event = decode(record.data)
    assert (event.start_us, event.time_us, event.stop_us) == (
        17 * 10**14,
        17 * 10**14 + 6 * 10**7,
        17 * 10**14 + 6 * 10**7,
    )


def test_a_reboot_in_the_post_window(
    new_store_server: Callable[..., StoreServer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Program and store are killed right after a mark: after the restart the rest of the window is kept, too."""
    server = new_store_server()
    robot = Robot(tmp_path / "robot", server.url, server.token, "r-reboot")
    robot.write('chunk = "1s"')
    with subprocess.Popen([sys.executable, "-c", MARKER, str(robot.file)], stdout=subprocess.PIPE) as program:
        assert program.stdout is not None
        moment_us = int(program.stdout.readline())
        until(lambda: keeps(robot, "log", "log/app").count("1") > 20)
        program.send_signal(signal.SIGKILL)
        server.kill()
        program.wait()
    server.start()
    assert closed(robot) == []
    ahead_us = [0]  # of the labeler's clock: the window passes once all has happened in it, however slow the machine
    monkeypatch.setattr(duties, "Duty", partial(Duty, now_us=lambda: time.time_ns() // 1000 + ahead_us[0]))
    with Recorder(robot.file) as recorder:
        recorder.log("log/app", "after the reboot")
        recorder.log("log/app", "after the window", time=moment_us + 150_000_000)
        recorder.flush(60)
        ahead_us[0] = 300_000_000
        (event,) = until(lambda: closed(robot))
    records = robot.records("log", "log/app")
    inside = [record for record in records if event.start_us <= record.time_us <= event.stop_us]
    assert {record.data for record in inside} >= {b"0", b"after the reboot"}
    assert all(record.labels.get("keep") == "1" for record in inside)
    (late,) = (record for record in records if record.time_us > event.stop_us)
    assert "keep" not in late.labels
    assert event.labelled == {"log/app": len(inside)}
    assert robot.unnamed() == {}


def test_the_clock_is_set_within_a_window(robot: Robot, monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock goes minutes back after a mark: what is recorded then lies in the window, and is kept."""
    ahead_ns, ahead_us = [0], [-200_000_000]  # of the labeler's clock: the window stays open until all has happened
    clock = Clock(lambda: time.time_ns() + ahead_ns[0])
    monkeypatch.setattr(duties, "Duty", partial(Duty, now_us=lambda: time.time_ns() // 1000 + ahead_us[0]))
    with Recorder(robot.file, clock=clock) as recorder:
        recorder.log("log/app", "before")
        recorder.mark("crash", pre="300s", post="1s")
        session = recorder.stats().session
        ahead_ns[0] -= 200_000_000_000
        until(lambda: recorder.stats().session != session)
        recorder.log("log/app", "after the step")
        recorder.flush(60)
        ahead_us[0] = 200_000_000
        (event,) = until(lambda: closed(robot))
    assert event.labelled == {"log/app": 2}
    assert keeps(robot, "log", "log/app") == ["1", "1"]

"""The simulated robot is the same for the same seed, keeps its pace, and brakes when told."""

from __future__ import annotations

import threading
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleetbox import types
from fleetbox.clock import Clock
from fleetbox.errors import InputError
from fleetbox.types import images
from fleetbox_edge import simulate
from fleetbox_edge.simulate import camera, drive
from fleetbox_edge.simulate.schedule import ticks
from fleetbox_edge.simulate.verb import robot_file

T0_NS = 1_700_000_000_000_000_000


class Notebook:
    """Stand where a Recorder stands and write down what is logged."""

    def __init__(self) -> None:
        self.logged: list[tuple[str, int | None, Any]] = []

    def log(self, stream: str, value: Any, *, time: int | None = None) -> None:
        """Write down one sample."""
        self.logged.append((stream, time, value))


class HandClock:
    """Time that passes only when somebody waits, and `work_ns` with every look at it."""

    def __init__(self, work_ns: int = 0) -> None:
        self.now_ns = 0
        self.work_ns = work_ns
        self.clock = Clock(lambda: T0_NS, self._tick)

    def _tick(self) -> int:
        self.now_ns += self.work_ns
        return self.now_ns


class HandEvent(threading.Event):
    """Let the clock's time pass instead of waiting."""

    def __init__(self, hand: HandClock, stop_at_ns: int | None = None) -> None:
        super().__init__()
        self.hand = hand
        self.stop_at_ns = stop_at_ns

    def wait(self, timeout: float | None = None) -> bool:
        """Move the clock on by the time asked for."""
        self.hand.now_ns += round((timeout or 0) * 1e9)
        return self.stop_at_ns is not None and self.hand.now_ns >= self.stop_at_ns


def simulated(
    seconds: float | None, profile: Any = "small", **options: Any
) -> tuple[Notebook, simulate.SimulateReport]:
    """Run without waiting; health is made up."""
    notebook = Notebook()
    hand = HandClock(options.pop("work_ns", 0))
    stop = HandEvent(hand, options.pop("stop_at_ns", None))
    report = simulate.run(
        notebook, profile, seconds, clock=hand.clock, stop=stop, health=lambda: {"cpu_percent": 1.0}, **options
    )
    return notebook, report


@settings(deadline=None)  # a busy machine is no failure
@given(st.sampled_from(["small", "full"]), st.integers(0, 2**63), st.floats(0, 1e6), st.none() | st.floats(0, 1e6))
def test_the_same_seed_gives_the_same_samples(profile: Any, seed: int, t: float, brake_at: float | None) -> None:
    """Any time's samples, frames included, depend on nothing but the arguments."""
    first = simulate.build(profile, seed, t, brake_at)
    camera._background.cache_clear()

    assert simulate.build(profile, seed, t, brake_at) == first


def test_another_seed_gives_another_robot() -> None:
    """Numbers and frames differ between seeds."""
    one, other = simulate.build("full", 1, 3.0), simulate.build("full", 2, 3.0)

    assert one["pose"] != other["pose"]
    assert one["joint_states"] != other["joint_states"]
    assert one["cam/front"] != other["cam/front"]
    assert one["cam/front"] != one["cam/rear"]


def test_every_sample_can_be_logged() -> None:
    """Each stream's value has a type, encodes, and keeps its fields from sample to sample."""
    early, late = (simulate.build("full", 7, t, 2.0) for t in (0.0, 2.1))

    for name, value in early.items():
        kind = types.of(value)
        assert types.of(late[name]) is kind
        if isinstance(value, dict):
            assert late[name].keys() == value.keys()
    assert {name: len(early[name]) for name in ("pose", "joint_states", "force_torque")} == {
        "pose": 4,
        "joint_states": 12,
        "force_torque": 6,
    }
    assert images.decode(early["cam/front"]).shape == (360, 640, 3)


@pytest.mark.parametrize(("profile", "count"), [("small", 7), ("full", 31)])
def test_each_stream_has_its_rate(profile: Any, count: int) -> None:
    """Two seconds give twice each stream's rate, with stamps at exact multiples of its period."""
    notebook, report = simulated(2.0, profile, seed=1)

    per_stream = Counter(stream for stream, _, _ in notebook.logged)
    rates = {stream.name: stream.hz for stream in simulate.streams(profile)} | {"health": drive.HEALTH_HZ}

    assert per_stream == {name: round(2 * hz) for name, hz in rates.items()}
    assert report.streams == len(per_stream) == count
    for stream, time_us, _ in notebook.logged:
        ticks_since = ((time_us or 0) - report.start_us) * rates[stream] / 1e6
        assert abs(ticks_since - round(ticks_since)) < 1e-3
    assert report.rows + report.frames + report.lines == len(notebook.logged)
    assert report.frames == 60 * (1 if profile == "small" else 2)


def test_it_keeps_pace() -> None:
    """In real time, it takes as long as it simulates and is never late when the work is small."""
    _, report = simulated(3.0)

    assert report.elapsed_s == pytest.approx(3.0)
    assert (report.late, report.behind_s) == (0, 0.0)


def test_falling_behind_is_told_and_drops_nothing() -> None:
    """A robot too slow for its streams logs every sample with the stamp it was due at, and says how late it was."""
    on_time, prompt = simulated(1.0)
    slow, report = simulated(1.0, work_ns=5_000_000)

    assert [logged[::2] for logged in slow.logged] == [logged[::2] for logged in on_time.logged]
    stamps_us = [(time_us or 0) - report.start_us for _, time_us, _ in slow.logged]
    assert stamps_us == [(time_us or 0) - prompt.start_us for _, time_us, _ in on_time.logged]
    assert report.late > 100
    assert report.behind_s > 0.3
    assert report.elapsed_s > 1.3


def test_it_runs_until_told_to_stop() -> None:
    """Without a duration it ends when somebody says stop."""
    notebook, report = simulated(None, stop_at_ns=1_500_000_000)

    assert 1.4 < report.elapsed_s < 1.6
    assert len(notebook.logged) == report.rows + report.frames + report.lines > 500


def test_without_real_time_it_does_not_wait() -> None:
    """As fast as it goes, the stamps are those of real time."""
    waited, _ = simulated(1.0)
    hand = HandClock()
    notebook = Notebook()
    simulate.run(notebook, seconds=1.0, realtime=False, clock=hand.clock, health=lambda: {"cpu_percent": 1.0})

    assert notebook.logged == waited.logged
    assert hand.now_ns == 0


def test_a_hard_brake_shows_everywhere() -> None:
    """At the brake the acceleration, the force, the speed, the log and the picture change; before it, nothing does."""
    before, calm = simulate.build("small", 1, 4.0, 8.0), simulate.build("small", 1, 4.0)
    during, quiet = simulate.build("small", 1, 8.2, 8.0), simulate.build("small", 1, 8.2)

    assert before == calm
    assert during["imu"]["ax"] < -4 < quiet["imu"]["ax"]
    assert during["force_torque"]["fx"] > quiet["force_torque"]["fx"] + 5
    assert during["pose"]["v"] < quiet["pose"]["v"]
    assert during["log/robot"].startswith("WARN safety: hard brake")
    assert during["cam/front"] != quiet["cam/front"]


@settings(deadline=None)  # a busy machine is no failure
@given(st.floats(0, 60), st.floats(0.001, 0.02))
def test_motion_is_continuous(t: float, step: float) -> None:
    """The way never jumps, and the speed is its slope, through brake, halt and start."""
    one, two = (simulate.motion.motion(at, 20.0) for at in (t, t + step))

    assert -1e-9 <= two.way_m - one.way_m <= simulate.motion.CRUISE_M_S * step + 1e-9
    assert abs(two.way_m - one.way_m - step * (one.speed_m_s + two.speed_m_s) / 2) < 2e-3
    assert abs(two.speed_m_s - one.speed_m_s) <= simulate.motion.BRAKE_M_S2 * step + 1e-9


@settings(deadline=None)  # a busy machine is no failure
@given(st.lists(st.floats(0.1, 200), min_size=1, max_size=6), st.floats(0, 2))
def test_ticks_come_in_order_without_drift(rates_hz: list[float], seconds: float) -> None:
    """Ticks rise, and the n-th of a stream is at exactly n periods."""
    made = list(ticks(rates_hz, seconds))

    assert [tick.t for tick in made] == sorted(tick.t for tick in made)
    for index, hz in enumerate(rates_hz):
        own = [tick.t for tick in made if tick.index == index]
        assert own == [number / hz for number in range(len(own))]
        assert len(own) / hz >= seconds


def test_real_health_can_be_logged() -> None:
    """The host's health is a row of numbers."""
    assert types.of(drive.host_health()).name == "time_series"


def test_an_unknown_profile_is_refused() -> None:
    """A profile that does not exist is named with those that do."""
    with pytest.raises(InputError, match=r"(?s)'huge'.*small"):
        simulate.run(Notebook(), "huge")  # type: ignore[arg-type]


def test_a_robot_of_a_local_fleet_is_found(tmp_path: Path) -> None:
    """--robot finds the robot.toml beside fleet.toml, or says which robots there are."""
    (tmp_path / "r1").mkdir()
    (tmp_path / "r1" / "robot.toml").write_text("")

    assert robot_file("r1", tmp_path / "fleet.toml") == tmp_path / "r1" / "robot.toml"
    with pytest.raises(InputError, match="there are: r1"):
        robot_file("r2", tmp_path / "fleet.toml")
    with pytest.raises(InputError, match="which robot"):
        robot_file(None, tmp_path / "fleet.toml")

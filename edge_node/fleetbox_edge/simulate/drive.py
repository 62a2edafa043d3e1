"""Drive the simulated robot: sample every stream when it is due and log it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from fleetbox import types
from fleetbox.clock import Clock
from fleetbox_edge.simulate.health import host_health
from fleetbox_edge.simulate.schedule import ticks
from fleetbox_edge.simulate.streams import Profile, Scene, SimulatedStream, streams

LATE_S = 0.02  # two periods of the fastest stream: beyond it a sample counts as late
HEALTH_HZ = 1.0


class Recording(Protocol):
    """Take samples, as `fleetbox.Recorder` does."""

    def log(self, stream: str, value: Any, *, time: int | None = None) -> None:
        """Accept one sample; time in µs since the epoch."""


@dataclass(frozen=True, slots=True)
class SimulateReport:
    """Count what was logged: rows of numbers, frames, lines of text or JSON.

    late: samples logged more than 20 ms after they were due; behind_s: by how much at worst;
    elapsed_s: how long it took, of `seconds` planned. start_us: the epoch time of t = 0.
    """

    profile: str
    seed: int
    streams: int
    rows: int
    frames: int
    lines: int
    late: int
    behind_s: float
    elapsed_s: float
    start_us: int

    def as_dict(self) -> dict[str, Any]:
        """Return the report for JSON."""
        return asdict(self)


def run(
    target: Recording | str | Path,
    profile: Profile = "small",
    seconds: float | None = 10.0,
    seed: int = 0,
    brake_at: float | None = None,
    realtime: bool = True,
    *,
    clock: Clock | None = None,
    stop: threading.Event | None = None,
    health: Callable[[], Any] = host_health,
) -> SimulateReport:
    """Log a simulated robot's streams for `seconds` (None: until `stop` is set) and report what was logged.

    target: a Recorder, or the path of a robot.toml to open one from. The same seed gives the same
    values, frames and spacing; only `health` measures the real host. brake_at: when it brakes
    hard, in s from the start. realtime: log each sample when it is due; a robot that falls behind
    drops nothing and reports it. Otherwise as fast as it goes, with the stamps it would have had.
    """
    if isinstance(target, str | Path):
        from fleetbox_edge.recorder import Recorder

        with Recorder(target) as recorder:
            return run(recorder, profile, seconds, seed, brake_at, realtime, clock=clock, stop=stop, health=health)
    every = (*streams(profile), SimulatedStream("health", HEALTH_HZ, lambda _t, _scene: health()))
    drive = _Drive(target, clock or Clock(), stop or threading.Event(), realtime)
    drive.through(every, Scene(seed, brake_at), seconds)
    return SimulateReport(
        profile=profile,
        seed=seed,
        streams=len(every),
        rows=drive.rows,
        frames=drive.frames,
        lines=drive.lines,
        late=drive.late,
        behind_s=round(drive.behind_s, 3),
        elapsed_s=round(drive.elapsed_s(), 3),
        start_us=drive.start_us,
    )


class _Drive:
    """Keep time and count."""

    def __init__(self, target: Recording, clock: Clock, stop: threading.Event, realtime: bool) -> None:
        self._target = target
        self._clock = clock
        self._stop = stop
        self._realtime = realtime
        self.rows = self.frames = self.lines = self.late = 0
        self.behind_s = 0.0
        self.start_us = clock.now_us()

    def through(self, every: tuple[SimulatedStream, ...], scene: Scene, seconds: float | None) -> None:
        """Sample and log until the time is over or somebody says stop."""
        for stream in every:
            stream.sample(
                0.0, scene
            )  # loads OpenCV and draws the backgrounds: a third of a second, not on the schedule
        self.start_us = self._clock.now_us()
        for tick in ticks([stream.hz for stream in every], seconds):
            if self._stop.is_set() or (self._realtime and not self._wait_until(tick.t)):
                return
            stream = every[tick.index]
            value = stream.sample(tick.t, scene)
            self._target.log(stream.name, value, time=self.start_us + round(tick.t * 1e6))
            self._count(value)
        if self._realtime and seconds is not None:
            self._wait_until(seconds)

    def elapsed_s(self) -> float:
        """Return seconds since the start."""
        return (self._clock.now_us() - self.start_us) / 1e6

    def _wait_until(self, t: float) -> bool:
        """Wait until t is due; return False when told to stop meanwhile."""
        behind_s = self.elapsed_s() - t
        if behind_s < 0:
            return not self._stop.wait(-behind_s)
        self.behind_s = max(self.behind_s, behind_s)
        self.late += behind_s > LATE_S
        return True

    def _count(self, value: Any) -> None:
        kind = types.of(value).name
        self.rows += kind == "time_series"
        self.frames += kind == "images"
        self.lines += kind not in ("time_series", "images")

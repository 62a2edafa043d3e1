"""List the simulated robot's streams: what each measures, how often, for the small and the full profile."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from fleetbox.errors import InputError
from fleetbox_edge.simulate import camera
from fleetbox_edge.simulate.motion import force_torque, imu, joints, motion, noise, pose

Profile = Literal["small", "full"]


@dataclass(frozen=True, slots=True)
class Scene:
    """Hold what all samples depend on besides the time: the seed, and when the robot brakes hard, in s."""

    seed: int
    brake_at: float | None = None


Sample = Callable[[float, Scene], Any]


@dataclass(frozen=True, slots=True)
class SimulatedStream:
    """Hold one stream: its name, its rate in Hz, and what it measures at t seconds (None: nothing just then)."""

    name: str
    hz: float
    sample: Sample


def streams(profile: Profile) -> tuple[SimulatedStream, ...]:
    """Return the streams of a profile: 6 for small, 30 for full; the host's health is one more, and not simulated."""
    if profile == "small":
        return _SMALL
    if profile == "full":
        return (*_SMALL, *_MORE)
    raise InputError(f"profile {profile!r} is not known", "use 'small' or 'full'")


def build(profile: Profile, seed: int, t: float, brake_at: float | None = None) -> dict[str, Any]:
    """Return every stream's sample at t seconds; the same arguments always give the same values and frames."""
    scene = Scene(seed, brake_at)
    return {stream.name: stream.sample(t, scene) for stream in streams(profile)}


def _text(t: float, scene: Scene) -> str:
    """Return the log line at t: one a second, and what a safety controller says in the second of the brake."""
    now = motion(t, scene.brake_at)
    if scene.brake_at is not None and 0 <= t - scene.brake_at < 1:
        return f"WARN safety: hard brake, obstacle ahead, decelerating {-now.acceleration_m_s2:.1f} m/s2"
    return f"INFO nav: {now.way_m:.1f} m driven, {now.speed_m_s:.2f} m/s"


def _wobble(*names: str, around: float = 0.0, by: float = 1.0) -> Sample:
    """Return a sample whose fields wobble around a value."""

    def sample(t: float, scene: Scene) -> dict[str, float]:
        return {name: around + by * noise(t, scene.seed, f"{name}/{around}") for name in names}

    return sample


def _ranges(t: float, scene: Scene) -> dict[str, Any]:
    """Return a lidar's 180 distances in m, one every two degrees."""
    shift = motion(t, scene.brake_at).way_m / 10
    return {"angle_min": -math.pi, "angle_step": math.pi / 90, "ranges": [
        4.0 + 1.5 * math.sin(3 * beam * math.pi / 90 + shift) for beam in range(180)
    ]}  # fmt: skip


def _battery(t: float, scene: Scene) -> dict[str, float]:
    return {"percent": max(0.0, 96.0 - t / 120), "volts": 50.4 - t / 4_000 + 0.1 * noise(t, scene.seed, "volts")}


def _odometry(t: float, scene: Scene) -> dict[str, Any]:
    now = motion(t, scene.brake_at)
    return {"way": now.way_m, "v": now.speed_m_s, "moving": now.speed_m_s > 0.01}


def _goal(t: float, scene: Scene) -> dict[str, Any]:
    number = int(t // 30)
    return {"goal": number, "route": [{"node": f"n{(number + step) % 12}"} for step in range(3)]}


_SMALL = (
    SimulatedStream("pose", 100, lambda t, scene: pose(t, scene.seed, scene.brake_at)),
    SimulatedStream("joint_states", 100, lambda t, scene: joints(t, scene.seed)),
    SimulatedStream("imu", 100, lambda t, scene: imu(t, scene.seed, scene.brake_at)),
    SimulatedStream("force_torque", 30, lambda t, scene: force_torque(t, scene.seed, scene.brake_at)),
    SimulatedStream("cam/front", camera.FPS, lambda t, scene: camera.frame(t, scene.seed, scene.brake_at)),
    SimulatedStream("log/robot", 1, _text),
)

_MORE = (
    SimulatedStream("cam/rear", camera.FPS, lambda t, scene: camera.frame(t, scene.seed, scene.brake_at, "cam/rear")),
    SimulatedStream("lidar/ranges", 10, _ranges),
    SimulatedStream("battery", 1, _battery),
    *(SimulatedStream(f"temp/motor{axis}", 1, _wobble("celsius", around=40.0 + axis, by=2.0)) for axis in range(1, 7)),
    *(SimulatedStream(f"current/motor{axis}", 20, _wobble("amps", around=float(axis), by=0.5)) for axis in range(1, 7)),
    SimulatedStream("wheel/left", 50, _odometry),
    SimulatedStream("wheel/right", 50, _odometry),
    SimulatedStream("odometry", 50, _odometry),
    SimulatedStream("gps", 5, _wobble("lat", "lon", "alt", around=47.0, by=1e-5)),
    SimulatedStream("magnetometer", 20, _wobble("mx", "my", "mz", by=3e-5)),
    SimulatedStream("barometer", 5, _wobble("pascal", around=101_325.0, by=20.0)),
    SimulatedStream("command", 20, _wobble("v", "w", around=0.5, by=0.1)),
    SimulatedStream("gripper", 30, _wobble("width", "force", around=0.04, by=0.002)),
    SimulatedStream("nav/goal", 1, _goal),
)

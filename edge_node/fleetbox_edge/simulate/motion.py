"""Compute where the simulated robot is and how it moves at any time t: pure functions, no state."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from functools import lru_cache

CRUISE_M_S = 3.0  # an order picker's pace
BRAKE_M_S2 = 6.0  # clearly beyond the 1.5 m/s² such vehicles brake with in normal driving
HOLD_S = 1.0  # standing still after the brake
RESUME_M_S2 = 1.5
RADIUS_M = 12.0  # of the circle it drives
GRAVITY_M_S2 = 9.81


@dataclass(frozen=True, slots=True)
class Motion:
    """Hold the way along the path in m, speed in m/s and acceleration in m/s²."""

    way_m: float
    speed_m_s: float
    acceleration_m_s2: float


def motion(t: float, brake_at: float | None) -> Motion:
    """Return the motion t seconds after the start; brake_at, in s, is when the robot brakes hard."""
    if brake_at is None or t < brake_at:
        return Motion(CRUISE_M_S * t, CRUISE_M_S, 0.0)
    since, braked = t - brake_at, CRUISE_M_S * brake_at
    stopping = CRUISE_M_S / BRAKE_M_S2
    if since < stopping:
        way = CRUISE_M_S * since - BRAKE_M_S2 * since**2 / 2
        return Motion(braked + way, CRUISE_M_S - BRAKE_M_S2 * since, -BRAKE_M_S2)
    stopped = braked + CRUISE_M_S * stopping / 2
    since -= stopping
    if since < HOLD_S:
        return Motion(stopped, 0.0, 0.0)
    since -= HOLD_S
    resuming = CRUISE_M_S / RESUME_M_S2
    if since < resuming:
        return Motion(stopped + RESUME_M_S2 * since**2 / 2, RESUME_M_S2 * since, RESUME_M_S2)
    return Motion(stopped + CRUISE_M_S * (since - resuming / 2), CRUISE_M_S, 0.0)


def pose(t: float, seed: int, brake_at: float | None) -> dict[str, float]:
    """Return x, y in m, yaw in rad and v in m/s on a circle whose start the seed chooses."""
    now = motion(t, brake_at)
    angle = _phase(seed, "pose", 0) + now.way_m / RADIUS_M
    return {
        "x": RADIUS_M * math.cos(angle),
        "y": RADIUS_M * math.sin(angle),
        "yaw": math.remainder(angle + math.pi / 2, math.tau),
        "v": now.speed_m_s,
    }


def joints(t: float, seed: int) -> dict[str, float]:
    """Return six joint positions in rad (q1..q6) and velocities in rad/s (dq1..dq6), their exact derivatives."""
    row = {}
    for joint in range(1, 7):
        rate, phase = 0.4 + 0.15 * joint, _phase(seed, "joints", joint)
        row[f"q{joint}"] = 0.8 * math.sin(rate * t + phase)
    for joint in range(1, 7):
        rate, phase = 0.4 + 0.15 * joint, _phase(seed, "joints", joint)
        row[f"dq{joint}"] = 0.8 * rate * math.cos(rate * t + phase)
    return row


def imu(t: float, seed: int, brake_at: float | None) -> dict[str, float]:
    """Return accelerations ax, ay, az in m/s² and rates gx, gy, gz in rad/s; a hard brake rings in ax, az and gy."""
    now = motion(t, brake_at)
    ring = 0.0
    if brake_at is not None and t >= brake_at:
        ring = 1.5 * math.exp(-6 * (t - brake_at)) * math.sin(40 * (t - brake_at))
    return {
        "ax": now.acceleration_m_s2 + ring + 0.15 * noise(t, seed, "ax"),
        "ay": now.speed_m_s**2 / RADIUS_M + 0.15 * noise(t, seed, "ay"),
        "az": GRAVITY_M_S2 + 0.8 * ring + 0.2 * noise(t, seed, "az"),
        "gx": 0.02 * noise(t, seed, "gx"),
        "gy": 0.2 * ring + 0.02 * noise(t, seed, "gy"),
        "gz": now.speed_m_s / RADIUS_M + 0.02 * noise(t, seed, "gz"),
    }


def force_torque(t: float, seed: int, brake_at: float | None) -> dict[str, float]:
    """Return forces fx, fy, fz in N and torques tx, ty, tz in N·m at the wrist, carrying 2 kg."""
    now = motion(t, brake_at)
    names = ("fx", "fy", "fz", "tx", "ty", "tz")
    row = {name: (0.8 if name[0] == "f" else 0.05) * noise(t, seed, name) for name in names}
    row["fx"] -= 2.0 * now.acceleration_m_s2
    row["fz"] -= 2.0 * GRAVITY_M_S2
    return row


def noise(t: float, seed: int, name: str) -> float:
    """Return a wobble between -1 and 1 that depends on nothing but t, seed and name."""
    a, b, c = (_phase(seed, name, part) for part in range(3))
    return (math.sin(61.7 * t + a) + math.sin(137.3 * t + b) + math.sin(291.1 * t + c)) / 3


@lru_cache(maxsize=4_096)  # a few per stream and seed
def _phase(seed: int, name: str, part: int) -> float:
    return random.Random(f"{seed}/{name}/{part}").uniform(0, math.tau)

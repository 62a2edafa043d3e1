"""Play a labelled shift: a robot at work, with moments and decoys at known times, as records a store holds."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fleetbox import chunks
from fleetbox.events import Event, new_event
from fleetbox.records import Draft
from fleetbox_edge.simulate.motion import noise

CHUNK_S = 5
LASTS_S = {
    "hard_brake": 0.5, "collision": 0.06, "stuck": 6.0, "left_aisle": 4.0, "low_battery": 30.0, "camera_gap": 10.0,
    "soft_brake": 0.5, "pothole": 0.1, "waits": 1.0, "near_the_line": 4.0, "frame_late": 1.0, "battery_glitch": 1.0,
}  # fmt: skip
HZ = {"imu": 50, "pose": 10, "battery": 1}
LINES = {"gripper_fault": "ERROR gripper lost its grip", "gripper_retry": "WARN gripper closes again"}


@dataclass(frozen=True, slots=True)
class Shift:
    """Hold what happens when, in seconds since the start: kind -> times, of moments and of what only looks alike."""

    seed: int
    seconds: int
    moments: Mapping[str, tuple[float, ...]]
    decoys: Mapping[str, tuple[float, ...]]

    def during(self, t: float, *kinds: str) -> bool:
        """Tell whether something of these kinds goes on at t."""
        starts = ((kind, at) for kind in kinds for at in (*self.moments.get(kind, ()), *self.decoys.get(kind, ())))
        return any(at <= t < at + LASTS_S[kind] for kind, at in starts)


@dataclass(frozen=True, slots=True)
class Camera:
    """Say how many frames a second there are, and what each is: bytes of any kind, only their number counts here."""

    hz: float = 4.0
    frame: bytes = bytes(20_000)


def load_shift(path: Path) -> Shift:
    """Read a scenario file."""
    raw = tomllib.loads(path.read_text(encoding="utf-8"))
    return Shift(int(raw["seed"]), int(raw["seconds"]), _times(raw["moment"]), _times(raw["decoy"]))


def marks(shift: Shift, start_us: int, robot: str) -> list[Event]:
    """Return what a person would have marked, as closed events: nobody is to label anything for them."""
    found = []
    for kind, times in shift.moments.items():
        for at in times:
            time_us = start_us + round(at * 1e6)
            event = Event("", kind, robot, time_us, time_us, time_us, state="labelled", by="a person")
            found.append(new_event(event, lambda _bits: 0))
    return sorted(found, key=lambda event: event.time_us)


def drafts(shift: Shift, start_us: int, robot: str, camera: Camera | None = None) -> Iterator[tuple[str, Draft]]:
    """Yield (class, record) of the whole shift in order of time; `start_us` is its first stamp."""
    camera = camera or Camera()
    for begin in range(0, shift.seconds, CHUNK_S):
        stop = min(begin + CHUNK_S, shift.seconds)
        for stream, hz in HZ.items():
            times = [number / hz for number in range(begin * hz, stop * hz)]
            yield "sensor", _chunk(stream, [(t, _row(shift, stream, t)) for t in times], start_us, robot)
        for number in range(math.ceil(begin * camera.hz), math.ceil(stop * camera.hz)):
            t = number / camera.hz
            if not shift.during(t, "camera_gap", "frame_late"):
                labels = {"robot": robot, "type": "images"}
                yield "media", Draft("cam/front", start_us + round(t * 1e6), camera.frame, labels, "image/jpeg")
        for t, line in _lines(shift, begin, stop):
            labels = {"robot": robot, "type": "log"}
            yield "log", Draft("log/app", start_us + round(t * 1e6), line.encode(), labels, "text/plain")


def _row(shift: Shift, stream: str, t: float) -> dict[str, float]:
    if stream == "imu":
        return _imu(shift, t)
    if stream == "pose":
        return _pose(shift, t)
    low = 12.0 if shift.during(t, "low_battery") else 0.0 if shift.during(t, "battery_glitch") else None
    return {"percent": 80.0 - 40.0 * t / shift.seconds if low is None else low, "amps": 4.0}


def _imu(shift: Shift, t: float) -> dict[str, float]:
    ax = -6.0 if shift.during(t, "hard_brake") else -2.5 if shift.during(t, "soft_brake") else 0.0
    ay = 9.0 if shift.during(t, "collision") else 0.0
    az = 4.0 if shift.during(t, "pothole") else 0.0
    return {
        "ax": ax + 0.3 * noise(t, shift.seed, "ax"),
        "ay": ay + 0.3 * noise(t, shift.seed, "ay"),
        "az": 9.81 + az + 0.3 * noise(t, shift.seed, "az"),
    }


def _pose(shift: Shift, t: float) -> dict[str, float]:
    y = 4.0 if shift.during(t, "left_aisle") else 2.8 if shift.during(t, "near_the_line") else 0.0
    stands = shift.during(t, "stuck", "waits")
    return {"x": 18.0 * math.sin(t / 60), "y": y, "v": 0.0 if stands else 1.2, "v_set": 1.2}


def _lines(shift: Shift, begin: int, stop: int) -> Iterator[tuple[float, str]]:
    said = [(begin + 0.25, f"INFO order {begin // 60} goes on")]
    for kind, line in LINES.items():
        times = (*shift.moments.get(kind, ()), *shift.decoys.get(kind, ()))
        said += [(t, line) for t in times if begin <= t < stop]
    return iter(sorted(said))


def _chunk(stream: str, rows: list[tuple[float, dict[str, float]]], start_us: int, robot: str) -> Draft:
    times_us = [start_us + round(t * 1e6) for t, _ in rows]
    data = chunks.encode(times_us, {name: [row[name] for _, row in rows] for name in rows[0][1]})
    labels = {"robot": robot, "type": "time_series", "rows": str(len(rows)), "t_end": str(times_us[-1])}
    return Draft(stream, times_us[0], data, labels, chunks.CONTENT_TYPE)


def _times(tables: list[dict[str, Any]]) -> dict[str, tuple[float, ...]]:
    return {table["kind"]: tuple(float(at) for at in table["at"]) for table in tables}

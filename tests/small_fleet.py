"""A small fleet with faults, as line protocol in the shape of fleetbox.measurements: 23 robots, two sites, one hour."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

from fleetbox.measurements import (
    AGENT_STREAM,
    BOOKS,
    DEAD_LETTERS,
    EVENTS,
    HOST_STREAM,
    LOGS,
    RELAY,
    ROBOTS,
    ROLLUPS,
    SITES,
    STREAMS,
    Measurement,
)
from fleetbox.scalars import ScalarStore, Series
from fleetbox.settings import Influx

MINUTES = 60
WELL = [f"r{number}" for number in range(1, 23)]  # r22 has `trouble` 22: two more than the worst 20 hold
SICK = "sick"  # lost records, dead letters, a full disk, a slow camera
ROBOTS_HERE = (*WELL, SICK)
Fields = Mapping[str, float | int | bool | str]
Got = TypeVar("Got")


@dataclass(frozen=True, slots=True)
class Loaded:
    """An InfluxDB whose hour before `stop_s` the small fleet has filled."""

    influx: Influx
    stop_s: int

    def ask(self, influxql: str) -> list[Series]:
        """Run a query."""
        return self.run(lambda scalars: scalars.query(influxql))

    def run(self, what: Callable[[ScalarStore], Awaitable[Got]]) -> Got:
        """Do something with the bucket."""

        async def go() -> Got:
            async with ScalarStore(self.influx) as scalars:
                return await what(scalars)

        return asyncio.run(go())


def lines(stop_s: int) -> Iterator[str]:
    """Yield the hour before `stop_s`, the last point 30 s before it."""
    stop_s -= stop_s % 60
    for minute in range(MINUTES):
        at_s = stop_s - 60 * (MINUTES - minute)
        yield from _sites(at_s)
        for rank, robot in enumerate(ROBOTS_HERE):
            yield from _robot(robot, rank, minute, at_s)
    yield from _events(stop_s)
    yield from _logs(stop_s)
    yield from _seconds(stop_s)


def _robot(robot: str, rank: int, minute: int, at_s: int) -> Iterator[str]:
    sick = robot == SICK
    here = {"robot": robot, "site": "edge-1"}
    for half in (0, 30):
        yield point(
            ROBOTS,
            here,
            {
                "trouble": 1000 if sick else rank,
                "recording": not sick,
                "age_s": 900.0 if sick else 3.0,
                "lag_s": 120.0 if sick else 1.5,
                "held_h": 0.5 if sick else 30.0 + rank,
                "waiting": 40 if sick else 0,
                "refused": 2 if sick else 0,
                "lost": 5 if sick else 0,
                "unexplained": 1 if sick else 0,
                "dropped": 7 if sick else 0,
                "streams": 3,
                "streams_well": 2 if sick else 3,
                "dead_letters": 2 if sick else 0,
            },
            at_s + half,
        )
    for stream, hz in (("imu", 100.0), ("cam/front", 30.0)):
        seen = hz / 2 if sick and stream == "cam/front" else hz
        fields = {"hz": seen, "expect_hz": hz, "bytes_s": seen * 10, "age_s": 2.0}
        yield point(STREAMS, {**here, "stream": stream}, fields, at_s)
    yield point(STREAMS, {**here, "stream": "gps"}, {"hz": 1.0, "bytes_s": 8.0, "age_s": 2.0}, at_s)  # nothing expected
    for hop, share in (("edge-1", 1.0), ("cloud", 0.5)):
        yield point(BOOKS, {**here, "site": hop, "stream": "imu", "class": "sensor"}, _books(sick, share, hop), at_s)
        yield point(BOOKS, {**here, "site": hop, "stream": "cam/front", "class": "media"}, _books(False, 1, hop), at_s)
    held = sick and minute % 2 == 0
    fields = {
        "bytes_s": 1000.0,
        "records_s": 2.0,
        "held": held,
        "missing": 3 if sick else 0,
        "copied": 3 if sick else 0,
    }
    yield point(RELAY, here, fields, at_s)
    if sick:
        yield point(DEAD_LETTERS, {**here, "reason": "too large"}, {"letters": 2, "oldest_s": 60.0 * minute}, at_s)


def _books(sick: bool, share: float, hop: str) -> Fields:
    lost = 1 if sick and hop == "edge-1" else 0
    recorded = 10 if hop == "edge-1" else 0
    return {
        "recorded": recorded,
        "selected": 6,
        "kept_on_robot": recorded - 6 if recorded else 0,
        "arrived": 6 - 2 * lost,
        "waiting": 0,
        "refused": 0,
        "lost": lost,
        "unexplained": lost,
        "dropped": 0,
        "missing": 0,
    }


def _sites(at_s: int) -> Iterator[str]:
    for number, site in enumerate(("edge-1", "cloud")):
        fields = {
            "cpu": 20.0 + number,
            "ram": 40.0,
            "disk": 95.0 if site == "edge-1" else 50.0,
            "disk_free_bytes": 5_000_000_000,
            "temp_c": 55.0,
            "load1": 0.7,
            "points_s": 1200.0,
            "refused": 4 if site == "edge-1" else 0,
            "store_bytes": 7_000_000_000,
        }
        yield point(SITES, {"site": site}, fields, at_s)


def _events(stop_s: int) -> Iterator[str]:
    for number in range(6):
        kind = ("hard_brake", "mark")[number % 2]
        at_s = stop_s - 600 * (number + 1) + 60
        fields: dict[str, float | int | bool | str] = {
            "id": f"e{number}",
            "note": f'brake "{number}"',
            "severity": "warning",
            "by": "trigger" if number % 2 == 0 else "ann",
            "trigger": "brake" if number % 2 == 0 else "",
            "state": "labelled",
            "start_us": (at_s - 10) * 1_000_000,
            "stop_us": (at_s + 5) * 1_000_000,
            "duration_s": 15.0,
            "labelled": 30 + number,
        }
        if number < 3:  # not every event knows where it was
            fields |= {"lat": 48.1 + number / 100, "lon": 11.5}
        yield point(EVENTS, {"robot": "r1" if number < 4 else SICK, "site": "edge-1", "kind": kind}, fields, at_s)


def _logs(stop_s: int) -> Iterator[str]:
    for number in range(5):
        fields = {"stream": "log/nav", "level": "ERROR" if number == 4 else "INFO", "text": f"line {number}"}
        yield point(LOGS, {"robot": "r1", "site": "edge-1"}, fields, stop_s - 50 + 10 * number)


def _seconds(stop_s: int) -> Iterator[str]:
    """Yield roll-ups of r1's streams: the last ten minutes of `imu`, the hour of what its agent tells."""
    for second in range(600):
        at_s = stop_s - 600 + second
        yield _rollup("imu", {"ax": (second / 10 - 1, second / 10, second / 10 + 1), "ay": (0.0, 0.0, 0.0)}, at_s)
    for quarter in range(0, 3600, 15):
        at_s = stop_s - 3600 + quarter
        for robot in ("r1", SICK):
            cpu = 95.0 if robot == SICK else 12.0
            host = {"cpu": cpu, "ram": 30.0, "disk": 97.0 if robot == SICK else 41.0, "temp_c": 60.0, "load1": 0.5}
            flat = {name: (value, value, value) for name, value in {**host, "disk_free_bytes": 9e9}.items()}
            yield _rollup(HOST_STREAM, flat, at_s, robot)
            agent = {
                **{f"ring.{name}.used_bytes": 1e9 for name in ("sensor", "media", "small", "log")},
                **{f"ring.{name}.held_h": 12.0 for name in ("sensor", "media", "small", "log")},
                "spool.bytes": 4096.0,
                "spool.oldest_s": 2.0,
                "uplink.bytes_s": 5e5,
                "uplink.max_bytes_s": 1e6,
                "dead_letters": 0.0,
                "dropped": 0.0,
            }
            yield _rollup(AGENT_STREAM, {name: (value, value, value) for name, value in agent.items()}, at_s, robot)


def _rollup(stream: str, fields: Mapping[str, tuple[float, float, float]], at_s: int, robot: str = "r1") -> str:
    told: dict[str, float | int | bool | str] = {}
    for name, (least, mean, most) in fields.items():
        values = dict(zip(ROLLUPS, (least, mean, most, mean, 100.0), strict=True))
        told |= {f"{name}.{what}": value for what, value in values.items()}
    return _line(stream, {"robot": robot, "site": "edge-1"}, told, at_s)


def point(measurement: Measurement, tags: Mapping[str, str], fields: Fields, at_s: int) -> str:
    """Return a point; its tags and fields must be those that the measurement names."""
    assert set(tags) == set(measurement.tags), measurement.name
    assert set(fields) <= set(measurement.fields), measurement.name
    return _line(measurement.name, tags, fields, at_s)


def _line(name: str, tags: Mapping[str, str], fields: Fields, at_s: int) -> str:
    tag_text = "".join(f",{key}={_plain(value)}" for key, value in tags.items())
    field_text = ",".join(f"{_plain(key)}={_value(value)}" for key, value in fields.items())
    return f"{_plain(name)}{tag_text} {field_text} {at_s * 1_000_000}"


def _plain(text: str) -> str:
    return text.replace(",", r"\,").replace("=", r"\=").replace(" ", r"\ ")


def _value(value: float | int | bool | str) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return f"{value}i" if isinstance(value, int) else repr(value)

"""A fleet of three robots on real stores, for notebooks and docs/exit.md: what `fleetbox simulate` records."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

import pytest

from fleetbox import events
from fleetbox.blobs import Store
from fleetbox.clock import Clock
from fleetbox.events import Event
from fleetbox.naming import site_bucket
from fleetbox.records import Draft
from fleetbox_edge.simulate.streams import Scene, SimulatedStream, streams
from fleetbox_replication.census import Census, CensusScope

from ..query.conftest import Tiers, blob, chunk, patient, three_stores

__all__ = ["patient", "three_stores"]

ROBOTS = ("r1", "r2", "r3")
SECOND = 1_000_000
LONG_S = 12
BRAKES_S = {"r1": 6.0, "r2": 7.0, "r3": 5.0}
HOLE_S = range(1, 3)  # seconds whose imu r2 never sent
CAMERA_HZ = 10.0  # a third of what it does: drawing pictures takes the time here
UNITS = {"ax": "m/s²", "ay": "m/s²", "az": "m/s²", "gx": "rad/s", "gy": "rad/s", "gz": "rad/s"}
CLASSES = {"cam/front": "media", "log/robot": "log"}


@pytest.fixture(scope="session")
def small_fleet(three_stores: dict, tmp_path_factory: pytest.TempPathFactory) -> Tiers:  # type: ignore[type-arg]
    """Twelve seconds of three robots that each brake hard once, at the edge and, but for pictures, at the cloud."""
    tiers = Tiers(tmp_path_factory.mktemp("fleet"), three_stores)
    start_us = (time.time_ns() // 1000) // SECOND * SECOND - 60 * SECOND
    for seed, robot in enumerate(ROBOTS):
        drafts = _recorded(robot, seed, start_us)
        for cls, some in drafts.items():
            for tier in ("edge",) if cls == "media" else ("edge", "cloud"):
                tiers.put(tier, cls, some, robot)
        for stream in streams("small"):
            if CLASSES.get(stream.name, "sensor") == "sensor":
                _describe(tiers, robot, stream)
    asyncio.run(_tell(tiers))
    return tiers


@pytest.fixture
def at_home(small_fleet: Tiers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of one's own with the fleet's settings found as people have them found, and its path."""
    monkeypatch.setenv("FLEETBOX_FLEET", str(small_fleet.write_fleet(tmp_path, ROBOTS)))
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=":")
    for name in ("XDG_CACHE_HOME", "IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "MPLCONFIGDIR"):
        monkeypatch.setenv(name, str(tmp_path / "cache" / name.lower()))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _recorded(robot: str, seed: int, start_us: int) -> dict[str, list[Draft]]:
    """Return what a robot recorded, by class: a chunk or, of pictures and lines, a record for each sample."""
    scene = Scene(seed, BRAKES_S[robot])
    found: dict[str, list[Draft]] = {"meta": [_brake(robot, start_us)]}
    labels = {"keep": "1", "run": str(seed + 7)}
    for stream in streams("small"):
        cls = CLASSES.get(stream.name, "sensor")
        for second in range(LONG_S):
            if (robot, stream.name) == ("r2", "imu") and second in HOLE_S:
                continue
            hz = CAMERA_HZ if cls == "media" else stream.hz
            ticks = [second + n / hz for n in range(round(hz))]
            times = [start_us + round(t * SECOND) for t in ticks]
            samples = [stream.sample(t, scene) for t in ticks]
            if cls == "sensor":
                columns = {name: [one[name] for one in samples] for name in samples[0]}
                found.setdefault(cls, []).append(chunk(stream.name, times, columns, robot=robot, **labels))
                continue
            kind = "images" if cls == "media" else "log"
            bodies = (one.encode() if isinstance(one, str) else one for one in samples)
            found.setdefault(cls, []).extend(
                blob(stream.name, at, body, robot=robot, kind=kind, **labels)
                for at, body in zip(times, bodies, strict=True)
            )
    return found


def _brake(robot: str, start_us: int) -> Draft:
    at = start_us + round(BRAKES_S[robot] * SECOND)
    given = {"severity": "high", "lat": "48.137", "lon": "11.575"}
    event = Event("", "hard_brake", robot, at, at - 4 * SECOND, at + 4 * SECOND, note="obstacle ahead", labels=given)
    return events.draft(events.new_event(event), at)


def _describe(tiers: Tiers, robot: str, stream: SimulatedStream) -> None:
    """Say of a stream what its recorder would have said."""
    sample = stream.sample(0.0, Scene(0))
    fields = {name: {"dtype": "float64", "unit": UNITS.get(name, "")} for name in sample}
    for tier in ("edge", "cloud"):
        schema = {"type": "time_series", "fields": fields, "rate_hz": stream.hz, "chunk_bound_us": SECOND}
        tiers.attach(tier, "sensor", stream.name, schema, robot)


async def _tell(tiers: Tiers) -> None:
    """Let the cloud tell in its ledger what it holds, as its own process does: the lake is filled by it."""
    process = tiers.stores["cloud"]

    async def robots() -> list[str]:
        return list(ROBOTS)

    async with Store(process.url, process.token) as store:
        scope = CensusScope("cloud", robots, site_bucket)
        await Census(lambda: store, scope, tiers.directory / "census", now_us=Clock().now_us).flush()

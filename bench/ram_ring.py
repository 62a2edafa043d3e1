"""Rings in memory beside rings on disk in the same run: bytes that reach the disk, and what a call and a mark cost."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from fleetbox.types import images
from fleetbox_edge.recorder import Recorder
from fleetbox_local.processes import StoreProcess

SECONDS = 20.0  # paced as a robot delivers: one IMU at 400 Hz, one camera at 15 Hz, joint states at 100 Hz
ROW = {f"f{index}": index * 0.1 for index in range(12)}
CALLS = 50_000
IN_RAM = '[stream."**"]\nring = "ram 60 s"\n[event.default]\npre = "5s"\npost = "0s"\n'
ON_DISK = IN_RAM.replace("ram 60 s", "disk")


def run() -> list[dict[str, Any]]:
    """Measure on fresh stores and return the rows."""
    disk_bytes, _ = _record(ON_DISK, marks=1)
    quiet_bytes, _ = _record(IN_RAM, marks=0)
    ram_bytes, kept = _record(IN_RAM, marks=1)
    disk_us, _ = _call(ON_DISK)
    ram_us, mark_s = _call(IN_RAM)
    return [
        _row("written to disk in 20 s of a small robot, ring on disk", disk_bytes / 1e6, "MB"),
        _row("the same, ring in memory, no event", quiet_bytes / 1e6, "MB", disk_bytes / 1e6, "~0"),
        _row("the same, ring in memory, one event of 5 s", ram_bytes / 1e6, "MB", disk_bytes / 1e6),
        _row("rows and blobs that the event brought to the disk", kept, ""),
        _row("log() of 12 fields into a ring in memory, mean", ram_us, "us", disk_us, "<= 50"),
        _row(f"{CALLS} rows from memory to the store after a mark", mark_s, "s"),
    ]


def _row(name: str, value: float, unit: str, raw: float | None = None, goal: str = "") -> dict[str, Any]:
    return {"name": name, "value": value, "unit": unit, "raw": raw, "ratio": value / raw if raw else None, "goal": goal}


def _record(policy: str, marks: int) -> tuple[float, float]:
    """Return the bytes that a small robot and its store have written, and the rows and blobs in the store."""
    frame = images.encode(np.random.default_rng(1).integers(0, 255, (360, 640, 3), np.uint8), 70)
    with tempfile.TemporaryDirectory(prefix="fleetbox-bench-") as name:
        server, config = _robot(Path(name), policy)
        try:
            with Recorder(config, duties=False) as recorder:
                before = _written(os.getpid()) + _written(server.pid)
                started, calls = time.monotonic(), 0
                while (passed := time.monotonic() - started) < SECONDS:
                    for _ in range(int(passed * 400) - calls):
                        recorder.log("imu", ROW)
                        calls += 1
                        if calls % 4 == 0:
                            recorder.log("joints", ROW)
                        if calls % 27 == 0:
                            recorder.log("cam/front", frame)
                    time.sleep(0.005)
                for _ in range(marks):
                    recorder.mark("brake")
                recorder.flush(60)
                os.sync()
                return _written(os.getpid()) + _written(server.pid) - before, float(recorder.stats().acknowledged)
        finally:
            server.kill()


def _call(policy: str) -> tuple[float, float]:
    """Return the mean of a call in µs, and the seconds until all is in the store after a mark."""
    with tempfile.TemporaryDirectory(prefix="fleetbox-bench-") as name:
        server, config = _robot(Path(name), policy)
        try:
            with Recorder(config, duties=False) as recorder:
                recorder.log("imu", ROW)
                started = time.perf_counter()
                for _ in range(CALLS):
                    recorder.log("imu", ROW)
                call_us = (time.perf_counter() - started) / CALLS * 1e6
                started = time.perf_counter()
                recorder.mark("brake", pre=60)
                recorder.flush(60)
                return call_us, time.perf_counter() - started
        finally:
            server.kill()


def _robot(folder: Path, policy: str) -> tuple[StoreProcess, Path]:
    server = StoreProcess(folder / "data")
    server.start()
    server.wait_ready(30)
    (folder / "token").write_text(server.token)
    (folder / "policy.toml").write_text(policy)
    config = folder / "robot.toml"
    config.write_text(
        f'robot = "r1"\nstore = "{server.url}"\nstore_token = {{ file = "token" }}\nstate = "state"\n'
        'policy = "policy.toml"\n'
    )
    return server, config


def _written(pid: int | None) -> float:
    """Return the bytes that a process has caused to be written to block devices, less what it took back before."""
    assert pid is not None
    lines = Path(f"/proc/{pid}/io").read_text().splitlines()
    counts = {key: int(value) for key, value in (line.split(": ") for line in lines)}
    return float(counts["write_bytes"] - counts["cancelled_write_bytes"])

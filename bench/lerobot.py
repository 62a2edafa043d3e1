"""Export two 640x480 cameras at 30 Hz with state and action to LeRobot, and read training samples back."""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import xxhash

from fleetbox import chunks
from fleetbox.blobs import BucketSpec, Store
from fleetbox.records import Draft
from fleetbox.settings import load_fleet
from fleetbox.settings.lerobot import parse_map
from fleetbox_local.processes import StoreProcess
from fleetbox_query.fleet import connect
from fleetbox_query.lerobot.checking import check_dataset
from fleetbox_query.lerobot.exporting import export_lerobot
from fleetbox_query.lerobot.intervals import Interval

FPS = 30
EPISODES = 4
SECONDS = 15  # an episode of the length that people record
T0_US = 1_760_000_000_000_000
ROBOT = "r1"
CAMERAS = ("cam/front", "cam/wrist")
SCENE = 40  # pictures that a scene repeats: encoding 3,600 would measure OpenCV
MAP = {
    "fps": FPS,
    "reference": CAMERAS[0],
    "task": "pick the cup",
    "features": {
        "observation.state": ["joints"],
        "action": ["command"],
        "observation.images.front": [CAMERAS[0]],
        "observation.images.wrist": [CAMERAS[1]],
    },
}

Row = dict[str, Any]


def run() -> list[Row]:
    """Return the rows of the benchmark."""
    with tempfile.TemporaryDirectory(prefix="fleetbox-bench-") as folder:
        server = StoreProcess(Path(folder) / "store")
        server.start()
        try:
            server.wait_ready(60.0)
            size_bytes = asyncio.run(_fill(server))
            return _measure(server, Path(folder), size_bytes)
        finally:
            server.stop()


def _measure(server: StoreProcess, folder: Path, size_bytes: int) -> list[Row]:
    (folder / "store.token").write_text(server.token)
    (folder / "fleet.toml").write_text(
        f'fleet = "bench"\n[site.edge-1]\nstore = "{server.url}"\ntoken = {{ file = "store.token" }}\n'
    )
    starts = [T0_US + at * 60_000_000 for at in range(EPISODES)]
    intervals = [Interval(ROBOT, at, at + SECONDS * 1_000_000) for at in starts]
    with connect(load_fleet(folder / "fleet.toml")) as fleet:
        question = fleet.select(f"{ROBOT}/**").question
        map_ = parse_map(MAP, Path("lerobot.toml"))
        started, before = time.perf_counter(), time.process_time()
        done = export_lerobot(fleet.session, question, map_, folder / "out", intervals=intervals)
        took, used = time.perf_counter() - started, time.process_time() - before
    if done.frames != EPISODES * SECONDS * FPS or check_dataset(folder / "out"):
        raise SystemExit(f"{done.frames} frames, {check_dataset(folder / 'out')}")
    made = sum(path.stat().st_size for path in (folder / "out").rglob("*.mp4"))
    name = f"{EPISODES} episodes of {SECONDS} s, 2 cameras 640x480 at {FPS} Hz"
    robot_s = EPISODES * SECONDS
    blank: Row = {"raw": None, "ratio": None, "goal": None}
    return [
        {**blank, "name": f"{name}, to LeRobot", "value": robot_s / took, "unit": "x real time", "goal": ">= 5"},
        {**blank, "name": "its CPU time, of real time", "value": 100 * used / robot_s, "unit": "% of a core"},
        {**blank, "name": "its videos, of the JPEGs' bytes", "value": 100 * made / size_bytes, "unit": "%"},
    ]


async def _fill(server: StoreProcess) -> int:
    scene = [_picture(at) for at in range(SCENE)]
    size = 0
    async with Store(server.url, server.token, name="bench") as store:
        for bucket in (f"{ROBOT}--media", f"{ROBOT}--sensor"):
            await store.ensure_bucket(bucket, BucketSpec("NONE", 0))
        for episode in range(EPISODES):
            start = T0_US + episode * 60_000_000
            for camera in CAMERAS:
                shots = [(start + round(k * 1e6 / FPS), scene[k % SCENE]) for k in range(SECONDS * FPS)]
                size += sum(len(data) for _, data in shots)
                drafts = [_draft(camera, at, data, "image/jpeg", {"type": "images"}) for at, data in shots]
                for first in range(0, len(drafts), 60):
                    await store.write(f"{ROBOT}--media", drafts[first : first + 60])
            for stream in ("joints", "command"):
                await store.write(
                    f"{ROBOT}--sensor", [_rows(stream, start + at * 5_000_000) for at in range(-1, SECONDS // 5)]
                )
    return size


def _picture(at: int) -> bytes:
    """Return a scene that moves, with the noise that a camera has."""
    noise = np.random.default_rng(at)
    coarse = np.random.default_rng(0).integers(0, 255, (16, 20, 3), np.uint8)
    wide = cv2.resize(coarse, (760, 560), interpolation=cv2.INTER_CUBIC)
    scene = wide[at : at + 480, at : at + 640].astype(np.int16) + noise.integers(-4, 5, (480, 640, 3))
    return bytes(cv2.imencode(".jpg", scene.clip(0, 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, 85])[1])


def _rows(stream: str, start_us: int) -> Draft:
    times = [start_us + n * 10_000 for n in range(500)]
    columns = {f"j{at}": np.sin(np.arange(500) / 50 + at).tolist() for at in range(7)}
    labels = {"type": "time_series", "rows": "500", "t_end": str(times[-1])}
    return _draft(stream, start_us, chunks.encode(times, columns), chunks.CONTENT_TYPE, labels)


def _draft(stream: str, at: int, data: bytes, content_type: str, labels: dict[str, str]) -> Draft:
    return Draft(stream, at, data, {"robot": ROBOT, "xxh": xxhash.xxh3_64_hexdigest(data), **labels}, content_type)

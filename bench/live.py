"""See rows and pictures live, play them again and view them: how late, how many, how fast."""

from __future__ import annotations

import json
import statistics
import struct
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from fleetbox.types import images
from fleetbox_edge.recorder import Recorder
from fleetbox_local.processes import StoreProcess
from fleetbox_query import fleet as fleets
from fleetbox_query.fleet import Fleet
from fleetbox_query.live.playing import served
from fleetbox_query.live.replaying import Manner
from fleetbox_query.live.watching import watched
from fleetbox_query.viewing.recording import view

ROWS = 100_000
PICTURES = 500
LAGS = 100
Row = dict[str, Any]


def run() -> list[Row]:
    """Return the rows of the benchmark."""
    with tempfile.TemporaryDirectory(prefix="fleetbox-bench-") as folder:
        server = StoreProcess(Path(folder) / "store")
        server.start()
        try:
            server.wait_ready(60.0)
            path = _robot_file(server, Path(folder))
            with Recorder(path) as rec:
                _record(rec)
                with fleets.connect(path) as fleet:
                    return [*_lags(fleet, rec), _replayed(fleet), *_viewed(fleet, Path(folder))]
        finally:
            server.stop()


def _robot_file(server: StoreProcess, folder: Path) -> Path:
    (folder / "token").write_text(server.token)
    path = folder / "robot.toml"
    path.write_text(
        f'robot = "r1"\nstore = "{server.url}"\nstore_token = {{ file = "token" }}\nstate = "{folder}/state"\n'
    )
    return path


def _record(rec: Recorder) -> None:
    start_us = time.time_ns() // 1000 - ROWS * 1_000
    times = np.arange(ROWS) * 1_000 + start_us
    rec.log_columns("imu", times, {f"f{at}": np.random.default_rng(at).random(ROWS) for at in range(6)})
    picture = images.encode(np.random.default_rng(1).integers(0, 255, (480, 640, 3), np.uint8))
    for at in range(PICTURES):
        rec.log("cam", picture, time=(start_us + at * 33_333) / 1e6)
    rec.log("tick", {"sent_ns": 0})
    rec.log("shot", picture)
    rec.flush(120)


def _lags(fleet: Fleet, rec: Recorder) -> Iterator[Row]:
    picture = images.encode(np.zeros((480, 640, 3), np.uint8))
    with watched(fleet.session, fleet.select("r1/tick", "r1/shot").question, "127.0.0.1", 0) as (following, server):
        following_on = fleet.session.loop.start(following.following())
        with _client(server.url, 2) as (client, channels):
            for name, value in (("tick", {"sent_ns": 0}), ("shot", picture)):
                _subscribe(client, channels[f"/{name}"])
                _next(client)  # the last one there is
                time.sleep(1.5)  # until the robot's programs have seen that somebody watches
                lags = []
                for at in range(LAGS):
                    began = time.perf_counter()
                    rec.log(name, {"sent_ns": at} if isinstance(value, dict) else value)
                    _next(client)
                    lags.append(time.perf_counter() - began)
                    time.sleep(0.01)
                what = "a row, on the robot itself" if name == "tick" else "a picture, through the store"
                yield _row(f"live: {what}, log() to viewer, p50", statistics.median(lags) * 1e3, "ms")
                yield _row(f"live: {what}, log() to viewer, p95", sorted(lags)[int(LAGS * 0.95)] * 1e3, "ms")
        following_on.cancel()


def _replayed(fleet: Fleet) -> Row:
    with served(fleet.session, fleet.select("r1/imu").question, Manner(speed=100.0), "127.0.0.1", 0) as (
        replay,
        server,
    ):
        thread = threading.Thread(target=replay.run, kwargs={"once": False})
        thread.start()
        try:
            with _client(server.url, 1) as (client, channels):
                _subscribe(client, channels["/imu"])
                _next(client)
                began, before = time.perf_counter(), replay.sent
                while replay.sent < ROWS and time.perf_counter() - began < 20:
                    time.sleep(0.05)
                rate = (replay.sent - before) / (time.perf_counter() - began)
        finally:
            replay.stop()
            thread.join()
    return _row("replay: rows of 6 fields to a viewer, as fast as it goes", rate, "rows/s")


def _viewed(fleet: Fleet, folder: Path) -> Iterator[Row]:
    view(fleet.select("r1/tick"), folder / "first.rrd")  # loading the libraries is no part of it
    for stream, unit in (("imu", "rows/s"), ("cam", "pictures/s")):
        began = time.perf_counter()
        done = view(fleet.select(f"r1/{stream}"), folder / f"{stream}.rrd")
        seconds = time.perf_counter() - began
        yield _row(f"view: {stream} into a recording", done.items.total() / seconds, unit)
        yield _row(f"view: {stream} into a recording", done.file_bytes / seconds / 1e6, "MB/s")


@contextmanager
def _client(url: str, count: int) -> Iterator[tuple[ClientConnection, dict[str, int]]]:
    channels: dict[str, int] = {}
    with connect(url, subprotocols=[Subprotocol("foxglove.sdk.v1")], max_size=None, close_timeout=1) as client:
        while len(channels) < count:
            said = client.recv()
            if isinstance(said, str) and (told := json.loads(said))["op"] == "advertise":
                channels |= {one["topic"]: one["id"] for one in told["channels"]}
        yield client, channels


def _subscribe(client: ClientConnection, channel: int) -> None:
    client.send(json.dumps({"op": "subscribe", "subscriptions": [{"id": channel, "channelId": channel}]}))


def _next(client: ClientConnection) -> int:
    """Return the time in ns of the next message."""
    while True:
        frame = client.recv(timeout=30)
        if isinstance(frame, bytes) and frame[0] == 1:
            return int(struct.unpack_from("<Q", frame, 5)[0])


def _row(name: str, value: float, unit: str, goal: str | None = None) -> Row:
    return {"name": name, "value": value, "unit": unit, "goal": goal}

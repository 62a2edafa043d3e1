"""Read training samples by number from a store: numbers alone, pictures held, and pictures read when asked for."""

from __future__ import annotations

import asyncio
import pickle
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from bench.lerobot import EPISODES, FPS, MAP, ROBOT, SECONDS, T0_US, _fill
from fleetbox.settings import load_fleet
from fleetbox.settings.lerobot import LerobotMap, parse_map
from fleetbox_local.processes import StoreProcess
from fleetbox_query.fleet import Fleet, connect
from fleetbox_query.lerobot.samples import Samples

GOAL = 1_000.0  # samples a second
SMALL = "224x224"  # what image encoders take
ASKED = 2_000
UNREAD = 1_024  # samples whose pictures are not held
BATCH = 64  # as people train
TIGHT = "16 MB"  # of memory: a hundred pictures, of thousands

Row = dict[str, Any]


def run() -> list[Row]:
    """Return the rows of the benchmark."""
    with tempfile.TemporaryDirectory(prefix="fleetbox-bench-") as folder:
        server = StoreProcess(Path(folder) / "store")
        server.start()
        try:
            server.wait_ready(60.0)
            asyncio.run(_fill(server))
            return _measure(server, Path(folder))
        finally:
            server.stop()


def _measure(server: StoreProcess, folder: Path) -> list[Row]:
    (folder / "store.token").write_text(server.token)
    (folder / "fleet.toml").write_text(
        f'fleet = "bench"\n[site.edge-1]\nstore = "{server.url}"\ntoken = {{ file = "store.token" }}\n'
    )
    with connect(load_fleet(folder / "fleet.toml")) as fleet:
        numbers = {name: rule for name, rule in MAP["features"].items() if "images" not in name}  # type: ignore[attr-defined]
        plain = _samples(fleet, parse_map({**MAP, "reference": "joints", "features": numbers}, Path("lerobot.toml")))
        small = {name: {"from": [*rule], "size": SMALL} for name, rule in MAP["features"].items() if "images" in name}  # type: ignore[attr-defined]
        began = time.perf_counter()
        cameras = parse_map({**MAP, "features": {**numbers, **small}}, Path("lerobot.toml"))
        two = _samples(fleet, cameras)
        made_s = time.perf_counter() - began
        began = time.perf_counter()
        held = two.load()
        loading = held / (time.perf_counter() - began)
        return [
            _row(f"to know {len(two):,} frames of {EPISODES} x {SECONDS} s at {FPS} Hz", made_s, "s"),
            _row("samples of numbers alone", _rate(plain, ASKED), "/s", f">= {GOAL:,.0f}/s"),
            _row(f"the same with two cameras of {SMALL}, held", _rate(two, ASKED), "/s", f">= {GOAL:,.0f}/s"),
            *_unread(fleet, cameras),
            _row("load(): pictures read, decoded and held", loading, "/s"),
            _row("what a worker is handed", len(pickle.dumps(two)) / 1e3, "kB"),
        ]


def _unread(fleet: Fleet, map_: LerobotMap) -> list[Row]:
    """Measure pictures that are not held: in order, shuffled in batches, and where memory is for a few alone."""
    found = []
    for memory, room in (("1 GB", ""), (TIGHT, f", memory {TIGHT}")):
        made = _samples(fleet, map_, memory)
        shuffled = np.random.default_rng(2).permutation(len(made))[:UNREAD].tolist()
        for name, order in (("in order", list(range(UNREAD))), (f"shuffled, batches of {BATCH}", shuffled)):
            with _cold(made) as samples:
                began_s, cpu_s = time.perf_counter(), time.process_time()
                for at in range(0, UNREAD, BATCH):
                    samples.__getitems__(order[at : at + BATCH])
                took_s, worked_s = time.perf_counter() - began_s, time.process_time() - cpu_s
            found.append(_row(f"pictures not held, {name}{room}", UNREAD / took_s, "/s"))
            found.append(_row(f"CPU of ours for that, {name}{room}", worked_s / UNREAD * 1e3, "ms a sample"))
    return found


@contextmanager
def _cold(made: Samples) -> Iterator[Samples]:
    """Yield the same samples as a worker process gets them: nothing of their pictures is there."""
    samples = pickle.loads(pickle.dumps(made))
    try:
        yield samples
    finally:
        samples.close()


def _samples(fleet: Fleet, map_: LerobotMap, memory: str = "1 GB") -> Samples:
    stop_us = T0_US + (EPISODES * 60) * 1_000_000
    chosen = fleet.select(f"{ROBOT}/**").between(T0_US, stop_us)
    return chosen.torch(map_.model_copy(update={"gaps": "split"}), memory=memory)


def _rate(samples: Samples, count: int) -> float:
    order = np.random.default_rng(1).integers(0, len(samples), count).tolist()
    began = time.perf_counter()
    for at in order:
        samples[at]
    return count / (time.perf_counter() - began)


def _row(name: str, value: float, unit: str, goal: str | None = None) -> Row:
    return {"name": name, "value": value, "unit": unit, "goal": goal}

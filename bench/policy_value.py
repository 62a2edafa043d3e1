"""What a policy is worth: how much less travels of a labelled hour, and whether every marked moment is met."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fleetbox.blobs import BucketSpec, Store
from fleetbox.events import write_event
from fleetbox.naming import CLASSES
from fleetbox.records import Draft
from fleetbox.settings import Place, load_policy
from fleetbox_edge.dry_run import Asked, DryRun, dry_run
from fleetbox_edge.dry_run.source import Source
from fleetbox_edge.simulate.shift import Camera, Shift, drafts, load_shift, marks
from fleetbox_local.processes import StoreProcess

SCENARIOS = Path(__file__).parent / "scenarios"
ROBOT = "r1"
BASE_US = 1_700_000_000_000_000
BATCH = 200  # records a write; of the camera 4 MB


def run() -> list[dict[str, Any]]:
    """Measure on a fresh store and return the rows."""
    shift, policy = load_shift(SCENARIOS / "shift.toml"), load_policy(SCENARIOS / "policy.toml")
    with tempfile.TemporaryDirectory(prefix="fleetbox-bench-") as folder:
        server = StoreProcess(Path(folder) / "store")
        try:
            server.start()
            server.wait_ready(60)
            place = Place(ROBOT, "robot", server.url, server.token)
            started = time.monotonic()
            done = asyncio.run(_tried(place, shift, policy))
        finally:
            server.kill()
    return _rows(done, shift, time.monotonic() - started)


async def _tried(place: Place, shift: Shift, policy: Any) -> tuple[DryRun, float]:
    async with Store.at(place) as store:
        await fill(store, shift, Camera())
        started = time.monotonic()
        stop_us = BASE_US + shift.seconds * 1_000_000
        done = await dry_run(await Source.open(store, place, ROBOT), policy, Asked(BASE_US, stop_us))
        return done, time.monotonic() - started


async def fill(store: Store, shift: Shift, camera: Camera) -> None:
    """Write a shift and its marks into a robot's empty store."""
    for cls in CLASSES:
        await store.ensure_bucket(cls, BucketSpec("NONE", 0))
    for cls, batch in _batches(drafts(shift, BASE_US, ROBOT, camera)):
        await store.write(cls, batch)
    for event in marks(shift, BASE_US, ROBOT):
        await write_event(store, "meta", event, event.time_us)


def _batches(items: Iterator[tuple[str, Draft]]) -> Iterator[tuple[str, list[Draft]]]:
    waiting: dict[str, list[Draft]] = {}
    for cls, draft in items:
        batch = waiting.setdefault(cls, [])
        batch.append(draft)
        if len(batch) >= BATCH:
            yield cls, waiting.pop(cls)
    yield from waiting.items()


def _rows(done: tuple[DryRun, float], shift: Shift, _whole_s: float) -> list[dict[str, Any]]:
    tried, took_s = done
    assert tried.reduction is not None
    assert tried.recall is not None
    return [
        {"name": "policy, less upload on a labelled hour", "value": 100 * tried.reduction, "unit": "%", "raw": None,
         "ratio": None, "goal": ">= 95 %"},
        {"name": f"policy, recall of {len(tried.marks)} marked moments", "value": 100 * tried.recall, "unit": "%",
         "raw": None, "ratio": None, "goal": "100 %"},
        {"name": f"policy, events at none of them ({sum(map(len, shift.decoys.values()))} decoys)",
         "value": tried.unmarked, "unit": "events", "raw": None, "ratio": None, "goal": "0"},
        {"name": f"dry run of {shift.seconds / 3600:g} h ({tried.recorded_bytes / 1e6:.0f} MB)", "value": took_s,
         "unit": "s", "raw": None, "ratio": None, "goal": None},
    ]  # fmt: skip


if __name__ == "__main__":
    from bench.__main__ import main

    main(["policy_value"])

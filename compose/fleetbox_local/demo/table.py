"""Act 4, Table: what each tier holds of each stream, counted from the stores themselves."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from fleetbox.blobs import Store
from fleetbox.cli.output import size_text, table
from fleetbox.errors import NotFound
from fleetbox.naming import CLASSES, RING_CLASSES
from fleetbox.settings import Place
from fleetbox.time import iso_time
from fleetbox_local.demo.stage import ROBOTS, Stage, last_us

PATIENCE_S = 120.0  # what was recorded last travels two hops in seconds; a busy machine gets more
LOOK_S = 0.2
COLUMNS = ("robot", "stream", "tier", "records", "rows", "bytes", "first", "last")


@dataclass(slots=True)
class Holding:
    """Count one stream at one place."""

    records: int = 0
    rows: int = 0
    bytes: int = 0
    first_us: int | None = None
    last_us: int = 0


async def report(stage: Stage) -> None:
    """List every record of every place, once all that was selected for it is at the cloud, and print the sums."""
    await _wait_arrived(stage)
    rows = [
        row for robot in ROBOTS for place in stage.fleet.route(robot) for row in await _holdings(stage, place, robot)
    ]
    rows.sort(key=lambda row: (row["robot"], row["stream"]))  # a stream's tiers below each other: they are compared
    stage.facts["table"] = rows
    if stage.quiet:
        return
    stage.say("4 TABLE   what each tier holds, times in UTC; the ring keeps all, the sites what was selected")
    table(list(map(_shown, rows)), COLUMNS, right=("records", "rows", "bytes"))


async def _wait_arrived(stage: Stage) -> None:
    """Wait until the cloud has what was selected for it; after a while the table shows what is missing."""
    deadline = time.monotonic() + PATIENCE_S
    for robot in ROBOTS:
        own, *_, cloud = stage.fleet.route(robot)
        async with stage.store(own) as ring, stage.store(cloud) as far:
            wanted = await _selected(ring, own, robot)
            while time.monotonic() < deadline:
                if wanted <= await _selected(far, cloud, robot):
                    break
                await asyncio.sleep(LOOK_S)


async def _selected(store: Store, place: Place, robot: str) -> set[tuple[str, int]]:
    """Return stream and time of what a place's rings hold of a robot and is selected for the cloud."""
    found: set[tuple[str, int]] = set()
    for cls in RING_CLASSES:
        with suppress(NotFound):  # nothing of that class has arrived here yet
            heads = store.query(place.bucket(robot, cls), head=True)
            found |= {(head.entry, head.time_us) async for head in heads if head.labels.get("keep") == "1"}
    return found


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row as people see it: sizes with units, times of day in UTC, a stream's name once."""
    said = {} if row["tier"] == "robot" else {"robot": "", "stream": ""}
    day = {end: row[end][11:23] for end in ("first", "last")}
    return {**row, **said, **day, "bytes": size_text(row["bytes"])}


async def _holdings(stage: Stage, place: Place, robot: str) -> list[dict[str, Any]]:
    found: dict[str, Holding] = {}
    async with stage.store(place) as store:
        for cls in CLASSES:
            await _count(store, place.bucket(robot, cls), found)
    return [
        {
            "tier": place.tier,
            "robot": robot,
            "stream": stream,
            "records": holding.records,
            "rows": holding.rows,
            "bytes": holding.bytes,
            "first": iso_time(holding.first_us or 0),
            "last": iso_time(holding.last_us),
        }
        for stream, holding in sorted(found.items())
    ]


async def _count(store: Store, bucket: str, found: dict[str, Holding]) -> None:
    try:
        async for head in store.query(bucket, head=True):
            holding = found.setdefault(head.entry, Holding())
            holding.records += 1
            holding.rows += int(head.labels.get("rows", 1))
            holding.bytes += head.size
            holding.first_us = head.time_us if holding.first_us is None else min(holding.first_us, head.time_us)
            holding.last_us = max(holding.last_us, last_us(head))
    except NotFound:
        return  # the place has no bucket of that class

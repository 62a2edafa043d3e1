"""Closes a scenario: waits until everything is everywhere, then compares it record by record."""

from __future__ import annotations

import asyncio
import contextlib
import time

from fleetbox.blobs import Store
from fleetbox.errors import FleetboxError
from fleetbox.naming import RING_CLASSES
from fleetbox.scalars import ScalarStore
from fleetbox_local.drill.comparing import Difference, Key, compare, is_selected, keys, shelf
from fleetbox_local.drill.scene import Scene
from fleetbox_local.drill.setting import ROBOT
from fleetbox_local.drill.writer import ROWS

DEADLINE_S = 300.0  # what vanishes at a destination shows in its pages first: two minutes, and there are two hops
LOOK_S = 0.5
SCALARS_S = 120.0  # the loader is one more destination of the engine's, with the engine's pauses
FIELD = "n"


async def arrive(scene: Scene, deadline_s: float = DEADLINE_S) -> float:
    """Wait until the edge and the cloud hold what was selected for them; return how long it took, in s.

    Ends at the deadline without a word: what is missing then, the comparison names.
    """
    started = time.monotonic()
    async with scene.store("robot") as robot, scene.store("edge") as edge, scene.store("cloud") as cloud:
        stores = {"robot": robot, "edge": edge, "cloud": cloud}
        while time.monotonic() - started < deadline_s:
            if not await _outstanding(scene, stores):
                break
            await asyncio.sleep(LOOK_S)
    return round(time.monotonic() - started, 1)


async def differences(scene: Scene) -> tuple[Difference, ...]:
    """Read everything at all three places and say what edge and cloud lack or hold otherwise."""
    shelves = []
    for place in scene.places:
        async with Store.at(place) as store:
            shelves.append(await shelf(store, place))
    promised = scene.writer.promised()
    robot, edge, cloud = shelves
    return compare([robot], edge, "edge", promised), compare([robot, edge], cloud, "cloud", promised)


async def settled(scene: Scene, deadline_s: float = DEADLINE_S) -> list[str]:
    """Wait until nothing is strange any more; return what still is at the deadline."""
    started = time.monotonic()
    while found := await _strange_or_silent(scene):
        if time.monotonic() - started > deadline_s:
            break
        await asyncio.sleep(LOOK_S)
    return [*found, *await _scalars(scene)]


async def _strange_or_silent(scene: Scene) -> list[str]:
    """Say what is strange; a place that does not answer is, and may answer at the next look."""
    try:
        return await strange(scene)
    except FleetboxError as error:
        return [error.message]


async def strange(scene: Scene) -> list[str]:
    """Compare what the writer did not write: streams beside its own, and the attachments of every stream."""
    found = []
    for place in scene.places:
        async with Store.at(place) as store:
            held = await keys(store, place)
            for stream, wanted in scene.expected.items():
                there = sum(key[1] == stream for key in held)
                if there != wanted:
                    found.append(f"{place.name} holds {there} of {wanted} records of {stream}")
    return [*found, *await _attachments(scene)]


async def _outstanding(scene: Scene, stores: dict[str, Store]) -> set[Key]:
    try:
        held = {tier: await keys(store, scene.place(tier)) for tier, store in stores.items()}
    except FleetboxError:
        return {("meta", "a store does not answer", 0)}
    missing: set[Key] = set()
    for tier, before in (("edge", ("robot",)), ("cloud", ("robot", "edge"))):
        for source in before:
            wanted = {key for key, head in held[source].items() if is_selected(tier, key, head.labels)}
            missing |= wanted - held[tier].keys()
    return missing


async def _attachments(scene: Scene) -> list[str]:
    """Say which stream lacks an attachment of the robot's at a place where the stream has arrived."""
    robot, *others = scene.places
    found = []
    async with Store.at(robot) as own:
        for cls in RING_CLASSES:
            given = await own.attachments_of(robot.bucket(ROBOT, cls), await _names(own, robot.bucket(ROBOT, cls)))
            for place in others:
                async with Store.at(place) as there:
                    bucket = place.bucket(ROBOT, cls)
                    names = [name for name in await _names(there, bucket) if name in given]
                    held = await there.attachments_of(bucket, names)
                for name in names:
                    if lacking := given[name].keys() - held.get(name, {}).keys():
                        found.append(f"{place.name} lacks attachments of {name}: {', '.join(sorted(lacking))}")
    return found


async def _scalars(scene: Scene) -> list[str]:
    """Say how many of the promised rows InfluxDB lacks, if there is one, once it had time to load them."""
    influx = scene.place("edge").influx
    if influx is None:
        return []
    promised, count, deadline = scene.writer.promised(), -1, time.monotonic() + SCALARS_S
    async with ScalarStore(influx) as scalars:
        while time.monotonic() < deadline:
            with contextlib.suppress(FleetboxError):  # it has just started
                found = await scalars.rolled(ROWS, ROBOT, 0, time.time_ns() // 1000).mean(FIELD)
                count = found[1] if found else 0
            if count >= promised:
                break
            await asyncio.sleep(LOOK_S)
    return [] if count == promised else [f"InfluxDB counts {count} of {promised} rows of {ROWS}"]


async def _names(store: Store, bucket: str) -> list[str]:
    return [info.name for info in await store.entries(bucket)]

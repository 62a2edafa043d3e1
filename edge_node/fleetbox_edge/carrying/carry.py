"""Carry: bring what a robot's site does not have yet onto a stick, part by part."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fleetbox.blobs import Store
from fleetbox.errors import InputError, NotFound, StoreRefused
from fleetbox.settings import FleetSettings, Place
from fleetbox_edge.carrying.choosing import Stretch, Wanted, choose, records_of
from fleetbox_edge.carrying.frames import Attached, Carried
from fleetbox_edge.carrying.stick import Manifest, Stick, StickFull, StickGone
from fleetbox_replication.reconcile.means import Route
from fleetbox_replication.reconcile.peeking import Proven, read_proven

Advance = Callable[[float], None]  # told the bytes done


@dataclass(slots=True)
class Bringing:
    """Hold a carry that was looked at and not begun: the stick, what is to go there, and whether proofs were known."""

    place: Place
    stick: Stick
    wanted: Wanted
    proofs: bool

    @property
    def fits(self) -> bool:
        """Tell whether the stick has room for all of it."""
        return self.wanted.bytes <= self.stick.free_bytes


@dataclass(slots=True)
class Brought:
    """Count what a carry brought; `gone` are records that the ring took meanwhile, `full` says that the stick is.

    `aside` names torn parts that others stand in for now.
    """

    robot: str
    records: int = 0
    bytes: int = 0
    gone: int = 0
    full: bool = False
    manifest: Manifest | None = None
    aside: list[str] = field(default_factory=list)
    left: Wanted = field(default_factory=lambda: Wanted(()))

    def as_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        manifest = self.manifest
        return {
            "robot": self.robot, "records": self.records, "bytes": self.bytes, "gone": self.gone, "full": self.full,
            "parts": len(manifest.parts) if manifest else None, "on_stick": manifest.records if manifest else None,
            "set_aside": self.aside,
        }  # fmt: skip


def look(fleet: FleetSettings, folder: Path, robot: str | None = None) -> Bringing:
    """Find out what is to be carried. Raises InputError for a folder that is not there, Unreachable, AccessDenied."""
    return asyncio.run(_look(fleet, folder, robot or only_robot(fleet)))


def carry(bringing: Bringing, advance: Advance = lambda done: None) -> Brought:
    """Write it to the stick. A full stick ends it in order; raises StickGone for one that was pulled out."""
    return asyncio.run(_carry(bringing, advance))


def only_robot(fleet: FleetSettings) -> str:
    """Return the robot that is meant where nobody says which; raise InputError where it may be several."""
    robots = fleet.known_robots
    if len(robots) == 1:
        return robots[0]
    raise InputError("which robot?", f"give --robot, one of: {', '.join(robots) or 'any that a glob lets in'}")


async def _look(fleet: FleetSettings, folder: Path, robot: str) -> Bringing:
    place = fleet.robot_place(robot)
    if place is None:
        raise InputError(f"{fleet.source} does not say how to reach {robot}'s own store", "run this on the robot")
    proven = _proven(fleet, place)
    stick = await asyncio.to_thread(Stick, folder, robot)
    async with Store.at(place) as store:
        wanted = await choose(store, proven.holds, stick.held)
    return Bringing(place, stick, wanted, proven.known)


def _proven(fleet: FleetSettings, place: Place) -> Proven:
    """Return what the robot's reconciler knows its site to hold, where its state can be seen from here."""
    state = fleet.state_of(place.name)
    if place.next is None or state is None:
        return Proven(None)
    return read_proven(Route(place.name, place.next, state).file, place.name)


async def _carry(bringing: Bringing, advance: Advance) -> Brought:
    stick, done = bringing.stick, Brought(bringing.place.name)
    bytes_done = 0
    try:
        async with Store.at(bringing.place) as store:
            described = set[tuple[str, str]]()
            for stretch in bringing.wanted.stretches:
                if (stretch.cls, stretch.stream) not in described:
                    described.add((stretch.cls, stretch.stream))
                    await _describe(store, stretch, stick)
                found = 0
                async for record in records_of(store, stretch):
                    frame = Carried(
                        stretch.cls, record.entry, record.time_us, record.content_type, record.labels, record.data
                    )
                    await asyncio.to_thread(stick.add, frame)
                    found, bytes_done = found + 1, bytes_done + record.size
                    advance(bytes_done)
                done.gone += len(stretch.times) - found
    except StickFull:
        done.full = True
    except StickGone:
        stick.abandon()
        raise
    finally:
        await asyncio.to_thread(stick.close)
        done.records, done.bytes = stick.added, stick.added_bytes
    if not (done.full or done.gone):  # else a part may be all that is left of some records
        done.aside = [path.name for path in await asyncio.to_thread(stick.set_aside)]
    done.manifest = await asyncio.to_thread(stick.seal, time.time_ns() // 1000)
    return done


async def _describe(store: Store, stretch: Stretch, stick: Stick) -> None:
    """Bring what describes a stream, before its records."""
    try:
        documents = await store.attachments(stretch.cls, stretch.stream)
    except (NotFound, StoreRefused):
        return
    for key, value in documents.items():
        data = json.dumps(value, separators=(",", ":")).encode()
        await asyncio.to_thread(stick.add, Attached(stretch.cls, stretch.stream, key, data))

"""What the acts share: the fleet, its places, the pace of the recording, the way to speak."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

from fleetbox.blobs import Store
from fleetbox.cli.output import say
from fleetbox.errors import NotFound
from fleetbox.naming import RING_CLASSES
from fleetbox.records import Head
from fleetbox.settings import FleetSettings, Place

ROBOTS = ("r1", "r2")
HERO = "r1"  # the robot that brakes
FAULTY = "log/fault"  # the stream of the act Fault: no part of what the robots record by themselves
PRE_US = 10_000_000  # what the story keeps before the brake
POST_US = 5_000_000  # and after it
KIND = "hard_brake"  # the trigger, and the event it raises
WHEN = "ax < -4.0"  # m/s²; clearly beyond the 1.5 the robot brakes with otherwise
TRIGGER = f'\n[trigger.{KIND}]\non   = "imu"\nwhen = "{WHEN}"\n'
TAIL_S = POST_US / 1e6 + 1.0  # recorded after the brake, so that the whole post-window exists
SHORTEST_S = TAIL_S + 4.0  # a shorter recording has no "before" worth showing


@dataclass(slots=True)
class Stage:
    """Hold what one act leaves for the next."""

    directory: Path
    fleet: FleetSettings
    seconds: float
    quiet: bool = False
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def brake_s(self) -> float:
        """Return when the hero brakes, in seconds from its start."""
        return self.seconds - TAIL_S

    def say(self, text: str) -> None:
        """Print for people; with --json only the final object is printed."""
        if not self.quiet:
            say(text)

    def place(self, tier: str) -> Place:
        """Return the hero's place at a tier."""
        return next(place for place in self.fleet.route(HERO) if place.tier == tier)

    def store(self, place: Place) -> Store:
        """Return a store to be opened with `async with`."""
        return Store.at(place)


def write_policy(directory: Path) -> None:
    """Write the sample policy with the demo's trigger, unless there is a policy already."""
    path = directory / "policy.toml"
    if not path.exists():
        directory.mkdir(parents=True, exist_ok=True)
        path.write_text((files("fleetbox.samples") / "policy.toml").read_text(encoding="utf-8") + TRIGGER)


def last_us(head: Head) -> int:
    """Return the time of a record's last row, which for a blob is its own."""
    return int(head.labels.get("t_end", head.time_us))


async def heads(
    store: Store,
    place: Place,
    streams: Iterable[str],
    start_us: int,
    stop_us: int | None,
    classes: Iterable[str] = RING_CLASSES,
) -> dict[str, Head]:
    """Return what a place holds of the hero's streams in [start_us, stop_us), keyed by bucket, stream and time."""
    found = {}
    for cls in classes:
        bucket = place.bucket(HERO, cls)
        try:
            async for head in store.query(bucket, tuple(streams), start_us=start_us, stop_us=stop_us, head=True):
                found[f"{cls}/{head.entry}@{head.time_us}"] = head
        except NotFound:
            continue  # nothing of that class has arrived here yet
    return found

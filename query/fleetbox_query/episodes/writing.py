"""Write revisions of episodes where people may: at the nearest site of each robot, or in the robot's own store."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from fleetbox.episode_books import write_revisions
from fleetbox.episodes import Revision
from fleetbox.errors import AccessDenied, FleetboxError, NotFound, Unreachable
from fleetbox.selectors import Selector
from fleetbox.settings import FleetSettings, Place
from fleetbox_query.events import Where
from fleetbox_query.stores import Stores, places_for

Tell = Callable[[int, int], None]  # revisions written, of how many


def untold(done: int, total: int) -> None:
    """Tell nobody."""


@dataclass(slots=True)
class Written:
    """Say what was written: revisions, bytes of them, and where, by robot."""

    revisions: int = 0
    size_bytes: int = 0
    at: dict[str, str] = field(default_factory=dict)


async def write_all(
    stores: Stores,
    fleet: FleetSettings,
    revisions: Sequence[Revision],
    where: Where,
    now_us: int,
    tell: Tell = untold,
) -> Written:
    """Write revisions, grouped by robot, each at the nearest place that takes them; return what was written.

    Raises Unreachable, AccessDenied or NotFound when no place takes a robot's; what was written before stands.
    """
    written = Written()
    by_robot: dict[str, list[Revision]] = {}
    for one in revisions:
        by_robot.setdefault(one.robot, []).append(one)
    for robot, some in by_robot.items():
        before = written.revisions
        place, size = await _write(
            stores,
            fleet,
            robot,
            some,
            where,
            now_us,
            lambda n, b=before: tell(b + n, len(revisions)),  # type: ignore[misc]
        )
        written.revisions += len(some)
        written.size_bytes += size
        written.at[robot] = place
    return written


async def _write(
    stores: Stores, fleet: FleetSettings, robot: str, revisions: Sequence[Revision], where: Where, now_us: int,
    tell: Callable[[int], None],
) -> tuple[str, int]:  # fmt: skip
    missed: list[FleetboxError] = []
    for place in places_for(fleet, [Selector(robot)], where.tier, where.site):
        store, bucket = await stores.at(place), place.bucket(robot, "meta")
        try:
            return place.name, await write_revisions(store, bucket, revisions, now_us, _entry(place), tell)
        except (Unreachable, AccessDenied, NotFound) as error:
            missed.append(error)
    raise _nobody(robot, missed)


def _entry(place: Place) -> str:
    return "" if place.tier == "robot" else place.name


def _nobody(robot: str, missed: Sequence[FleetboxError]) -> FleetboxError:
    if not missed:
        return NotFound(f"nothing here says where episodes of {robot} are kept", "`fleetbox whoami` shows the places")
    lines = "\n".join(f"  {error.message}" for error in missed)
    worst = next(
        (kind for kind in (AccessDenied, Unreachable) if any(isinstance(one, kind) for one in missed)), NotFound
    )
    step = "has the robot recorded anything, and does `fleetbox site run` run there?" if worst is NotFound else None
    return worst(f"no place takes an episode of {robot}:\n{lines}", step or f"fleetbox doctor {robot}")

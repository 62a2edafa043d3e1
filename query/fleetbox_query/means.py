"""Take the mean of one scalar, from InfluxDB where a site has one and it answers, else from the chunks."""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

from fleetbox.errors import FleetboxError, InputError, NotFound
from fleetbox.rollups import SECOND_US
from fleetbox.scalars import ScalarStore
from fleetbox.selectors import Selector, is_glob
from fleetbox.settings import Place
from fleetbox_query.items import Notes, items_of
from fleetbox_query.question import Question
from fleetbox_query.reading import Reading
from fleetbox_query.session import Session

PATIENCE_S = 5.0  # for an InfluxDB: the chunks are a second away


class Mean(NamedTuple):
    """Hold a mean, and where it was taken from."""

    value: float
    source: Literal["influx", "chunks"]


async def scalar_mean(session: Session, selector: Selector, start_us: int, stop_us: int) -> Mean:
    """Return the mean over [start_us, stop_us) without missing values and NaN; raises NotFound when there is none.

    An InfluxDB holds roll-ups of whole seconds: what lies before the first and behind the last comes from the chunks.
    """
    if selector.field is None or any(map(is_glob, (selector.robot, selector.stream, selector.field))):
        raise InputError(f"{selector} is not one scalar", "name it outright, such as r1/imu:ax")
    first_us, last_us = -(-start_us // SECOND_US) * SECOND_US, stop_us // SECOND_US * SECOND_US
    found = await _from_influx(session, selector, first_us, last_us) if first_us < last_us else None
    if found is None:
        total, rows = await _from_chunks(session, selector, start_us, stop_us)
    else:
        total, rows = found[0] * found[1], found[1]
        for edge in ((start_us, first_us), (last_us, stop_us)):
            more, n = await _from_chunks(session, selector, *edge) if edge[0] < edge[1] else (0.0, 0)
            total, rows = total + more, rows + n
    if not rows:
        raise NotFound(f"{selector} has no numbers in that time", "`fleetbox ls` shows fields and from when to when")
    return Mean(total / rows, "chunks" if found is None else "influx")


async def _from_influx(session: Session, selector: Selector, start_us: int, stop_us: int) -> tuple[float, int] | None:
    """Ask the InfluxDBs along the robot's route; one that fails is passed over, the chunks hold the same numbers."""
    for place in scalar_places(session, selector.robot):
        assert place.influx is not None, "these places have one"
        try:
            async with ScalarStore(place.influx, timeout_s=PATIENCE_S) as scalars:
                ask = scalars.rolled(selector.stream, selector.robot, start_us, stop_us, place.name)
                found = await ask.mean(selector.field or "")
        except FleetboxError:
            continue
        if found is not None:
            return found
    return None


def scalar_places(session: Session, robot: str) -> list[Place]:
    """Return the places with an InfluxDB that a robot's records pass, the nearest to the robot first."""
    try:
        route = session.fleet.route(robot)
    except NotFound:
        route = [place for place in session.fleet.places() if place.tier != "robot"]
    return [place for place in route if place.influx is not None]


async def _from_chunks(session: Session, selector: Selector, start_us: int, stop_us: int) -> tuple[float, int]:
    """Return the sum and how many values there are."""
    prepared = await session.prepare(Question((selector,), start_us, stop_us))
    total, rows, notes = 0.0, 0, Notes()
    for piece in await Reading(session.stores, prepared).all():
        for item in items_of(piece, prepared.expression, notes):
            value = (item.fields or {}).get(selector.field or "")
            if isinstance(value, int | float) and math.isfinite(value):
                total, rows = total + value, rows + 1
    return total, rows

"""Take the mean of one scalar, from InfluxDB where a site has one and it answers, else from the chunks."""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

from fleetbox.errors import FleetboxError, InputError, NotFound
from fleetbox.scalars import ScalarStore
from fleetbox.selectors import Selector, is_glob
from fleetbox_query.items import Notes, items_of
from fleetbox_query.question import Question
from fleetbox_query.reading import Reading
from fleetbox_query.session import Session


class Mean(NamedTuple):
    """Hold a mean, and where it was taken from."""

    value: float
    source: Literal["influx", "chunks"]


async def scalar_mean(session: Session, selector: Selector, start_us: int, stop_us: int) -> Mean:
    """Return the mean over [start_us, stop_us) without missing values and NaN; raises NotFound when there is none."""
    if selector.field is None or any(map(is_glob, (selector.robot, selector.stream, selector.field))):
        raise InputError(f"{selector} is not one scalar", "name it outright, such as r1/imu:ax")
    value = await _from_influx(session, selector, start_us, stop_us)
    if value is not None:
        return Mean(value, "influx")
    return Mean(await _from_chunks(session, selector, start_us, stop_us), "chunks")


async def _from_influx(session: Session, selector: Selector, start_us: int, stop_us: int) -> float | None:
    """Ask the InfluxDBs along the robot's route; one that fails is passed over, the chunks hold the same numbers."""
    try:
        route = session.fleet.route(selector.robot)
    except NotFound:
        route = [place for place in session.fleet.places() if place.tier != "robot"]
    for place in route:
        if place.influx is None:
            continue
        try:
            async with ScalarStore(place.influx, timeout_s=5.0) as scalars:  # the chunks are a second away
                value = await scalars.mean(selector.stream, selector.field or "", selector.robot, start_us, stop_us)
        except FleetboxError:
            continue
        if value is not None:
            return value
    return None


async def _from_chunks(session: Session, selector: Selector, start_us: int, stop_us: int) -> float:
    prepared = await session.prepare(Question((selector,), start_us, stop_us))
    total, rows, notes = 0.0, 0, Notes()
    for piece in await Reading(session.stores, prepared).all():
        for item in items_of(piece, prepared.expression, notes):
            value = (item.fields or {}).get(selector.field or "")
            if isinstance(value, int | float) and math.isfinite(value):
                total, rows = total + value, rows + 1
    if not rows:
        raise NotFound(f"{selector} has no numbers in that time", "`fleetbox ls` shows fields and from when to when")
    return total / rows

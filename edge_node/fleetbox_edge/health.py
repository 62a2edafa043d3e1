"""Keep a robot's forecast where its site can read it too: as small records of the stream `fleetbox/ring` in `meta`."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict

import xxhash

from fleetbox.blobs import Store
from fleetbox.errors import InputError, NotFound, StoreRefused
from fleetbox.records import Draft
from fleetbox_edge.forecast import Forecast, RingOutlook, judge

STREAM = "fleetbox/ring"
EVERY_US = 600_000_000  # µs; 144 records a day of 600 bytes, in a class that never turns
SOON_US = 60_000_000  # µs; a robot that begins to drive is told within a minute
TYPE = "json"
CONTENT_TYPE = "application/json"


class Health:
    """Write a forecast when it is due: every ten minutes, and as soon as it would be judged otherwise."""

    def __init__(self, store: Callable[[], Store]) -> None:
        self._store = store
        self._told: Forecast | None = None

    async def tell(self, seen: Forecast) -> bool:
        """Write a forecast unless the last one still says it; return whether it was written."""
        if self._told is not None and not is_due(self._told, seen):
            return False
        report = await self._store().write("meta", [draft(seen)])
        if not report.refused:
            self._told = seen
        return not report.refused


def is_due(told: Forecast, seen: Forecast) -> bool:
    """Tell whether a forecast has news: it is judged otherwise than the last one is by now, or that one is old.

    Or a ring holds twice or half as long as was told a minute ago or more, or it is known for the first time how long
    any does: right after the start nobody can tell.
    """
    if not told.at_us <= seen.at_us < told.at_us + EVERY_US:
        return True
    if [check.verdict for check in judge(told, seen.at_us)] != [check.verdict for check in judge(seen, seen.at_us)]:
        return True
    if not _holds(told) and _holds(seen):
        return True
    return seen.at_us >= told.at_us + SOON_US and any(
        cls not in told.rings or _differ(told.rings[cls].holds_h, ring.holds_h) for cls, ring in seen.rings.items()
    )


def _holds(forecast: Forecast) -> bool:
    return any(ring.holds_h is not None for ring in forecast.rings.values())


def _differ(one: float | None, other: float | None) -> bool:
    if not one or not other:
        return one != other
    return not one / 2 < other < one * 2


def draft(seen: Forecast) -> Draft:
    """Return the record that holds a forecast."""
    data = json.dumps(asdict(seen), separators=(",", ":")).encode()
    labels = {"robot": seen.robot, "type": TYPE, "xxh": xxhash.xxh3_64_hexdigest(data)}
    return Draft(STREAM, seen.at_us, data, labels, CONTENT_TYPE)


def decode(data: bytes) -> Forecast:
    """Read a forecast; raises InputError for bytes that are none."""
    try:
        found = json.loads(data)
        rings = {cls: RingOutlook(**ring) for cls, ring in found.pop("rings").items()}
        return Forecast(**found, rings=rings)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise InputError(f"{len(data)} bytes are not a forecast: {error}") from error


async def last_told(store: Store, bucket: str) -> Forecast | None:
    """Return the newest forecast in a robot's `meta` bucket, None when there is none that can be read."""
    try:
        latest = [entry.latest_us for entry in await store.entries(bucket) if entry.name == STREAM and entry.records]
        if not latest:
            return None
        return decode((await store.read(bucket, STREAM, latest[0])).data)
    except (NotFound, StoreRefused, InputError):
        return None

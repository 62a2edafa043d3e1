"""Keep what became of triggers where a robot's sites can read it too: as records of `fleetbox/triggers` in `meta`."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from fleetbox.blobs import Store
from fleetbox.errors import InputError, NotFound, StoreRefused
from fleetbox_edge.triggers.memory import Memory, from_json
from fleetbox_edge.triggers.voice import Counts

STREAM = "fleetbox/triggers"
EVERY_US = 3_600_000_000  # µs; figures that only grow: 24 records a day of 60 bytes a rule, in a class that never turns
SOON_US = 60_000_000  # µs; a rule that begins to raise or is muted is known at the site within a minute

Say = Callable[[bytes], None]


class Report:
    """Say what is remembered of a judge when that has news, through the recorder: it survives an outage."""

    def __init__(self, say: Say) -> None:
        self._say = say
        self._told: Memory | None = None

    def tell(self, memory: Memory) -> bool:
        """Say it unless what was said last still holds; return whether it was said."""
        if not is_due(self._told, memory):
            return False
        self._told = memory
        self._say(encode(memory))
        return True


def is_due(told: Memory | None, memory: Memory) -> bool:
    """Tell whether there is news: a minute after the start or the last word at the soonest, after an hour at last."""
    if told is None or told.since_us != memory.since_us:
        return not 0 <= memory.at_us - memory.since_us < SOON_US
    if not 0 <= memory.at_us - told.at_us < EVERY_US:
        return True
    return memory.at_us - told.at_us >= SOON_US and _standing(memory) != _standing(told)


def _standing(memory: Memory) -> dict[str, Any]:
    """Return what of it a person would act on: figures that go on growing are no news."""
    rules = {
        name: (one.judged > 0, one.fired > 0, one.errors > 0, one.unjudged > 0, one.muted_until_us > memory.at_us)
        for name, one in memory.counts.items()
    }
    return {"policy": memory.policy, "muted": memory.muted, "faults": dict(memory.faults), "rules": rules}


def encode(memory: Memory) -> bytes:
    """Return a memory as JSON without what only the robot needs, and without counts of nothing."""
    unset = asdict(Counts())
    counts = {
        name: {key: value for key, value in asdict(one).items() if value != unset[key]}
        for name, one in memory.counts.items()
    }
    return json.dumps({**asdict(memory), "counts": counts, "told": {}}, separators=(",", ":")).encode()


def decode(data: bytes) -> Memory:
    """Read a report; raises InputError for bytes that are none."""
    try:
        return from_json(data.decode())
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise InputError(f"{len(data)} bytes are not a report of triggers: {error}") from error


async def last_told(store: Store, bucket: str) -> Memory | None:
    """Return the newest report in a robot's `meta` bucket, None when there is none that can be read."""
    try:
        latest = [entry.latest_us for entry in await store.entries(bucket) if entry.name == STREAM and entry.records]
        return decode((await store.read(bucket, STREAM, latest[0])).data) if latest else None
    except (NotFound, StoreRefused, InputError):
        return None

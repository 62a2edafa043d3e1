"""Decide what travels a hop: the `when` of each task as a value, and a lint for such values.

The engine reads a task's `when` in strict mode: a record without a label that the filter reads raises
inside the engine and is not replicated, with nothing but a line in its log. So every `&label` stands
behind a `$has` of the same label, and the order of keys matters: it is the order of evaluation.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from fleetbox.labels import PIN
from fleetbox.naming import RING_CLASSES
from fleetbox.settings import Uplink

When = dict[str, Any]

SELECTED: When = {"$has": "keep"}
SELECTED_FOR_CLOUD: When = {"$has": "keep", "&keep": {"$eq": 1}}
NO_PIN: When = {"$not": [{"$has": PIN}]}
SMALL_BATCH_BYTES = 256_000  # an event waits for the batch of its own task: 2 s at 1 Mbit/s instead of 64 s
# One batch per round trip: 50 kB chunks cross 50 ms at 2.5 MB/s in batches of 256 kB, at 22 MB/s in the engine's own
# 8 MB. Between classes the relay lets pieces overtake, so only `meta`, small and most urgent, pays that price.
SMALL_BATCH_CLASSES = ("meta",)
ENGINE_BATCH_BYTES = 8_000_000  # the engine's own limit
LEAST_BATCH_BYTES = 64_000  # below it a round trip of 50 ms for each costs more than the cap itself
BATCH_S = 0.5  # of the cap: a round trip of 50 ms costs a tenth, eight picture streams hold up a preview for 4 s
BATCH_SIZE = "#batch_size"
STATEFUL = ("$each_n", "$each_t", "$gate", "$limit", "#ctx_before", "#ctx_after")  # forgotten when a server restarts


def hop_filter(cls: str, from_robot: bool, uplink: Uplink | None = None) -> When | None:
    """Return the `when` of a class on a hop, or None for everything.

    From a robot everything selected travels; a site passes on only what is selected for the cloud (`keep=1`).
    `meta` travels whole, `kept` too but for the copies that pins made there. `uplink` says how large a batch may be;
    None leaves it as it is.
    """
    batch: When = {}
    if cls in SMALL_BATCH_CLASSES:
        batch = {BATCH_SIZE: SMALL_BATCH_BYTES}
    elif uplink is not None:
        batch = {BATCH_SIZE: batch_bytes(uplink.max)}
    wanted: When = {}
    if cls in RING_CLASSES:
        wanted = SELECTED if from_robot else SELECTED_FOR_CLOUD
    elif cls == "kept":
        wanted = NO_PIN
    return {**batch, **wanted} or None


def batch_bytes(max_bytes_s: int | None) -> int:
    """Return how large the batches of a class may be under a cap; the engine's own size without one.

    A task sends one batch of each stream in turn: small frames wait behind one batch of every picture stream.
    """
    if max_bytes_s is None:
        return ENGINE_BATCH_BYTES
    return max(LEAST_BATCH_BYTES, min(ENGINE_BATCH_BYTES, round(max_bytes_s * BATCH_S)))


def condition_of(when: Mapping[str, Any] | None) -> When | None:
    """Return a task's `when` as a query takes it: without the directives about its batches."""
    return {key: value for key, value in (when or {}).items() if not key.startswith("#")} or None


def lint(when: Mapping[str, Any] | None) -> list[str]:
    """Return what would drop records in silence: unguarded labels, operators that forget at a restart."""
    if when is None:
        return []
    faults = [f"{key} forgets its state when the server restarts" for key in _keys(when) if key in STATEFUL]
    return faults + [f"&{name} has no $has before it: records without it are dropped" for name in _unguarded(when)]


def _unguarded(when: Mapping[str, Any]) -> Iterator[str]:
    guarded: set[str] = set()
    for key, value in when.items():
        if key in ("$has", "$exists"):
            guarded.update([value] if isinstance(value, str) else value)
        elif key in ("$and", "$all_of") and isinstance(value, list):
            yield from _unguarded_all(value, guarded)
        elif not key.startswith("#"):
            yield from (name for name in _labels({key: value}) if name not in guarded)


def _unguarded_all(parts: list[Any], guarded: set[str]) -> Iterator[str]:
    for part in parts:
        if isinstance(part, dict) and len(part) == 1 and (named := part.get("$has", part.get("$exists"))):
            guarded.update([named] if isinstance(named, str) else named)
        else:
            yield from (name for name in _labels(part) if name not in guarded)


def _labels(value: Any) -> Iterator[str]:
    if isinstance(value, str) and value.startswith("&"):
        yield value[1:]
    elif isinstance(value, list):
        for item in value:
            yield from _labels(item)
    elif isinstance(value, Mapping):
        for key, item in value.items():
            if key.startswith("&"):
                yield key[1:]
            yield from _labels(item)


def _keys(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield key
            yield from _keys(item)
    elif isinstance(value, list):
        for item in value:
            yield from _keys(item)

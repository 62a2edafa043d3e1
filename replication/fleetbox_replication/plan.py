"""Compare the tasks a store should have with those it has: wanted minus actual, as values."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from fleetbox.blobs import TaskInfo, TaskSpec
from fleetbox_replication.filters import BATCH_SIZE
from fleetbox_replication.tasks import is_ours

Action = Literal["create", "update", "remove", "keep"]
COMPARED = ("src_bucket", "dst_bucket", "dst_url", "entries", "when", "compression")  # the engine never shows tokens


@dataclass(frozen=True, slots=True)
class Change:
    """Say what is to be done with one task of one place, and what differs."""

    place: str
    action: Action
    task: str
    spec: TaskSpec | None = None
    differs: tuple[str, ...] = ()

    def row(self) -> dict[str, Any]:
        """Return the change as a row for people and JSON; tokens stay out."""
        spec = self.spec
        return {
            "place": self.place,
            "action": self.action,
            "task": self.task,
            "from": spec.src_bucket if spec else None,
            "to": f"{spec.dst_bucket} via {spec.dst_url}" if spec else None,
            "when": json.dumps(spec.when) if spec and spec.when else None,
            "skips": [entry[1:] for entry in spec.entries if entry.startswith("!")] if spec else [],
            "differs": list(self.differs),
        }


def plan(place: str, wanted: Iterable[TaskSpec], actual: Iterable[TaskInfo], *, renew: bool = False) -> list[Change]:
    """Return one change per task, ordered by name; tasks of other makers are not mentioned.

    `renew` updates tasks that look right too, so that they carry a new secret.
    """
    specs = {spec.name: spec for spec in wanted}
    infos = {info.spec.name: info for info in actual}
    changes = []
    for name in sorted({*specs, *(name for name, info in infos.items() if is_ours(info.spec))}):
        spec, info = specs.get(name), infos.get(name)
        if spec is None:
            changes.append(Change(place, "remove", name))
        elif info is None:
            changes.append(Change(place, "create", name, spec))
        else:
            differs = differences(spec, info.spec) or (("dst_token",) if renew else ())
            changes.append(Change(place, "update" if differs else "keep", name, spec, differs))
    return changes


def differences(wanted: TaskSpec, actual: TaskSpec) -> tuple[str, ...]:
    """Return the fields in which a task is not as wanted."""
    if BATCH_SIZE not in (wanted.when or {}):  # whoever wants it does not know the uplink: as it is, it is right
        actual = replace(actual, when=_without_batch(actual.when))
    return tuple(name for name in COMPARED if _value(wanted, name) != _value(actual, name))


def _without_batch(when: Mapping[str, Any] | None) -> dict[str, Any] | None:
    return {key: value for key, value in (when or {}).items() if key != BATCH_SIZE} or None


def _value(spec: TaskSpec, name: str) -> Any:
    value = getattr(spec, name)
    if name == "when":
        return json.dumps(value or None)  # as text: the order of keys is the order of evaluation
    if name == "dst_url":
        return value.rstrip("/")
    return tuple(value) if name == "entries" else value

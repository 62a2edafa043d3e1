"""Derive the tasks a place should have from its route and the policy, and nothing else."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fleetbox.blobs import TaskSpec
from fleetbox.errors import InputError
from fleetbox.naming import CLASSES, RING_CLASSES, site_bucket
from fleetbox.settings import HopRule, Place, Uplink
from fleetbox_replication.filters import hop_filter

EVERYTHING = "*"  # alone it spans any depth; a lone `**` would mean names that begin with a star
_NAME = re.compile(rf"(?:(?P<robot>.+)--)?(?P<cls>{'|'.join(CLASSES)})-to-(?P<site>.+)")


@dataclass(frozen=True, slots=True)
class TaskName:
    """Hold what a task's name says; `robot` is None in a robot's own store."""

    robot: str | None
    cls: str
    site: str

    def __str__(self) -> str:
        return f"{self.robot}--{self.cls}-to-{self.site}" if self.robot else f"{self.cls}-to-{self.site}"

    @property
    def src_bucket(self) -> str:
        """Name the bucket that such a task reads."""
        return site_bucket(self.robot, self.cls) if self.robot else self.cls


def parse_name(name: str) -> TaskName | None:
    """Read a task name, or return None for one that fleetbox did not give."""
    match = _NAME.fullmatch(name)
    return TaskName(match["robot"], match["cls"], match["site"]) if match else None


def is_ours(spec: TaskSpec) -> bool:
    """Tell whether fleetbox made a task: its name, its source and its destination must all fit the scheme."""
    name = parse_name(spec.name)
    if name is None or spec.src_bucket != name.src_bucket:
        return False
    return spec.dst_bucket.endswith(f"--{name.cls}") and (name.robot is None or spec.dst_bucket == spec.src_bucket)


def wanted_tasks(
    place: Place, robots: Iterable[str], rule: HopRule, secret: str, uplink: Uplink | None = None
) -> list[TaskSpec]:
    """Return the tasks of a place, one per robot and class, ordered by name; none when it passes nothing on.

    `robots` are those whose records pass this place (a robot's own store: itself); `rule` is what the policy
    does not pass on to the next site; `secret` is what this place's relay knows its own store by; `uplink` sets the
    size of batches, where whoever asks knows it.
    Raises InputError when the place names no relay, or when a glob to skip means something else to the engine.
    """
    if place.next is None:
        return []
    if place.relay is None:
        raise InputError(f"{place.name} passes records on to {place.next} but names no relay", "set `relay` for it")
    own = place.tier == "robot"
    entries = {cls: _entries(rule.skip if cls in RING_CLASSES else ()) for cls in CLASSES}
    tasks = []
    for robot in robots:
        for cls in CLASSES:
            name = TaskName(None if own else robot, cls, place.next)
            tasks.append(
                TaskSpec(
                    name=str(name),
                    src_bucket=name.src_bucket,
                    dst_bucket=site_bucket(robot, cls),
                    dst_url=place.relay,
                    dst_token=secret,
                    entries=entries[cls],
                    when=hop_filter(cls, own, uplink),
                )
            )
    return sorted(tasks, key=lambda task: task.name)


def _entries(skip: Sequence[str]) -> tuple[str, ...]:
    return (EVERYTHING, *(f"!{engine_glob(glob)}" for glob in skip))


def engine_glob(glob: str) -> str:
    """Return a stream glob as the engine reads it, or raise InputError where the engine would read another.

    The engine takes `cam*` as a prefix across segments, and knows neither `?` nor `[...]`.
    """
    if "?" in glob or "[" in glob:
        raise InputError(f"a hop cannot skip {glob!r}: tasks know only * and **", "name the streams or use *")
    if glob.endswith("*") and "/" not in glob and glob != "**":
        raise InputError(
            f"a hop cannot skip {glob!r}: a task would also skip every stream below it",
            f"write '{glob}/**' for all streams below, or name the streams",
        )
    return EVERYTHING if glob == "**" else glob

"""A rollout: one signed policy, the robots it is for, and how far it has been handed out; kept as revisions."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

import xxhash

from fleetbox.errors import InputError

STAGES = (1, 10, 100)  # percent: one robot shows that it holds at all, a tenth what is rare
State = Literal["running", "halted", "done", "over"]  # over: a later rollout to the same robots took its place


@dataclass(frozen=True, slots=True)
class Rollout:
    """Hold a rollout as its latest revision tells it; times in µs since the epoch.

    `robots` stand in the order of their turn; `stages` are percent of them, rising; `stage` is the last one handed out.
    `auto_us` is how long a stage must hold before the site's process goes on by itself; None: a person does.
    `before` is the hash each robot followed, "" where nobody knew. The id is also that of each robot's order.
    """

    id: str
    envelope: str
    policy: str
    name: str
    version: int
    by: str
    begun_us: int
    robots: tuple[str, ...]
    stages: tuple[int, ...] = STAGES
    stage: int = 0
    stage_us: int = 0
    auto_us: int | None = None
    state: State = "running"
    reason: str = ""
    before: Mapping[str, str] = field(default_factory=dict)
    returns: str = ""  # the rollout it takes back
    revision: int = 0

    @property
    def reached(self) -> tuple[str, ...]:
        """Return the robots whose order has been handed out."""
        return self.upto(self.stage)

    @property
    def is_last(self) -> bool:
        """Tell whether every robot's order has been handed out."""
        return len(self.reached) == len(self.robots)

    @property
    def next_stage(self) -> int:
        """Return the next stage that reaches a robot more; of few robots, one and ten percent are the same one."""
        return next((n for n in range(self.stage + 1, len(self.stages)) if self.upto(n) != self.reached), self.stage)

    def upto(self, stage: int) -> tuple[str, ...]:
        """Return the robots of all stages up to one."""
        percent = self.stages[min(stage, len(self.stages) - 1)]
        return self.robots[: max(1, math.ceil(len(self.robots) * percent / 100))]

    def stage_of(self, robot: str) -> int:
        """Return the stage in which a robot has its turn, counted from 0."""
        return next(stage for stage in range(len(self.stages)) if robot in self.upto(stage))

    def next(self, **changed: Any) -> Rollout:
        """Return the next revision."""
        return replace(self, revision=self.revision + 1, **changed)


def check_stages(stages: Sequence[int]) -> tuple[int, ...]:
    """Return stages that rise to 100 percent; raise InputError for others."""
    found = tuple(stages)
    if not found or found[-1] != 100 or any(not 1 <= one <= 100 for one in found) or sorted(set(found)) != list(found):
        shown = ",".join(map(str, found))
        raise InputError(f"--stages {shown!r} is not a row of percents that rises to 100", "write it like 1,10,100")
    return found


def turn_order(robots: Iterable[str], policy: str, online: Iterable[str] = ()) -> tuple[str, ...]:
    """Return robots in the order of their turn: those online first, then by a hash of policy and robot.

    The same robots and policy give the same order; another policy meets other robots first. An offline robot cannot
    show whether a policy holds.
    """
    there = set(online)

    def turn(robot: str) -> tuple[bool, str]:
        return robot not in there, xxhash.xxh3_64_hexdigest(f"{policy}/{robot}".encode())

    return tuple(sorted(robots, key=turn))


def encode(rollout: Rollout) -> bytes:
    """Return the revision's JSON."""
    return json.dumps(asdict(rollout), ensure_ascii=False, separators=(",", ":")).encode()


def decode(data: bytes) -> Rollout:
    """Read a revision; unknown keys are passed over, missing ones raise InputError."""
    try:
        raw: dict[str, Any] = json.loads(data)
        known = {name: raw[name] for name in Rollout.__dataclass_fields__ if name in raw}
        return Rollout(**{**known, "robots": tuple(raw["robots"]), "stages": tuple(raw["stages"])})
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise InputError(f"{len(data)} bytes are no rollout: {error}") from error


def fold(revisions: Iterable[tuple[int, Rollout]]) -> list[Rollout]:
    """Fold revisions, given as (time_us, rollout), into the newest of each, by the time they began.

    Where two people wrote the same revision, the one further on stands, then the later one.
    """
    latest: dict[str, tuple[tuple[int, int, int], Rollout]] = {}
    for time_us, one in revisions:
        rank = (one.revision, one.stage, time_us)
        if one.id not in latest or latest[one.id][0] < rank:
            latest[one.id] = (rank, one)
    return sorted((one for _, one in latest.values()), key=lambda one: (one.begun_us, one.id))

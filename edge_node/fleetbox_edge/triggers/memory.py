"""Keep what rules have said and counted in the robot's state folder: for the next start, and for `doctor`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from fleetbox.disk import write_whole
from fleetbox_edge.triggers.judge import Judge
from fleetbox_edge.triggers.voice import Counts

FILE = "triggers.json"

Told = dict[str, tuple[int | None, int | None, int]]


@dataclass(frozen=True, slots=True)
class Memory:
    """Hold what the judge of a robot last wrote down."""

    at_us: int = 0  # by the wall clock
    since_us: int = 0  # when it began to count
    policy: str = ""
    muted: str | None = None
    faults: Mapping[str, str] = field(default_factory=dict)  # triggers that cannot work
    counts: Mapping[str, Counts] = field(default_factory=dict)
    on: Mapping[str, str] = field(default_factory=dict)
    told: Told = field(default_factory=dict)


def memory_of(judge: Judge, policy: str, faults: Mapping[str, str], since_us: int, now_us: int) -> Memory:
    """Return what is to be remembered of a judge."""
    on = {rule.name: rule.rule.on for rule in judge.rules.all}
    return Memory(now_us, since_us, policy, judge.muted, dict(faults), judge.counts(), on, judge.told())


def write_memory(state: Path, memory: Memory) -> None:
    """Write it down, whole or not at all. Raises OSError."""
    write_whole(state / FILE, json.dumps(asdict(memory)))


def read_memory(state: Path) -> Memory | None:
    """Return what was written last, None when there is nothing that can be read."""
    try:
        return from_json((state / FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError):
        return None


def from_json(text: str) -> Memory:
    """Read a memory; keys that a later version has are passed over. Raises what Python does for text that is none."""
    raw: dict[str, Any] = json.loads(text)
    known = {one.name for one in fields(Counts)}
    counts = {name: Counts(**{k: v for k, v in one.items() if k in known}) for name, one in raw["counts"].items()}
    told = {name: (one[0], one[1], one[2]) for name, one in raw["told"].items()}
    rest = {name: raw[name] for name in ("at_us", "since_us", "policy", "muted", "faults", "on")}
    return Memory(**rest, counts=counts, told=told)

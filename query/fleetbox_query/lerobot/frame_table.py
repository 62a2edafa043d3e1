"""Gather the frames of all intervals of a selection: their numbers, and the stamps of their pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fleetbox.errors import NotFound
from fleetbox_query.lerobot.intervals import Interval, cut, intervals_of
from fleetbox_query.lerobot.tracks import Unfit
from fleetbox_query.lerobot.units import Job, check_job, gather, names_of, plan_frames, task_of, values_of

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class FrameTable:
    """Hold frames: their numbers by feature, and the µs stamp of each picture by feature."""

    numbers: Mapping[str, Array]
    stamps: Mapping[str, Array]
    interval: Array  # which interval each frame is of
    episode: Array
    frame: Array  # within its episode
    ts_ns: Array


@dataclass(slots=True)
class Gathered:
    """Hold what has been made of intervals so far: those that have frames, with their tasks, and what was left out."""

    intervals: list[Interval] = field(default_factory=list)
    tasks: list[str] = field(default_factory=list)
    names: dict[str, list[str]] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)
    lacks: list[str] = field(default_factory=list)
    tables: list[FrameTable] = field(default_factory=list)

    @property
    def episodes(self) -> int:
        """Return how many episodes there are so far."""
        return int(self.tables[-1].episode[-1]) + 1 if self.tables else 0


def gather_frames(job: Job) -> tuple[Gathered, FrameTable]:
    """Read the numbers of all intervals; raises NotFound when not one makes an episode."""
    found = intervals_of(job.session, job.question, job.map.streams)
    pieces = [piece for one in found.found for piece in cut(one, job.map.longest)]
    check_job(job, pieces)
    gathered = Gathered(lacks=[f"not asked: {one}" for one in found.unreached])
    for interval in pieces:
        try:
            _add(job, interval, gathered)
        except Unfit as error:
            gathered.skipped.append(f"{interval}: {error}")
    if not gathered.tables:
        raise NotFound(
            f"none of {len(pieces)} intervals makes an episode; {gathered.skipped[0]}",
            "`fleetbox ls` shows the streams; max_age, clock and least_frames stand in lerobot.toml",
        )
    gathered.lacks = list(dict.fromkeys(gathered.lacks))
    return gathered, _joined(gathered.tables)


def _add(job: Job, interval: Interval, gathered: Gathered) -> None:
    import numpy as np

    sources = gather(job, interval)
    plan = plan_frames(job.map, interval, sources)
    task = task_of(job, interval, sources)
    names = names_of(job.map, sources)
    if gathered.names not in ({}, names):
        raise Unfit("the streams' fields changed; take these times by themselves")
    stamps = {
        feature: sources.shots[rule.selectors[0].stream].time_us[plan.picked[feature][rule.sources[0]].index]
        for feature, rule in job.map.pictures.items()
    }
    lengths = [stop - start for start, stop in plan.episodes]
    of_frame = np.repeat(np.arange(len(lengths)), lengths)
    table = FrameTable(
        values_of(job.map, sources, plan),
        stamps,
        np.full(len(of_frame), len(gathered.intervals)),
        of_frame + gathered.episodes,
        np.concatenate([np.arange(length) for length in lengths]),
        plan.now_ns,
    )
    gathered.names = names
    gathered.intervals.append(interval)
    gathered.tasks.append(task)
    gathered.lacks += sources.lacks
    gathered.tables.append(table)


def _joined(parts: Sequence[FrameTable]) -> FrameTable:
    import numpy as np

    first = parts[0]
    return FrameTable(
        {name: np.concatenate([part.numbers[name] for part in parts]) for name in first.numbers},
        {name: np.concatenate([part.stamps[name] for part in parts]) for name in first.stamps},
        *(
            np.concatenate([getattr(part, name) for part in parts])
            for name in ("interval", "episode", "frame", "ts_ns")
        ),
    )

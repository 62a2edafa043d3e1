"""Film an interval's cameras side by side, each frame the picture that was decided for it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fleetbox.selectors import Selector
from fleetbox_query.lerobot.crews import Crew
from fleetbox_query.lerobot.intervals import Interval
from fleetbox_query.lerobot.pictures import wanted_pictures
from fleetbox_query.lerobot.statistics import of_levels
from fleetbox_query.lerobot.tracks import Unfit
from fleetbox_query.lerobot.units import Job, Plan, Sources


@dataclass(frozen=True, slots=True)
class Filmed:
    """Hold what came of a camera: its size, statistics and colour counts for each episode, frames without a picture."""

    size: tuple[int, int]
    stats: tuple[dict[str, Any], ...]
    levels: tuple[Any, ...]
    counted: tuple[int, ...]
    missing: int
    scaled: int


def film(
    job: Job, interval: Interval, sources: Sources, plan: Plan, targets: Mapping[str, tuple[Path, Any]]
) -> tuple[dict[str, Filmed], tuple[str, ...]]:
    """Film an interval's cameras side by side; targets: feature -> (path, size or None).

    Returns what came of each camera, and what was missing while reading.
    """
    map_, crews, orders = job.map, {}, {}
    of_frame = [at for at, (start, stop) in enumerate(plan.episodes) for _ in range(start, stop)]
    streams: dict[str, list[str]] = {}
    for feature, rule in map_.pictures.items():
        shots = sources.shots[rule.selectors[0].stream]
        streams.setdefault(rule.selectors[0].stream, []).append(feature)
        orders[feature] = shots.time_us[plan.picked[feature][rule.sources[0]].index].tolist()
    if not orders:
        return {}, ()
    cameras = [Selector("*", stream) for stream in streams]
    low, high = min(map(min, orders.values())), max(map(max, orders.values()))
    asked = replace(job.ask(interval, cameras, 0), start=low, stop=high + 1)
    with ExitStack() as stack:
        for feature, (path, size) in targets.items():
            crew = Crew(path, map_.fps, size, map_.video, of_frame, map_.statistics_every)
            stack.callback(crew.stop)
            crews[feature] = crew
        records = job.records(asked)
        stack.callback(records.close)
        by_stream = {stream: {name: orders[name] for name in features} for stream, features in streams.items()}
        for feature, data in wanted_pictures(records, by_stream):
            crews[feature].give(data)
        for feature, crew in crews.items():
            _joined_crew(feature, crew)
    return {feature: _filmed(crew) for feature, crew in crews.items()}, tuple(records.provenance.lines())


def _joined_crew(feature: str, crew: Crew) -> None:
    try:
        crew.join()
    except Unfit as error:
        raise Unfit(f"{feature}: {error}") from error


def _filmed(crew: Crew) -> Filmed:
    stats = tuple(of_levels(*pair) for pair in zip(crew.levels, crew.counted, strict=True))
    assert crew.size is not None
    levels = tuple(one.tolist() for one in crew.levels)
    return Filmed(crew.size, stats, levels, tuple(crew.counted), crew.missing, crew.scaled)

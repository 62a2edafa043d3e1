"""Make the frames of one interval: numbers into a Parquet file, pictures into a film for each camera, and a report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from fleetbox.errors import InputError, NotFound
from fleetbox.selectors import Selector
from fleetbox.settings.lerobot import FeatureRule, LerobotMap, stream_of
from fleetbox_query.frames import Tables
from fleetbox_query.items import chosen_fields
from fleetbox_query.lerobot.grid import Picked, Slots, pick, runs_of, slots_along, slots_over
from fleetbox_query.lerobot.intervals import Interval
from fleetbox_query.lerobot.pictures import Shots, list_shots
from fleetbox_query.lerobot.statistics import of_values
from fleetbox_query.lerobot.tracks import NS_PER_US, Track, Unfit, cast, check_text, joined, sampled, times_of, track_of
from fleetbox_query.provenance import Provenance
from fleetbox_query.question import Question
from fleetbox_query.reading import Reading
from fleetbox_query.session import Session
from fleetbox_query.streaming import Records

CLOCK_MARGIN_US = 1_000_000  # a source's own clock may lie this far from the records' at an interval's ends


@dataclass(frozen=True, slots=True)
class Job:
    """Hold what all intervals share. question: labels and places that records are read by."""

    session: Session
    question: Question
    map: LerobotMap

    def ask(self, interval: Interval, streams: Sequence[Selector], margin_us: int) -> Question:
        """Return the question for an interval's streams, with so much before and after it."""
        selectors = tuple(replace(one, robot=interval.robot) for one in streams)
        start, stop = max(0, interval.start_us - margin_us), interval.stop_us + margin_us
        return replace(
            self.question, selectors=selectors, start=start, stop=stop, events=None, episodes=None,
            computed=interval.computed,
        )  # fmt: skip

    def records(self, question: Question) -> Records:
        """Return rows and blobs in order of time, pictures from the videos made of them too."""
        return Records(self.session.loop, self.session.run(self._reading(question)), warn=False)

    async def _reading(self, question: Question) -> Reading:
        return Reading(self.session.stores, await self.session.prepare(question, films=True))


@dataclass(frozen=True, slots=True)
class Sources:
    """Hold what an interval's frames are made of: tracks by SOURCE text, shots by stream, and what was missing."""

    tracks: Mapping[str, Track]
    shots: Mapping[str, Shots]
    reference_ns: Any  # None: the map names no reference
    lacks: tuple[str, ...]
    measures: Mapping[str, Mapping[str, str]]  # what each number of a feature is measured in, where a stream says it


@dataclass(frozen=True, slots=True)
class Plan:
    """Hold the frames of an interval: their moments, the record that stands for each in each source, the episodes.

    episodes: (first, last + 1) frame of each.
    """

    now_ns: Any
    picked: Mapping[str, Mapping[str, Picked]]
    episodes: tuple[tuple[int, int], ...]
    report: Mapping[str, Any]


def gather(job: Job, interval: Interval) -> Sources:
    """Read an interval's numbers and when its pictures were taken; raises Unfit when a stream is not there."""
    map_ = job.map
    age_us = max(map_.age_us(rule) for rule in map_.features.values())
    margin_us = age_us + (0 if map_.clock == "record" else CLOCK_MARGIN_US)
    lacks: list[str] = []
    tables = Tables({}, Provenance())
    tracks: dict[str, Track] = {}
    if wanted := [one for rule in map_.numbers.values() for one in rule.selectors]:
        tables = _tables(job, job.ask(interval, wanted, margin_us))
        lacks += tables.provenance.lines()
        for feature, rule in map_.numbers.items():
            found = {text: _track(tables, interval, text, rule, map_) for text in rule.sources}
            if rule.dtype == "string":
                check_text(list(found.values()), feature)
            tracks |= {f"{feature} {text}": one for text, one in found.items()}
    shots: dict[str, Shots] = {}
    if cameras := [one for rule in map_.pictures.values() for one in rule.selectors]:
        shots = _shots(job, job.ask(interval, cameras, margin_us))
        for camera in cameras:
            if camera.stream not in shots:
                raise Unfit(f"there are no pictures of {camera.stream}")
    measures = {feature: _measures(tables, interval, rule) for feature, rule in map_.numbers.items()}
    return Sources(tracks, shots, _reference(map_, interval, tables, shots), tuple(lacks), measures)


def plan_frames(map_: LerobotMap, interval: Interval, sources: Sources) -> Plan:
    """Decide an interval's frames; pure. Raises Unfit when none is left, with what took them."""
    import numpy as np

    slots = _slots(map_, interval, sources)
    if not len(slots.now_ns):
        raise Unfit(f"there is no record of the reference {map_.reference} in it" if map_.reference else "it is empty")
    picked = {
        feature: {
            text: pick(times, slots.now_ns, map_.method_of(rule), map_.age_us(rule) * NS_PER_US)
            for text, times in times_of_feature(feature, rule, sources).items()
        }
        for feature, rule in map_.features.items()
    }
    whole = {feature: np.all([one.index >= 0 for one in found.values()], axis=0) for feature, found in picked.items()}
    kept = np.all(list(whole.values()), axis=0)
    runs = [run for run in runs_of(kept, map_.gaps == "split") if len(run[0]) >= map_.least_frames]
    report = _report(map_, slots, picked, whole, runs)
    if not runs:
        worst = min(whole, key=lambda feature: int(whole[feature].sum()))
        raise Unfit(
            f"of {len(kept)} frames {int(kept.sum())} have every feature (least often {worst}, "
            f"none older than {map_.age_us(map_.features[worst]) / 1000:g} ms), {map_.least_frames} are the least"
        )
    chosen = np.concatenate([run for run, _ in runs])
    ends = np.cumsum([len(run) for run, _ in runs]).tolist()
    cut = {
        feature: {text: Picked(one.index[chosen], one.age_ns[chosen]) for text, one in found.items()}
        for feature, found in picked.items()
    }
    return Plan(slots.now_ns[chosen], cut, tuple(zip([0, *ends[:-1]], ends, strict=True)), report)


def values_of(map_: LerobotMap, sources: Sources, plan: Plan) -> dict[str, Any]:
    """Return each vector's values at the frames, as arrays of its dtype: (frames, n), or (frames,) for text."""
    import numpy as np

    found = {}
    for feature, rule in map_.numbers.items():
        linear = map_.method_of(rule) == "linear" and rule.dtype in ("float32", "float64")
        parts = [
            sampled(sources.tracks[f"{feature} {text}"], plan.picked[feature][text], plan.now_ns, linear=linear)
            for text in rule.sources
        ]
        found[feature] = cast(np.concatenate(parts, axis=1), rule.dtype, feature)
    return found


def names_of(map_: LerobotMap, sources: Sources) -> dict[str, list[str]]:
    """Return what each number of each vector is called."""
    return {
        feature: list(joined({text: sources.tracks[f"{feature} {text}"] for text in rule.sources}, rule.sources))
        for feature, rule in map_.numbers.items()
    }


def times_of_feature(feature: str, rule: FeatureRule, sources: Sources) -> dict[str, Any]:
    """Return the times in ns of each source of a feature."""
    stream = rule.selectors[0].stream
    if stream in sources.shots and f"{feature} {rule.sources[0]}" not in sources.tracks:
        return {rule.sources[0]: sources.shots[stream].times_ns}
    return {text: sources.tracks[f"{feature} {text}"].times_ns for text in rule.sources}


def statistics_of(values: Mapping[str, Any], start: int, stop: int) -> dict[str, Any]:
    """Return the statistics of the vectors over frames [start, stop); text has none."""
    return {feature: of_values(found[start:stop]) for feature, found in values.items() if found.dtype != object}


def task_of(job: Job, interval: Interval, sources: Sources) -> str:
    """Return an interval's task; raises Unfit where a label is wanted that its reference does not have."""
    said = job.map.task
    if said in ("episode.note", "event.note"):
        return interval.note or interval.kind.replace("_", " ")
    if said in ("episode.kind", "event.kind"):
        return interval.kind or interval.note
    kind, _, label = said.partition(".")
    if kind != "label":
        return said
    if label in (own := dict(interval.labels)):
        return own[label]
    camera = job.map.reference or next(iter(job.map.features.values())).selectors[0].stream
    shots = sources.shots.get(camera)
    found = shots.labels if shots else _labels(job, interval, camera)
    if label not in found:
        raise Unfit(f"{camera} has no label {label!r} to take the task from")
    return found[label]


def _labels(job: Job, interval: Interval, stream: str) -> Mapping[str, str]:
    asked = job.ask(interval, [Selector("*", stream)], 0)
    records = job.records(asked)
    try:
        return next(iter(records)).labels
    except StopIteration:
        return {}
    finally:
        records.close()


def _tables(job: Job, question: Question) -> Tables:
    from fleetbox_query.selection import Selection

    try:
        return Selection(job.session, question).arrow(warn=False)
    except NotFound as error:
        raise Unfit(error.message) from error


def _track(tables: Tables, interval: Interval, text: str, rule: FeatureRule, map_: LerobotMap) -> Track:
    selector = stream_of(text)
    name = f"{interval.robot}/{selector.stream}"
    if name not in tables:
        raise Unfit(f"there is nothing of {selector.stream}")
    return track_of(tables[name], name, [selector.field], map_.clock, text=rule.dtype == "string")


def _measures(tables: Tables, interval: Interval, rule: FeatureRule) -> dict[str, str]:
    found: dict[str, str] = {}
    for selector in rule.selectors:
        for source in tables.sources:
            if source.name == f"{interval.robot}/{selector.stream}":
                said = source.schema.fields
                names = chosen_fields(said, None if selector.field is None else (selector.field,))
                found |= {f"{selector.stream}:{name}": str(said[name].get("unit") or "") for name in names}
    return {name: unit for name, unit in found.items() if unit}


def _shots(job: Job, question: Question) -> dict[str, Shots]:
    try:
        return job.session.run(list_shots(job.session, question, job.map.clock))
    except NotFound as error:
        raise Unfit(error.message) from error


def _reference(map_: LerobotMap, interval: Interval, tables: Tables, shots: Mapping[str, Shots]) -> Any:
    """Return when the reference has records within the interval, in order and each time once."""
    import numpy as np

    if map_.reference is None:
        return None
    stream = stream_of(map_.reference).stream
    if stream in shots:
        times, stamps = shots[stream].times_ns, shots[stream].time_us
    else:
        name = f"{interval.robot}/{stream}"
        times, stamps = times_of(tables[name], name, map_.clock), times_of(tables[name], name, "record") // NS_PER_US
    return np.unique(times[(stamps >= interval.start_us) & (stamps < interval.stop_us)])


def _slots(map_: LerobotMap, interval: Interval, sources: Sources) -> Slots:
    if sources.reference_ns is not None:
        return slots_along(sources.reference_ns, map_.fps)
    return slots_over(interval.start_us * NS_PER_US, interval.stop_us * NS_PER_US, map_.fps)


def _report(
    map_: LerobotMap,
    slots: Slots,
    picked: Mapping[str, Mapping[str, Picked]],
    whole: Mapping[str, Any],
    runs: Sequence[tuple[Any, int]],
) -> dict[str, Any]:
    import numpy as np

    used = np.concatenate([run for run, _ in runs]) if runs else np.empty(0, np.int64)
    features = {}
    for feature, found in picked.items():
        ages = np.concatenate([one.age_ns[used] for one in found.values()]) / 1e6
        indexes = next(iter(found.values())).index[used]
        features[feature] = {
            "method": map_.method_of(map_.features[feature]),
            "dropped_frames": int((~whole[feature]).sum()),
            "repeated_frames": int((indexes[1:] == indexes[:-1]).sum()),
            "passed_over_records": int((np.diff(indexes) - 1).clip(0).sum()),
            "age_ms_mean": round(float(np.abs(ages).mean()), 3) if len(ages) else None,
            "age_ms_most": round(float(np.abs(ages).max()), 3) if len(ages) else None,
        }
    return {
        "slots": len(slots.now_ns),
        "frames": len(used),
        "dropped_frames": len(slots.now_ns) - len(used),
        "slots_without_reference": int((slots.reference < 0).sum()),
        "holes_within_episodes": sum(holes for _, holes in runs),
        "features": features,
    }


def check_job(job: Job, intervals: Sequence[Interval]) -> None:
    """Raise InputError for what no interval can make up for: a task that nothing says."""
    if job.map.task in ("episode.note", "event.note", "episode.kind", "event.kind"):
        silent = [one for one in intervals if not one.note and not one.kind]
        if silent:
            raise InputError(
                f"{silent[0]} is no event and has no note to take its task from",
                'give --task TEXT, or in lerobot.toml task = "label.NAME" or the task\'s own text',
            )

"""Export intervals as a LeRobot v3.0 dataset: each one by itself, so that what is finished survives, then together."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from fleetbox.errors import InputError, NotFound
from fleetbox.extras import require
from fleetbox.settings.lerobot import LerobotMap
from fleetbox_query.exports.asked import as_plain, fixed, window_of
from fleetbox_query.exports.output import Output
from fleetbox_query.lerobot import layout
from fleetbox_query.lerobot.assembling import Unit, assemble, data_schema
from fleetbox_query.lerobot.exported import Exported
from fleetbox_query.lerobot.intervals import Interval, Intervals, cut, intervals_of
from fleetbox_query.lerobot.statistics import of_values
from fleetbox_query.lerobot.takes import Filmed, film
from fleetbox_query.lerobot.tracks import Unfit
from fleetbox_query.lerobot.units import (
    Job,
    Plan,
    check_job,
    gather,
    names_of,
    plan_frames,
    statistics_of,
    task_of,
    values_of,
)
from fleetbox_query.nothing import why_nothing
from fleetbox_query.question import Question
from fleetbox_query.session import Session

WORK = "work/"  # finished intervals; gone from the dataset in the end
SAID = "said.json"
Advance = Callable[[float, str], None]  # the part done, 0 to 1, and words beside it


def export_lerobot(
    session: Session,
    question: Question,
    map_: LerobotMap,
    target: Path,
    *,
    intervals: Sequence[Interval] | None = None,
    said: Mapping[str, Any] | None = None,
    advance: Advance = lambda done, text: None,
) -> Exported:
    """Write the intervals that a question means (or those given) into the folder `target`, whole or not at all.

    The question says robots, times or events, labels and places; which streams is the map's to say. Asked again
    after it was stopped it goes on with the interval it was at. said: the words a person used for some of the
    question ("-1h"), by which a stopped export knows its own question again. advance: told the part done, 0 to 1.
    Raises NotFound when not one interval makes an episode.
    """
    require("query")
    asked: dict[str, Any] = {"format": "lerobot", "map": map_.model_dump(mode="json", by_alias=True)}
    asked["query"] = as_plain(question, said or {})
    if intervals is not None:
        asked["intervals"] = [one.as_dict() for one in intervals]
    with Output(target, asked, folder=True) as out:
        window = out.remember("window_us", window_of(session, question))
        job = Job(session, fixed(question, (window[0], window[1])), map_)
        found, unreached = _intervals(job, intervals)
        check_job(job, found)
        plain = [one.as_dict() for one in found]
        if out.remember("intervals", plain) != plain:  # events came since that an earlier attempt did not know
            out.begin_anew({"window_us": list(window), "intervals": plain})
        if layout.REPORT not in out.finished:
            _make(out, job, found, unreached, advance)
        return _ended(out, target)


def _intervals(job: Job, given: Sequence[Interval] | None) -> tuple[list[Interval], list[str]]:
    """Return the intervals, none longer than the map allows, and the places that could not be asked for them."""
    found = Intervals(tuple(given)) if given is not None else intervals_of(job.session, job.question, job.map.streams)
    pieces = [piece for one in found.found for piece in cut(one, job.map.longest)]
    return pieces, [f"not asked: {one}" for one in found.unreached]


def _make(out: Output, job: Job, intervals: Sequence[Interval], unreached: Sequence[str], advance: Advance) -> None:
    units: list[Unit] = []
    skipped: list[str] = []
    total, done = sum(one.stop_us - one.start_us for one in intervals), 0
    for at, interval in enumerate(intervals):
        advance(done / total, f"interval {at + 1} of {len(intervals)}")
        try:
            units.append(_unit(out, job, interval, f"{WORK}{at:06d}"))
        except Unfit as error:
            skipped.append(f"{interval}: {error}")
        done += interval.stop_us - interval.start_us
    if not units:
        raise NotFound(
            f"none of {len(intervals)} intervals makes an episode; {skipped[0]}{_absent(job, intervals[0])}",
            "`fleetbox ls` shows the streams; max_age, clock and least_frames stand in lerobot.toml",
        )
    advance(1.0, "joining")
    totals = assemble(out, job.map, units[0].said["shape"], units)
    _write_card(out, job.map, totals)
    lacks = [*unreached, *dict.fromkeys(line for unit in units for line in unit.said["lacks"])]
    report = {
        "totals": totals,
        "map": job.map.model_dump(mode="json", by_alias=True),
        "skipped": skipped,
        "lacks": lacks,
        "units": [{name: unit.said[name] for name in ("interval", "resampling", "cameras")} for unit in units],
    }
    with out.part(layout.REPORT) as path:
        path.write_text(json.dumps(report, indent=1))


def _absent(job: Job, interval: Interval) -> str:
    """Say which label or field of the question nothing has, and what there is instead."""
    if not job.question.labels and not job.question.when:
        return ""
    return f"; {why_nothing(job.session, job.ask(interval, job.map.streams, 0))}"


def _ended(out: Output, target: Path) -> Exported:
    report = json.loads(out.path_of(layout.REPORT).read_text())
    for name in [name for name in out.finished if name.startswith(WORK)]:
        out.drop(name)
    _remove_empty(out.path_of(WORK))
    counts = report["totals"]
    out.finish({"counts": counts, "skipped": report["skipped"], "lacks": report["lacks"]})
    return Exported(target, **counts, skipped=tuple(report["skipped"]), lacks=tuple(report["lacks"]), report=report)


def _remove_empty(folder: Path) -> None:
    for path in sorted(folder.rglob("*"), reverse=True):
        path.rmdir()
    if folder.is_dir():
        folder.rmdir()


def _unit(out: Output, job: Job, interval: Interval, name: str) -> Unit:
    """Return an interval's files, made now unless an earlier attempt did."""
    frames, said = f"{name}/frames.parquet", f"{name}/{SAID}"
    films = {feature: f"{name}/{feature}.mp4" for feature in job.map.pictures}
    if not {frames, said, *films.values()} <= out.finished.keys():
        sources = gather(job, interval)
        plan = plan_frames(job.map, interval, sources)
        task = task_of(job, interval, sources)
        values, names = values_of(job.map, sources, plan), names_of(job.map, sources)
        earlier = _earlier_shape(out)
        sizes = _known_sizes(earlier, job.map, names)
        _check_measures(earlier, sources.measures)
        with out.batch() as batch:
            targets = {feature: (batch.path(path), sizes.get(feature)) for feature, path in films.items()}
            filmed, lacks = film(job, interval, sources, plan, targets)
            shape = {**_shape(job.map, names, filmed), "measures": sources.measures}
            _write_frames(batch.path(frames), job.map, shape, values, plan)
            told = _said(interval, plan, values, filmed, task)
            told["shape"], told["lacks"] = shape, [*sources.lacks, *lacks, *told["lacks"]]
            batch.path(said).write_text(json.dumps(told))
    return Unit(frames, films, json.loads(out.path_of(said).read_text()))


def _earlier_shape(out: Output) -> dict[str, Any] | None:
    """Return what the first episode's features are like; None before there is one."""
    earlier = next((name for name in out.finished if name.endswith(f"/{SAID}")), None)
    return None if earlier is None else dict(json.loads(out.path_of(earlier).read_text())["shape"])


def _known_sizes(
    shape: Mapping[str, Any] | None, map_: LerobotMap, names: Mapping[str, list[str]]
) -> dict[str, tuple[int, int]]:
    """Return each camera's size as the map or the first episode has it; raises Unfit where the fields differ."""
    sizes = {feature: rule.size for feature, rule in map_.pictures.items() if rule.size}
    if shape is None:
        return sizes
    for feature, found in names.items():
        if found != shape["vectors"][feature][1]:
            raise Unfit(
                f"{feature} is {', '.join(found)} here, but {', '.join(shape['vectors'][feature][1])} before: "
                "the stream's fields changed; export these times by themselves"
            )
    return {feature: (int(size[0]), int(size[1])) for feature, size in shape["cameras"].items()} | sizes


def _check_measures(shape: Mapping[str, Any] | None, measures: Mapping[str, Mapping[str, str]]) -> None:
    """Raise Unfit where a number is in another unit than in the first episode: nobody could tell them apart later."""
    for feature, found in measures.items():
        for name, unit in found.items():
            before = (shape or {}).get("measures", {}).get(feature, {}).get(name, unit)
            if before != unit:
                raise Unfit(f"{feature}: {name} is in {unit} here, but in {before} before; export them apart")


def _shape(map_: LerobotMap, names: Mapping[str, list[str]], filmed: Mapping[str, Filmed]) -> dict[str, Any]:
    """Return what all episodes have in common."""
    vectors = {feature: [map_.numbers[feature].dtype, found] for feature, found in names.items()}
    return {"vectors": vectors, "cameras": {feature: list(one.size) for feature, one in filmed.items()}}


def _write_frames(
    path: Path, map_: LerobotMap, shape: Mapping[str, Any], values: Mapping[str, Any], plan: Plan
) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = data_schema(layout.features_of(shape["vectors"], {}, map_.fps, map_.video))
    columns = {}
    for name, found in values.items():
        kind = schema.field(name).type
        flat = pa.array(found.ravel().tolist() if found.dtype == object else found.ravel())
        columns[name] = (
            flat if not pa.types.is_fixed_size_list(kind) else pa.FixedSizeListArray.from_arrays(flat, kind.list_size)
        )
    columns[layout.TS_NS] = pa.array(plan.now_ns)
    pq.write_table(pa.table(columns), path)


def _said(
    interval: Interval,
    plan: Plan,
    values: Mapping[str, Any],
    filmed: Mapping[str, Filmed],
    task: str,
) -> dict[str, Any]:
    episodes = [
        {
            "start": start,
            "stop": stop,
            "t0_ns": int(plan.now_ns[start]),
            "task": task,
            "stats": {
                **statistics_of(values, start, stop),
                layout.TS_NS: of_values(plan.now_ns[start:stop]),
                **{feature: one.stats[at] for feature, one in filmed.items()},
            },
        }
        for at, (start, stop) in enumerate(plan.episodes)
    ]
    missing = [f"{interval}: {one.missing} pictures of {name} repeat the one before: gone or unreadable"
               for name, one in filmed.items() if one.missing]  # fmt: skip
    return {
        "interval": interval.as_dict(),
        "episodes": episodes,
        "resampling": plan.report,
        "cameras": {
            feature: {"missing_pictures": one.missing, "scaled_pictures": one.scaled} for feature, one in filmed.items()
        },
        "levels": {feature: list(one.levels) for feature, one in filmed.items()},
        "counted": {feature: list(one.counted) for feature, one in filmed.items()},
        "lacks": missing,
    }


def _write_card(out: Output, map_: LerobotMap, totals: Mapping[str, int]) -> None:
    text = (
        "---\ntags: [LeRobot, fleetbox]\ntask_categories: [robotics]\n---\n\n"
        f"LeRobot v3.0 dataset: {totals['episodes']} episodes, {totals['frames']} frames at {map_.fps} fps. Made by\n"
        f"fleetbox; `{layout.REPORT}` says how each frame came about, `{layout.TS_NS}` is each frame's exact moment.\n"
    )
    with out.part(layout.CARD) as path:
        path.write_text(text)


def map_of(where: Path | str | LerobotMap | None) -> LerobotMap:
    """Return a map as it is given, or read it; None looks for ./lerobot.toml."""
    from fleetbox.settings.lerobot import load_map

    if isinstance(where, LerobotMap):
        return where
    path = Path("lerobot.toml") if where is None else Path(where)
    if where is None and not path.is_file():
        raise InputError(
            "no map says which streams are state, action and pictures",
            "draft one: fleetbox export lerobot SELECTOR --init > lerobot.toml",
        )
    return load_map(path)

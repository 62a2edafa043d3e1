"""Exports to LeRobot: the frames are what the streams held at their times, and the dataset is whole."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pyarrow.parquet as pq
import pytest
from xxhash import xxh3_64_hexdigest

from fleetbox.errors import InputError, NotFound
from fleetbox.events import Event, draft, new_event
from fleetbox.records import Draft
from fleetbox.settings.lerobot import LerobotMap
from fleetbox.types import video
from fleetbox.types.video import Clip
from fleetbox_query.fleet import Fleet
from fleetbox_query.lerobot import exporting
from fleetbox_query.lerobot.checking import check_dataset
from fleetbox_query.lerobot.exported import Exported
from fleetbox_query.lerobot.exporting import export_lerobot
from fleetbox_query.lerobot.intervals import Interval
from fleetbox_query.lerobot.units import Job, Sources

from ..conftest import Tiers, blob, chunk
from .conftest import FPS, SECOND, T0, camera_times, joints, make_map, picture, record, shoot


def export(fleet: Fleet, tiers: Tiers, map_: LerobotMap, out: Path, start: int = T0, seconds: float = 2.0) -> Exported:
    """Export a stretch of the robot's time."""
    question = fleet.select(f"{tiers.robot}/**").between(start, start + round(seconds * SECOND)).question
    return export_lerobot(fleet.session, question, map_, out)


def levels(path: Path) -> list[float]:
    """Return the mean brightness of each frame of a video."""
    with av.open(str(path)) as file:
        return [float(frame.to_ndarray(format="gray").mean()) for frame in file.decode(video=0)]


def test_a_stretch_becomes_an_episode(
    tiers: Tiers, fleet: Fleet, names: dict[str, str], map_: LerobotMap, tmp_path: Path
) -> None:
    """Every frame holds the pictures, states and actions known at its moment, and the counters agree."""
    record(tiers, names)
    done = export(fleet, tiers, map_, tmp_path / "out")
    assert (done.episodes, done.frames, done.tasks, done.complete) == (1, 60, 1, True)
    out = tmp_path / "out"
    table = pq.read_table(out / "data/chunk-000/file-000.parquet")
    moments = table["ts_ns"].to_numpy()
    state = np.array(table["observation.state"].to_pylist())
    assert state[:, 0].tolist() == ((moments - (T0 - SECOND // 2) * 1000) // 10_000_000).tolist()
    assert (state[:, 1] == -state[:, 0]).all()
    assert table["timestamp"].to_numpy().tolist() == [np.float32(k / FPS) for k in range(60)]
    assert table["index"].to_pylist() == list(range(60))
    shown = levels(out / "videos/observation.images.front/chunk-000/file-000.mp4")
    assert np.allclose(shown, [40 + k for k in range(60)], atol=2.5)
    info = json.loads((out / "meta/info.json").read_text())
    assert (info["total_frames"], info["features"]["observation.images.front"]["shape"]) == (60, [48, 64, 3])
    assert not (out / "work").exists()


def test_events_become_episodes_and_a_bad_one_is_named(
    tiers: Tiers, fleet: Fleet, names: dict[str, str], tmp_path: Path
) -> None:
    """Each interval is an episode with its own note as task; one without pictures is left out, with the reason."""
    intervals = []
    for at, note in enumerate(("pick", "place", "pick")):
        start = T0 + at * 10 * SECOND
        record(tiers, names, start, 1.0)
        intervals.append(Interval(tiers.robot, start, start + SECOND, note, source=f"event:{at}"))
    intervals.insert(1, Interval(tiers.robot, T0 + 100 * SECOND, T0 + 101 * SECOND, "nothing", source="event:none"))
    question = fleet.select(f"{tiers.robot}/**").question
    map_ = make_map(names, task="episode.note")
    done = export_lerobot(fleet.session, question, map_, tmp_path / "out", intervals=intervals)
    assert (done.episodes, done.frames, done.tasks) == (3, 90, 2)
    (left,) = done.skipped
    assert left.startswith("event:none: there is nothing of")
    assert check_dataset(tmp_path / "out") == []
    rows = pq.read_table(tmp_path / "out/meta/episodes/chunk-000/file-000.parquet").to_pylist()
    assert [(row["tasks"], row["source"], row["dataset_from_index"]) for row in rows] == [
        (["pick"], "event:0", 0),
        (["place"], "event:1", 30),
        (["pick"], "event:2", 60),
    ]


def test_a_hole_leaves_frames_out_or_parts_the_episode(
    tiers: Tiers, fleet: Fleet, names: dict[str, str], map_: LerobotMap, tmp_path: Path
) -> None:
    """Where a source is silent for longer than max_age the frames are left out, counted; or another episode begins."""
    shots = camera_times(T0, 3.0)
    shoot(tiers, names["front"], shots)
    shoot(tiers, names["wrist"], [at for at in shots if not T0 + SECOND <= at < T0 + 2 * SECOND])
    joints(tiers, names["joints"], T0, 3.0)
    joints(tiers, names["cmd"], T0, 3.0)
    done = export(fleet, tiers, map_, tmp_path / "drop", seconds=3.0)
    assert done.episodes == 1
    assert 61 <= done.frames <= 64  # the last picture before the hole stands for 100 ms of it
    said = done.report["units"][0]["resampling"]
    assert said["features"]["observation.images.wrist"]["dropped_frames"] == 90 - done.frames
    split = export(fleet, tiers, make_map(names, gaps="split"), tmp_path / "split", seconds=3.0)
    assert (split.episodes, split.frames) == (2, done.frames)
    assert check_dataset(tmp_path / "drop") == check_dataset(tmp_path / "split") == []


def test_a_picture_that_does_not_open_is_named(
    tiers: Tiers, fleet: Fleet, names: dict[str, str], map_: LerobotMap, tmp_path: Path
) -> None:
    """The frame repeats the picture before, the export says so, and the counts agree."""
    shots = camera_times(T0, 1.0)
    shoot(tiers, names["front"], shots[:10])
    broken = [blob(names["front"], shots[10], b"\xff\xd8\xffnothing", robot=tiers.robot, kind="images")]
    tiers.put("edge", "media", broken)
    shoot(tiers, names["front"], shots[11:], offset=11)
    shoot(tiers, names["wrist"], shots)
    joints(tiers, names["joints"], T0, 1.0)
    joints(tiers, names["cmd"], T0, 1.0)
    done = export(fleet, tiers, map_, tmp_path / "out", seconds=1.0)
    (lack,) = done.lacks
    assert "1 pictures of observation.images.front repeat the one before" in lack
    shown = levels(tmp_path / "out/videos/observation.images.front/chunk-000/file-000.mp4")
    assert np.allclose(shown, [40 + (k if k != 10 else 9) for k in range(30)], atol=2.5)


def test_pictures_that_became_video_are_exported_alike(
    tiers: Tiers, fleet: Fleet, names: dict[str, str], map_: LerobotMap, tmp_path: Path
) -> None:
    """The frames of a video made while idle stand for the pictures they were made of."""
    shots = camera_times(T0, 2.0)
    clip = Clip([picture(40 + k) for k in range(30)], shots[:30], {"stream": names["front"]})
    data = video.encode_clip(clip, crf=10)
    labels = {
        "robot": tiers.robot,
        "type": "video",
        "rows": "30",
        "t_end": str(shots[29]),
        "xxh": xxh3_64_hexdigest(data),
    }
    tiers.put("edge", "media", [Draft(f"{names['front']}/video", shots[0], data, labels, "video/mp4")])
    shoot(tiers, names["front"], shots[30:], offset=30)
    shoot(tiers, names["wrist"], shots)
    joints(tiers, names["joints"], T0, 2.0)
    joints(tiers, names["cmd"], T0, 2.0)
    done = export(fleet, tiers, map_, tmp_path / "out")
    assert (done.frames, done.complete) == (60, True)
    shown = levels(tmp_path / "out/videos/observation.images.front/chunk-000/file-000.mp4")
    assert np.allclose(shown, [40 + k for k in range(60)], atol=3)


def test_the_log_clock_is_taken_where_asked(tiers: Tiers, fleet: Fleet, names: dict[str, str], tmp_path: Path) -> None:
    """Rows stand for the frames by their own exact ns, even where those are not in the records' order."""
    shots = camera_times(T0, 1.0, jitter_us=0)
    for k, at in enumerate(shots):
        shoot(tiers, names["front"], [at], offset=k, log_ns=str(at * 1000 + 7))
    times = [T0 + n * 10_000 for n in range(-20, 110)]
    swapped = [at * 1000 - 5 for at in times]
    swapped[50], swapped[51] = swapped[51], swapped[50]
    rows = chunk(names["joints"], times, {"n": list(range(len(times)))}, robot=tiers.robot, clocks__log_ns=swapped)  # type: ignore[arg-type]
    tiers.put("edge", "sensor", [rows])
    features = {"observation.state": [f"{names['joints']}:n"], "observation.images.front": [names["front"]]}
    export(fleet, tiers, make_map(names, clock="log", features=features), tmp_path / "out", seconds=1.0)
    table = pq.read_table(tmp_path / "out/data/chunk-000/file-000.parquet")
    assert table["ts_ns"].to_pylist() == [at * 1000 + 7 for at in shots]
    order = sorted(range(len(times)), key=lambda at: swapped[at])
    wanted = [max((at for at in order if swapped[at] <= now * 1000 + 7), key=lambda at: swapped[at]) for now in shots]
    assert table["observation.state"].to_pylist() == wanted


def test_numbers_alone_on_a_regular_grid(tiers: Tiers, fleet: Fleet, names: dict[str, str], tmp_path: Path) -> None:
    """Without cameras and reference: linear values, truth values, whole numbers and text, at a rate of their own."""
    times = [T0 + n * 20_000 for n in range(-10, 120)]
    columns = {
        "x": [float(at - T0) for at in times],
        "done": [at > T0 + SECOND for at in times],
        "n": list(range(len(times))),
        "mode": ["auto" if at % 40_000 else "hand" for at in times],
    }
    tiers.put("edge", "sensor", [chunk(names["joints"], times, columns, robot=tiers.robot)])
    features = {
        "observation.x": {"from": [f"{names['joints']}:x"], "method": "linear"},
        "next.done": {"from": [f"{names['joints']}:done"], "dtype": "bool"},
        "n": {"from": [f"{names['joints']}:n"], "dtype": "int64"},
        "mode": {"from": [f"{names['joints']}:mode"], "dtype": "string"},
    }
    map_ = make_map(names, fps=7, reference=None, features=features)
    done = export(fleet, tiers, map_, tmp_path / "out")
    table = pq.read_table(tmp_path / "out/data/chunk-000/file-000.parquet")
    moments = (table["ts_ns"].to_numpy() - T0 * 1000) / 1000
    assert done.frames == 14
    assert np.allclose(table["observation.x"].to_numpy(), moments, atol=0.2)
    assert table["next.done"].to_pylist() == [bool(at // 20_000 * 20_000 > SECOND) for at in moments]
    assert set(table["mode"].to_pylist()) == {"auto", "hand"}
    assert check_dataset(tmp_path / "out") == []
    stats = json.loads((tmp_path / "out/meta/stats.json").read_text())
    assert stats["n"]["mean"] == pytest.approx([np.mean(table["n"].to_numpy())])
    assert "mode" not in stats


def test_a_stream_whose_fields_changed_is_told(
    tiers: Tiers, fleet: Fleet, names: dict[str, str], map_: LerobotMap, tmp_path: Path
) -> None:
    """The second interval has three joints instead of two: it is left out, and the reason says so."""
    record(tiers, names, T0, 1.0)
    later = T0 + 20 * SECOND
    for stream in (names["front"], names["wrist"]):
        shoot(tiers, stream, camera_times(later, 1.0))
    joints(tiers, names["joints"], later - SECOND // 2, 2.0, width=3)
    joints(tiers, names["cmd"], later - SECOND // 2, 2.0)
    intervals = [Interval(tiers.robot, at, at + SECOND, "go", source=str(at)) for at in (T0, later)]
    question = fleet.select(f"{tiers.robot}/**").question
    done = export_lerobot(fleet.session, question, map_, tmp_path / "out", intervals=intervals)
    assert done.episodes == 1
    assert "position.2" in done.skipped[0]
    assert "fields changed" in done.skipped[0]


def test_another_unit_is_no_episode_of_the_same_dataset(
    tiers: Tiers, fleet: Fleet, names: dict[str, str], map_: LerobotMap, tmp_path: Path
) -> None:
    """Two robots whose joints are in rad and in degrees: the second is left out, and the reason says both units."""
    other = f"{tiers.robot}-b"
    for robot, unit in ((tiers.robot, "rad"), (other, "deg")):
        theirs = replace(tiers, robot=robot)
        record(theirs, names, T0, 1.0)
        said = {"type": "time_series", "fields": {"position": {"dtype": "list", "unit": unit}, "on": {"dtype": "bool"}}}
        theirs.attach("edge", "sensor", names["joints"], said)
    intervals = [Interval(robot, T0, T0 + SECOND, "go", source=robot) for robot in (tiers.robot, other)]
    question = fleet.select(f"{tiers.robot}*/**").question
    done = export_lerobot(fleet.session, question, map_, tmp_path / "out", intervals=intervals)
    assert done.episodes == 1
    assert "is in deg here, but in rad before" in done.skipped[0]


def test_nothing_to_export_is_an_error_that_says_why(
    tiers: Tiers, fleet: Fleet, names: dict[str, str], tmp_path: Path
) -> None:
    """No robot, no record of the reference, no task: each is told, and no folder is left."""
    shoot(tiers, names["front"], camera_times(T0, 1.0))
    with pytest.raises(NotFound, match="none of 1 intervals makes an episode"):
        export(fleet, tiers, make_map(names), tmp_path / "out")
    record(tiers, names, T0 + 50 * SECOND, 1.0)
    with pytest.raises(InputError, match="has no note to take its task from"):
        export(fleet, tiers, make_map(names, task="episode.note"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_stopped_export_goes_on_where_it_was(
    tiers: Tiers, fleet: Fleet, names: dict[str, str], map_: LerobotMap, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was made of the first interval is not made again; the old dataset stands until the new one is whole."""
    intervals = []
    for at in range(2):
        record(tiers, names, T0 + at * 10 * SECOND, 1.0)
        intervals.append(Interval(tiers.robot, T0 + at * 10 * SECOND, T0 + (at * 10 + 1) * SECOND, "go"))
    question, out = fleet.select(f"{tiers.robot}/**").question, tmp_path / "out"
    read: list[int] = []
    gathered = exporting.gather

    def gather(job: Job, interval: Interval) -> Sources:
        read.append(interval.start_us)
        if len(read) == 2:
            raise KeyboardInterrupt
        return gathered(job, interval)

    monkeypatch.setattr(exporting, "gather", gather)
    with pytest.raises(KeyboardInterrupt):
        export_lerobot(fleet.session, question, map_, out, intervals=intervals)
    assert not out.exists()
    done = export_lerobot(fleet.session, question, map_, out, intervals=intervals)
    assert read == [T0, T0 + 10 * SECOND, T0 + 10 * SECOND]
    assert (done.episodes, done.frames) == (2, 60)
    assert check_dataset(out) == []


def test_a_selection_of_events_becomes_a_dataset(
    tiers: Tiers, fleet: Fleet, names: dict[str, str], tmp_path: Path
) -> None:
    """`lerobot()` takes each event chosen as an episode, as wide as the selection says."""
    record(tiers, names)
    event = new_event(Event("", "grasp", tiers.robot, T0 + SECOND, T0 + SECOND, T0 + SECOND, note="pick the cup"))
    tiers.put("edge", "meta", [draft(event, T0 + SECOND)])
    chosen = fleet.events("grasp").robots(tiers.robot).select(pre="500ms", post="400ms")
    done = chosen.lerobot(tmp_path / "out", make_map(names, task="event.note"))
    assert (done.episodes, done.frames, done.complete) == (1, 27, True)
    (row,) = pq.read_table(tmp_path / "out/meta/episodes/chunk-000/file-000.parquet").to_pylist()
    assert (row["tasks"], row["source"], row["robot_id"]) == (["pick the cup"], f"event:{event.id}", tiers.robot)

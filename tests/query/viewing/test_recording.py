"""What `fleetbox view` writes is a recording of Rerun's that its own tools read: every stream, on one clock."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from fleetbox import events
from fleetbox.events import Event
from fleetbox.types import video
from fleetbox_query.fleet import Fleet
from fleetbox_query.question import Question, parse_selectors
from fleetbox_query.viewing.recording import _sink, file_name, has_display, view

from ..conftest import MAIN, Tiers, blob, chunk
from ..test_cli import run

rerun = pytest.importorskip("rerun", reason="needs fleetbox[view]")

T0 = 1_760_000_000_000_000
PCD = b"VERSION 0.7\nFIELDS x y z\nSIZE 4 4 4\nTYPE F F F\nWIDTH 1\nHEIGHT 1\nPOINTS 1\nDATA ascii\n1 2 3\n"
SEEN = {
    "imu/acc/x": "Scalars:scalars",
    "imu/v": "Scalars:scalars",
    "imu/mode": "StateChange:state",
    "lidar": "Points3D:positions",
    "gps": "GeoPoints:positions",
    "pose/axes": "Transform3D:translation",
    "sound": "AssetAudio:blob",
    "settings": "TextDocument:text",
    "events/brake": "StateChange:state",
    "cam": "EncodedImage:blob",
    "film": "AssetVideo:blob",
    "depth": "EncodedDepthImage:blob",
    "log": "TextLog:text",
}
RERUN = str(Path(sys.executable).with_name("rerun"))


def _jpeg(value: int = 90) -> bytes:
    return bytes(cv2.imencode(".jpg", np.full((48, 64, 3), value, np.uint8))[1].tobytes())


def _put(tiers: Tiers, stream: str) -> None:
    """Record a second of everything there is to see."""
    times = [T0 + at * 100_000 for at in range(10)]
    columns = {"acc.x": [float(at) for at in range(10)], "v": [[1.0, 2.0]] * 10, "mode": ["auto"] * 10}
    places = {"lat": [48.1 + at * 1e-6 for at in range(10)], "lon": [11.5] * 10}
    poses = {f"position.{axis}": [float(at) for at in range(10)] for axis in "xyz"}
    clip = video.encode_clip(video.Clip([_jpeg(at) for at in range(10)], times), 23)
    depth = bytes(cv2.imencode(".png", np.full((8, 8), 1500, np.uint16))[1].tobytes())
    media = [
        *(blob(f"{stream}/cam", at, _jpeg(), robot=tiers.robot, kind="images") for at in times),
        blob(f"{stream}/film", T0, clip, robot=tiers.robot, kind="video", rows="10", t_end=str(times[-1])),
        blob(f"{stream}/raw", T0, b"\0\1", robot=tiers.robot),
    ]
    png = blob(f"{stream}/depth", T0, depth, robot=tiers.robot, kind="images")
    media[-2] = replace(media[-2], content_type="video/mp4")
    media.append(replace(png, content_type="image/png"))
    once = {"gain": [1.0], "bits": [b"x"]}  # what is told once; bytes are no curve
    rows = {"imu": columns, "gps": places, "pose": poses}
    chunks = [chunk(f"{stream}/{name}", times, one, robot=tiers.robot) for name, one in rows.items()]
    tiers.put("edge", "sensor", [*chunks, chunk(f"{stream}/settings", [T0], once, robot=tiers.robot)])
    files = {"lidar": PCD, "sound": b"RIFF\0\0\0\0WAVEfmt "}
    tiers.put("edge", "log", [blob(f"{stream}/{name}", T0, data, robot=tiers.robot) for name, data in files.items()])
    tiers.put("edge", "media", media)
    tiers.put("edge", "log", [blob(f"{stream}/log", T0, b"too hot", robot=tiers.robot, kind="log", level="warning")])
    event = Event(f"e{stream}", "brake", tiers.robot, T0 + 500_000, T0, T0 + 900_000, ("**",))
    tiers.put("edge", "meta", [events.draft(event, T0)])


def _printed(path: Path) -> str:
    done = subprocess.run([RERUN, "rrd", "print", str(path)], capture_output=True, text=True, timeout=150, check=True)
    return done.stdout


def test_all_streams_on_one_clock(tiers: Tiers, fleet: Fleet, stream: str, tmp_path: Path) -> None:
    """Curves, states, pictures, a video, depth, points, places, poses, sounds, texts and the event stand in the file.

    What cannot be shown is named.
    """
    _put(tiers, stream)
    out = tmp_path / "x.rrd"
    viewed = view(fleet.select(f"{tiers.robot}/{stream}/**").between(T0, T0 + 1_000_000), out)
    text = _printed(out)
    for path, component in SEEN.items():
        at = f"/{tiers.robot}/{path} " if path.startswith("events") else f"/{stream}/{path} "
        lines = [line for line in text.splitlines() if at in line]
        assert any(component in line for line in lines), (path, lines)
    assert f"/{tiers.robot}/events" in text
    subprocess.run([RERUN, "rrd", "verify", str(out)], check=True, capture_output=True, timeout=150)
    assert viewed.items[f"{tiers.robot}/{stream}/imu"] == 10
    assert viewed.events == 1
    assert viewed.file_bytes == out.stat().st_size
    raw, field = viewed.lines()
    assert f"{stream}/settings: Rerun shows no field bits" in field
    assert f"{stream}/raw" in raw
    assert not viewed.complete


def test_the_values_and_their_times(tiers: Tiers, fleet: Fleet, stream: str, tmp_path: Path) -> None:
    """A field's values stand at their records' µs on the one timeline there is."""
    _put(tiers, stream)
    out = tmp_path / "x.rrd"
    view(fleet.select(f"{tiers.robot}/{stream}/imu:acc.x").between(T0, T0 + 500_000), out)
    loaded = [one for one in rerun.chunk.RrdReader(str(out)).stream() if not one.is_static]
    (curve,) = [one for one in loaded if one.entity_path.endswith("/x")]
    batch = curve.to_record_batch()
    assert curve.timeline_names == ["time"]
    assert [one.value // 1000 for one in batch["time"]] == [T0 + at * 100_000 for at in range(5)]
    assert [one.as_py() for one in batch["Scalars:scalars"]] == [[float(at)] for at in range(5)]


def test_around_an_event_on_a_headless_box(
    tiers: Tiers, stream: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a display a file is made, named by robot and time."""
    _put(tiers, stream)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    done = run(tiers.write_fleet(tmp_path), "view", f"event:e{stream}", "--pre", "200ms", "--post", "0s", "--json")
    said = json.loads(done.stdout)
    assert done.returncode == 0, done.stderr
    assert said["streams"][f"{tiers.robot}/{stream}/imu"] == 3
    (file,) = tmp_path.glob("*.rrd")
    views = _printed(file)
    assert "TimePanelBlueprint:time_selection" in views
    assert "ViewBlueprint:class_identifier" in views
    assert file.name == said["path"] == f"{tiers.robot}-20251009T085320Z.rrd"


def test_an_episode(tiers: Tiers, fleet: Fleet, stream: str, tmp_path: Path) -> None:
    """An episode is viewed as it is: its interval, its streams, the fields computed for it."""
    _put(tiers, stream)
    name = f"{tiers.robot}/{stream}"
    fleet.new_episode(name, tiers.robot, T0, T0 + 500_000, streams=[f"{stream}/imu"])
    fleet.episodes(name).add_feature(f"{stream}/imu:twice", "2*acc.x")
    out = tmp_path / "x.rrd"
    done = run(tiers.write_fleet(tmp_path), "view", f"episode:{name}", "-o", str(out), "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["streams"] == {f"{name}/imu": 5}
    assert f"/{stream}/imu/twice " in _printed(out)


def test_pictures_that_became_video(tiers: Tiers, fleet: Fleet, stream: str, tmp_path: Path) -> None:
    """A window within a video shows its pictures under their own stream's name, though the record began before it."""
    times = [T0 + at * 100_000 for at in range(10)]
    clip = video.encode_clip(video.Clip([_jpeg(at) for at in range(10)], times), 23)
    film = blob(f"{stream}/cam/video", T0, clip, robot=tiers.robot, kind="video", rows="10", t_end=str(times[-1]))
    tiers.put("edge", "media", [replace(film, content_type="video/mp4")])
    for chosen in (f"{stream}/cam", f"{stream}/**"):
        viewed = view(fleet.select(f"{tiers.robot}/{chosen}").between(T0 + 300_000, T0 + 600_000), tmp_path / "x.rrd")
        assert viewed.items == {f"{tiers.robot}/{stream}/cam": 3}


def test_what_cannot_be(tiers: Tiers, stream: str, tmp_path: Path) -> None:
    """Another kind of file, a reversed range, an unknown stream: each a clear error; nothing is left."""
    _put(tiers, stream)
    path, name = tiers.write_fleet(tmp_path), f"{tiers.robot}/{stream}/imu"
    assert "x.rrd" in run(path, "view", name, "-o", str(tmp_path / "x.mcap")).stderr
    assert run(path, "view", name, "--start", str(T0 + 1), "--stop", str(T0), "-o", "x.rrd").returncode == 2
    assert "no stream matches" in run(path, "view", f"{name}x", "-o", str(tmp_path / "x.rrd")).stderr
    assert run(path, "view", "-o", str(tmp_path / "x.rrd")).returncode == 2
    assert not list(tmp_path.glob("x.*"))


def test_a_full_disk(tiers: Tiers, stream: str, tmp_path: Path) -> None:
    """A write that the system refuses is one clear error; the old file stands."""
    path, out = tiers.write_fleet(tmp_path), tmp_path / "x.rrd"
    _put(tiers, stream)
    out.write_text("old")

    def small_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))

    words = [sys.executable, "-c", MAIN, "view", f"{tiers.robot}/{stream}/*", "-o", str(out)]
    environment = {**os.environ, "FLEETBOX_FLEET": str(path), "PYTHONDONTWRITEBYTECODE": "1"}  # half a .pyc would stay
    done = subprocess.run(words, env=environment, preexec_fn=small_files, capture_output=True, text=True, timeout=150)
    assert done.returncode == 1, done.stderr
    assert "cannot write" in done.stderr
    assert out.read_text() == "old"
    assert not list(tmp_path.glob("*.part"))


def test_a_file_of_many_parts_is_one(tmp_path: Path) -> None:
    """However often what was logged is emptied into the file, Rerun's own check and reader take it."""
    out = tmp_path / "x.rrd"
    with _sink(out) as (entities, drained):
        for at in range(3):
            entities.events([Event(f"e{at}", "brake", "r1", T0 + at, T0, T0 + 9, ("**",))])
            drained()
    subprocess.run([RERUN, "rrd", "verify", str(out)], check=True, capture_output=True, timeout=150)
    assert list(rerun.chunk.RrdReader(str(out)).stream())


def test_where_a_window_can_be_shown() -> None:
    """A Linux box without a display gets a file; the file's name says robot and time."""
    assert not has_display("linux", {})
    assert has_display("linux", {"WAYLAND_DISPLAY": "wayland-0"})
    assert has_display("darwin", {})
    question = Question(parse_selectors(("*/imu",)))
    assert str(file_name(question, T0)) == "fleet-20251009T085320Z.rrd"

"""MCAP opens with the reference reader: indexed, with well-known schemas, exact times, each message as it came."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import xxhash
from car_truth import car_or_skip, read_truth
from mcap.reader import make_reader

from fleetbox.blobs import BucketSpec, Store
from fleetbox.events import Event, write_event
from fleetbox.types import video
from fleetbox_edge.ingest.file import ingest_file
from fleetbox_query import reading
from fleetbox_query.exports.exporting import export
from fleetbox_query.exports.job import Options
from fleetbox_query.exports.mcap import rows, writing
from fleetbox_query.fleet import Fleet

from ..conftest import Tiers, blob, chunk

START_US = 1_700_000_000_000_000
JPEG = b"\xff\xd8\xff\xe0 a picture"


def _messages(path: Path) -> Iterator[tuple[Any, Any, Any]]:
    with path.open("rb") as file:
        yield from make_reader(file, validate_crcs=True).iter_messages()


def _summary(path: Path) -> Any:
    with path.open("rb") as file:
        return make_reader(file).get_summary()


def _put(tiers: Tiers, stream: str, count: int = 20, first: int = 0) -> list[int]:
    """Record rows, pictures, a log and a file at the edge."""
    times = [START_US + at * 10_000 for at in range(first, first + count)]
    columns = {
        "acc.x": [float(at) for at in range(first, first + count)],
        "ok": [True] * count,
        "v": [[1.0, 2.0]] * count,
    }
    media = [blob(f"{stream}/cam", at, JPEG, robot=tiers.robot, kind="images") for at in times[:3]]
    log = [blob(f"{stream}/log", times[1] + 1, b"too hot", robot=tiers.robot, kind="log", level="warning")]
    files = [blob(f"{stream}/file", times[2] + 1, b"\0\1", robot=tiers.robot, name="a.bin")]
    tiers.put("edge", "sensor", [chunk(f"{stream}/imu", times, columns, robot=tiers.robot)])
    tiers.put("edge", "media", media)
    tiers.put("edge", "log", log + files)
    return times


def test_everything_has_its_well_known_schema(tiers: Tiers, fleet: Fleet, stream: str, tmp_path: Path) -> None:
    """Pictures and log lines are Foxglove's, rows JSON with a schema, files attachments; the query is metadata."""
    times = _put(tiers, stream)
    done = export(fleet.select(f"{tiers.robot}/{stream}/**"), "mcap", tmp_path / "x.mcap")
    found: dict[str, list[Any]] = {}
    for schema, channel, message in _messages(tmp_path / "x.mcap"):
        found.setdefault(channel.topic, []).append((schema, channel, message))
    rows = found[f"/{stream}/imu"]
    assert [message.log_time for _, _, message in rows] == [at * 1000 for at in times]
    assert json.loads(rows[3][2].data) == {"acc": {"x": 3.0}, "ok": True, "v": [1.0, 2.0]}
    properties = json.loads(rows[0][0].data)["properties"]
    assert properties["acc"] == {"type": "object", "properties": {"x": {"type": "number"}}}
    assert properties["v"] == {"type": "array", "items": {"type": "number"}}
    schema, channel, message = found[f"/{stream}/cam"][0]
    assert (schema.name, channel.message_encoding) == ("foxglove.CompressedImage", "protobuf")
    assert JPEG in message.data
    assert found[f"/{stream}/log"][0][0].name == "foxglove.Log"
    assert b"too hot" in found[f"/{stream}/log"][0][2].data
    with (tmp_path / "x.mcap").open("rb") as file:
        reader = make_reader(file)
        (attachment,) = reader.iter_attachments()
        (metadata,) = reader.iter_metadata()
    assert (attachment.name, attachment.data) == ("a.bin", b"\0\1")
    assert tiers.robot in metadata.metadata["query"]
    assert done.complete
    assert done.tally.total == len(times) + 5


def test_parts_are_joined(
    tiers: Tiers, fleet: Fleet, stream: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file of many parts holds the same messages as one of a single part, under an index that reaches each."""
    _put(tiers, stream, 500)
    asked = fleet.select(f"{tiers.robot}/{stream}/**")
    export(asked, "mcap", tmp_path / "one.mcap")
    _in_small_steps(monkeypatch)
    export(asked, "mcap", tmp_path / "many.mcap", Options(compression="zstd"))
    one, many = (
        [(channel.topic, message.log_time, message.data) for _, channel, message in _messages(tmp_path / name)]
        for name in ("one.mcap", "many.mcap")
    )
    assert sorted(one) == sorted(many)
    summary = _summary(tmp_path / "many.mcap")
    assert len(summary.chunk_indexes) > 20
    assert summary.statistics.message_count == len(one)
    assert summary.statistics.attachment_count == 1
    with (tmp_path / "many.mcap").open("rb") as file:
        reader = make_reader(file)
        late = list(reader.iter_messages(topics=[f"/{stream}/imu"], starting_at=(START_US + 4_990_000) * 1000))
        assert [attachment.name for attachment in reader.iter_attachments()] == ["a.bin"]
    assert [json.loads(message.data)["acc"]["x"] for _, _, message in late] == [499.0]


def test_goes_on_after_an_interruption(
    tiers: Tiers, fleet: Fleet, stream: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Interrupted after some parts, the same export makes only the rest, and each message is there once."""
    for first in range(0, 500, 20):
        _put(tiers, stream, 20, first)
    asked = fleet.select(f"{tiers.robot}/{stream}/**").between(START_US, START_US + 10_000_000)
    _in_small_steps(monkeypatch)
    third = tmp_path / "x.mcap.partial" / "files" / "index-00002.mcap"

    def interrupt(_done: float, _text: str) -> None:
        if third.exists():
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export(asked, "mcap", tmp_path / "x.mcap", advance=interrupt)
    growing = tmp_path / "x.mcap.partial" / "growing"
    with growing.open("ab") as file:
        file.write(b"what a kill left behind")
    kept = third.stat().st_mtime_ns
    half = growing.read_bytes()[:1000]
    done = export(asked, "mcap", tmp_path / "x.mcap")
    data = (tmp_path / "x.mcap").read_bytes()
    times = [message.log_time for _, channel, message in _messages(tmp_path / "x.mcap") if "imu" in channel.topic]
    assert data.startswith(half)
    assert kept < (tmp_path / "x.mcap").stat().st_mtime_ns
    assert sorted(times) == [(START_US + at * 10_000) * 1000 for at in range(500)]
    assert done.tally.total == 500 + 25 * 5
    said = json.loads((tmp_path / "x.mcap.manifest.json").read_text())["files"][0]
    assert (said["xxh3"], said["size_bytes"]) == (xxhash.xxh3_64_hexdigest(data), len(data))


def _in_small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make many chunks and parts of little data."""
    monkeypatch.setattr(writing, "PART_BYTES", 1000)
    monkeypatch.setattr(writing, "CHUNK_BYTES", 500)
    monkeypatch.setattr(rows, "BLOCK_BYTES", 500)
    monkeypatch.setattr(reading, "CAP_BYTES", 2000)


def test_events_and_parameters_are_told(tiers: Tiers, fleet: Fleet, stream: str, tmp_path: Path) -> None:
    """An event that reaches into the selection is a message of its interval and metadata; parameters are metadata."""
    times = _put(tiers, stream)
    for kind, start in (("brake", times[0] - 50_000), ("elsewhere", times[0] - 900_000_000)):
        event = Event(
            f"{kind}-1", kind, tiers.robot, start, start, start + 60_000, note="why", labels={"kind": "x", "op": "Ann"}
        )
        asyncio.run(_put_event(tiers, event))
    said = b'{"gain": 0.5, "mode": "slow"}'
    tiers.put("edge", "log", [blob(f"{stream}/parameters", times[0], said, robot=tiers.robot, kind="json")])
    asked = fleet.select(f"{tiers.robot}/{stream}/**").between(START_US, START_US + 10_000_000)
    done = export(asked, "mcap", tmp_path / "x.mcap")
    found = [(schema.name, one.log_time, one.data) for schema, channel, one in _messages(tmp_path / "x.mcap")
             if channel.topic == "/events"]  # fmt: skip
    ((name, log_ns, data),) = found
    with (tmp_path / "x.mcap").open("rb") as file:
        told = {one.name: one.metadata for one in make_reader(file).iter_metadata()}
    assert (name, log_ns) == ("foxglove.Event", (times[0] - 50_000) * 1000)
    assert all(word in data for word in (b"brake", b"why", b"label.kind", b"Ann"))
    assert told["event brake-1"]["note"] == "why"
    assert "event elsewhere-1" not in told
    (parameters,) = [said for name, said in told.items() if "parameters" in name]
    assert parameters == {"gain": "0.5", "mode": "slow"}
    assert done.complete


async def _put_event(tiers: Tiers, event: Event) -> None:
    async with Store(tiers.stores["edge"].url, tiers.stores["edge"].token, name="edge") as store:
        await store.ensure_bucket(f"{tiers.robot}--meta", BucketSpec("NONE", 0))
        await write_event(store, f"{tiers.robot}--meta", event, event.time_us)


def test_stored_video_plays_frame_by_frame(tiers: Tiers, fleet: Fleet, stream: str, tmp_path: Path) -> None:
    """Pictures stored as a video become CompressedVideo: a frame a message at its exact time, each one Annex B."""
    pictures = [np.full((48, 64, 3), 8 * at, np.uint8) for at in range(12)]
    jpegs = [bytes(cv2.imencode(".jpg", one)[1]) for one in pictures]
    times = [START_US + at * 33_333 + at % 3 for at in range(len(jpegs))]
    data = video.encode_clip(video.Clip(jpegs, times, {"stream": f"{stream}/cam"}), crf=10)
    labels = {"rows": str(len(times)), "t_end": str(times[-1])}
    film = blob(f"{stream}/cam/video", START_US, data, robot=tiers.robot, kind="video", **labels)
    tiers.put("edge", "media", [replace(film, content_type=video.CONTENT_TYPE)])
    done = export(fleet.select(f"{tiers.robot}/{stream}/cam/video"), "mcap", tmp_path / "x.mcap")
    found = [(schema.name, one) for schema, _, one in _messages(tmp_path / "x.mcap")]
    assert [name for name, _ in found] == ["foxglove.CompressedVideo"] * len(jpegs)
    assert [one.log_time for _, one in found] == [at * 1000 for at in times]
    assert all(b"h264" in one.data and b"\0\0\0\x01" in one.data for _, one in found)
    assert done.complete


@pytest.mark.parametrize("how", ["binary", "ascii"])
def test_a_point_cloud_shows(tiers: Tiers, fleet: Fleet, stream: str, tmp_path: Path, how: str) -> None:
    """A PCD file becomes a PointCloud whose points are the file's; one of another kind stays a file."""
    points = np.array([[1, 2, 3], [4, 5, 6]], "<f4")
    body = points.tobytes() if how == "binary" else b"1 2 3\n4 5 6\n"
    head = "# .PCD v0.7\nFIELDS x y z\nSIZE 4 4 4\nTYPE F F F\nCOUNT 1 1 1\nWIDTH 2\nHEIGHT 1\nPOINTS 2\n"
    clouds = [f"{head}DATA {how}\n".encode() + body, head.encode() + b"DATA binary_compressed\n"]
    files = [blob(f"{stream}/lidar", START_US + at, data, robot=tiers.robot) for at, data in enumerate(clouds)]
    tiers.put("edge", "media", files)
    done = export(fleet.select(f"{tiers.robot}/{stream}/lidar"), "mcap", tmp_path / "x.mcap")
    ((schema, _, message),) = _messages(tmp_path / "x.mcap")
    assert schema.name == "foxglove.PointCloud"
    assert points.tobytes() in message.data
    assert _summary(tmp_path / "x.mcap").statistics.attachment_count == 1
    assert done.complete


def test_messages_that_came_in_go_out_byte_for_byte(tiers: Tiers, fleet: Fleet, tmp_path: Path) -> None:
    """A real car's recording: every message's bytes, topic, schema and both times in ns are the file's own."""
    car = car_or_skip()
    robot = tiers.robot

    async def ingest() -> None:
        async with Store(tiers.stores["edge"].url, tiers.stores["edge"].token, name="edge") as store:
            await store.ensure_bucket(f"{robot}--kept", BucketSpec("NONE", 0))
            await ingest_file(car, store, f"{robot}--kept", robot)

    asyncio.run(ingest())
    export(fleet.select(f"{robot}/nissan/**"), "mcap", tmp_path / "x.mcap")

    def told(path: Path) -> list[tuple[Any, ...]]:
        return sorted(
            (
                channel.topic,
                channel.message_encoding,
                schema.name,
                schema.data,
                one.log_time,
                one.publish_time,
                one.data,
            )
            for schema, channel, one in _messages(path)
        )

    assert told(tmp_path / "x.mcap") == told(car)
    assert len(read_truth(tmp_path / "x.mcap")) == len(read_truth(car))

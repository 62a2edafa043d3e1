"""A recording goes into the kept bucket whole, once, and comes back value by value."""

from __future__ import annotations

import asyncio
import base64
import json
import subprocess
import sys
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from car_truth import CAR_MESSAGES, car_or_skip, check_objects, check_store, read_truth
from mcap.reader import make_reader
from mcap.writer import CompressionType
from recordings import (
    COMPRESSED_IMAGE,
    IMAGE,
    T0_NS,
    Said,
    damage_chunk,
    header,
    stamped,
    write_raw,
    write_ros2,
)

from fleetbox import chunks
from fleetbox.blobs import BucketSpec, Store
from fleetbox.errors import InputError
from fleetbox.records import Record
from fleetbox.settings import load_fleet
from fleetbox_edge.ingest import IngestReport, ingest_file, run

QUOTA_BYTES = 100_000_000
MS = 1_000_000


class Kept:
    """A bucket to ingest into and to look at."""

    def __init__(self, url: str, token: str, bucket: str) -> None:
        self.url, self.token, self.bucket = url, token, bucket

    def ingest(self, path: Path, quota_bytes: int = QUOTA_BYTES, **options: Any) -> IngestReport:
        """Ingest a file for robot car-1."""

        async def go(store: Store) -> IngestReport:
            await store.ensure_bucket(self.bucket, BucketSpec("HARD", quota_bytes))
            return await ingest_file(path, store, self.bucket, "car-1", **options)

        return self.within(go)

    def records(self, stream: str = "**") -> list[Record]:
        """Return a stream's records in the order of time."""

        async def go(store: Store) -> list[Record]:
            return [record async for record in store.query(self.bucket, (stream,))]

        return self.within(go)

    def rows(self, stream: str) -> list[dict[str, Any]]:
        """Return a stream's rows."""
        return [row for record in self.records(stream) for row in chunks.rows(record.data)]

    def schema(self, stream: str) -> dict[str, Any]:
        """Return a stream's schema."""
        return self.within(lambda store: store.attachments(self.bucket, stream))["schema"]

    def within(self, do: Callable[[Store], Any]) -> Any:
        """Run something against the store."""

        async def go() -> Any:
            async with Store(self.url, self.token) as store:
                return await do(store)

        return asyncio.run(go())


@pytest.fixture
def kept(store_server: Any, bucket_name: str) -> Kept:
    """Return an empty kept bucket."""
    return Kept(store_server.url, store_server.token, bucket_name)


def hundred(topic: str = "/arm/state") -> list[Said]:
    """Return a hundred messages, 100 ms apart."""
    return [Said(topic, T0_NS + number * 100 * MS, stamped(number), sequence=number) for number in range(100)]


def test_a_real_recording_comes_back_exactly(kept: Kept) -> None:
    """Every value, every message's bytes and all three clocks of a real car's recording are in the store."""
    path = car_or_skip()
    report = kept.ingest(path)
    truth = read_truth(path)

    compared = kept.within(lambda store: check_store(store, kept.bucket, truth))

    assert (report.messages, report.rows, report.complete) == (CAR_MESSAGES, CAR_MESSAGES, True)
    assert sum(map(len, truth.values())) == CAR_MESSAGES
    assert compared == sum(len(told.values) + 2 + (told.header_ns is not None) for of in truth.values() for told in of)


def test_a_second_ingest_adds_nothing(kept: Kept, tmp_path: Path) -> None:
    """The same content finds its own records, under whatever name it lies."""
    path = write_ros2(tmp_path / "a.mcap", hundred())
    first = kept.ingest(path)
    before = kept.records()

    second = kept.ingest(path.rename(tmp_path / "renamed.mcap"))

    assert first.written == second.already == first.records > 0
    assert second.written == 0
    assert second.complete
    assert kept.records() == before


def test_every_kind_of_leaf_becomes_a_column(kept: Kept, tmp_path: Path) -> None:
    """Scalars, fixed and varying arrays, arrays of messages, text and uint64 come back as they were."""
    kept.ingest(write_ros2(tmp_path / "a.mcap", hundred()))

    rows = kept.rows("arm/state")

    assert len(rows) == 100
    for number, row in enumerate(rows):
        sent = stamped(number)
        assert row["x"] == sent["x"]
        assert row["force"] == sent["force"]
        assert row["counts"] == sent["counts"]
        assert row["big"] == sent["big"]
        assert row["on"] is sent["on"]
        assert row["note"] == sent["note"]
        assert row["header.stamp.nanosec"] == sent["header"]["stamp"]["nanosec"]
        assert row["wheels.name"] == [wheel["name"] for wheel in sent["wheels"]]
        assert row["wheels.slip"] == [wheel["slip"] for wheel in sent["wheels"]]
        assert row["wheels.gear"] == [wheel["gear"] for wheel in sent["wheels"]]
        assert row["log_ns"] == T0_NS + number * 100 * MS
        assert row["publish_ns"] == row["log_ns"] - 50
        assert row["header_ns"] == T0_NS - 7 * 10**15 + number
        assert row["time_us"] == row["log_ns"] // 1000
    fields = kept.schema("arm/state")["fields"]
    assert fields["force"] == {"dtype": "float64", "shape": [3]}
    assert fields["counts"] == {"dtype": "int64", "shape": [None]}
    assert fields["wheels.slip"] == {"dtype": "float64", "shape": [None, 2]}
    assert fields["big"] == {"dtype": "uint64"}


def test_the_file_can_be_written_back(kept: Kept, tmp_path: Path) -> None:
    """Bytes, sequence numbers, topic and schema of every message are kept."""
    path = write_ros2(tmp_path / "a.mcap", hundred())
    kept.ingest(path)

    with path.open("rb") as file:
        sent = list(make_reader(file).iter_messages())
    records = kept.records("arm/state")
    sequences = [int(text) for record in records for text in chunks.metadata(record.data)["mcap_sequence"].split(",")]
    schema = kept.schema("arm/state")

    assert [row["cdr"] for row in kept.rows("arm/state")] == [message.data for _, _, message in sent]
    assert sequences == [message.sequence for _, _, message in sent]
    assert schema["schema_data"] == sent[0][0].data.decode()
    assert (schema["schema_name"], schema["schema_encoding"]) == (sent[0][0].name, "ros2msg")
    assert (schema["topic"], schema["encoding"]) == ("/arm/state", "cdr")


def test_chunks_are_cut_and_labelled(kept: Kept, tmp_path: Path) -> None:
    """No chunk spans more than the bound; seq, rows, t_end and the user's labels say what is in it."""
    kept.ingest(write_ros2(tmp_path / "a.mcap", hundred()), labels={"operator": "ann"})

    records = kept.records("arm/state")
    next_seq = 0
    for record in records:
        rows = chunks.rows(record.data)
        assert record.time_us == rows[0]["time_us"]
        assert int(record.labels["t_end"]) == rows[-1]["time_us"] <= record.time_us + chunks.BOUND_US
        assert (int(record.labels["seq"]), int(record.labels["rows"])) == (next_seq, len(rows))
        assert (record.labels["operator"], record.labels["robot"]) == ("ann", "car-1")
        assert record.content_type == chunks.CONTENT_TYPE
        next_seq += len(rows)
    assert (len(records), next_seq) == (2, 100)


def test_colliding_and_backward_stamps_stay_apart(kept: Kept, tmp_path: Path) -> None:
    """Messages of one µs get a µs each, messages out of order find their place, and nothing is lost."""
    log_ns = [T0_NS] * 5 + [T0_NS + 6_000 * MS, T0_NS + 200, T0_NS - 8_000 * MS, T0_NS, T0_NS + 6_000 * MS]
    said = [Said("/arm/state", at, stamped(number)) for number, at in enumerate(log_ns)]
    path = write_ros2(tmp_path / "a.mcap", said)

    first, second = kept.ingest(path), kept.ingest(path)
    records, rows = kept.records("arm/state"), kept.rows("arm/state")

    assert (len(rows), second.already, second.written) == (10, first.written, 0)
    assert len({record.time_us for record in records}) == len(records)
    assert sorted(row["log_ns"] for row in rows) == sorted(log_ns)
    assert sorted(row["x"] for row in rows) == [number + 0.1 for number in range(10)]
    assert all(0 <= row["time_us"] - row["log_ns"] // 1000 < 10 for row in rows)
    for record in records:
        times_us = [row["time_us"] for row in chunks.rows(record.data)]
        assert times_us == sorted(set(times_us))


def test_the_header_clock_can_be_the_key(kept: Kept, tmp_path: Path) -> None:
    """With clock=header the key is the message's own stamp; messages without one keep their log time."""
    said = [*hundred()[:2], Said("/word", T0_NS, {"data": "go"}, ("std_msgs/msg/String", "string data"))]
    report = kept.ingest(write_ros2(tmp_path / "a.mcap", said), clock="header")

    first_us = (T0_NS - 7 * 10**15) // 1000
    assert [row["time_us"] for row in kept.rows("arm/state")] == [first_us, first_us + 1]
    assert kept.rows("word")[0] | {"cdr": b""} == {
        "time_us": T0_NS // 1000, "log_ns": T0_NS, "publish_ns": T0_NS - 50, "data": "go", "cdr": b"",
    }  # fmt: skip
    assert report.headerless == 1


def test_compressed_images_become_pictures(kept: Kept, tmp_path: Path) -> None:
    """A CompressedImage's JPEG is the payload; its labels rebuild the message byte by byte."""
    jpeg = cv2.imencode(".jpg", np.full((8, 8, 3), 90, np.uint8))[1].tobytes()
    message = {"header": header(T0_NS - 5, "cam, left"), "format": "jpeg", "data": jpeg}
    definition = ("sensor_msgs/msg/CompressedImage", COMPRESSED_IMAGE)
    path = write_ros2(tmp_path / "a.mcap", [Said("/cam/front/compressed", T0_NS, message, definition)])
    report = kept.ingest(path)

    [record] = kept.records("cam/front/compressed")
    with path.open("rb") as file:
        [(_, _, sent)] = make_reader(file).iter_messages()

    assert (record.data, record.content_type, record.labels["type"]) == (jpeg, "image/jpeg", "images")
    assert base64.b64decode(record.labels["cdr_head"]) + record.data == sent.data
    assert record.labels["header_ns"] == str(T0_NS - 5)
    assert record.labels["log_ns"] == str(T0_NS)
    assert record.labels["format"] == "jpeg"
    assert (report.messages, report.records, report.rows) == (1, 1, 0)


def test_large_byte_sequences_stay_raw(kept: Kept, tmp_path: Path) -> None:
    """A raw picture of 100 kB is a record of its own bytes, a small one a row of numbers."""
    definition = ("sensor_msgs/msg/Image", IMAGE)
    said = [
        Said("/cam/raw", T0_NS + number * MS, {"header": header(5), "height": 1, "data": bytes(size)}, definition)
        for number, size in enumerate((3, 100_000))
    ]
    kept.ingest(write_ros2(tmp_path / "a.mcap", said))

    small, large = kept.records("cam/raw")

    assert chunks.rows(small.data)[0]["data"] == [0, 0, 0]
    assert (large.labels["type"], large.labels["seq"], large.labels["header_ns"]) == ("file", "1", "5")
    assert large.size > 100_000


def test_json_messages_become_rows(kept: Kept, tmp_path: Path) -> None:
    """JSON objects become columns of numbers, truth values, text and lists; other JSON stays as it is."""
    messages = [
        {"x": 1, "nested": {"ok": True, "name": "é"}, "list": [1, 2.5], "mixed": 1, "cdr": 2},
        {"x": 0.5, "nested": {"ok": False}, "list": [], "mixed": "a", "deep": [{"a": 1}], "big": 2**64 - 1},
    ]
    schema = {"type": "object", "properties": {"x": {"type": "number"}}}
    data = [json.dumps(message).encode() for message in messages]
    sent = [*(("/state", "json", one) for one in data), ("/list", "json", b"[1]"), ("/list", "json", b"no json")]
    report = kept.ingest(write_raw(tmp_path / "a.mcap", sent, schema))

    rows = kept.rows("state")
    array, broken = kept.records("list")

    assert [row["cdr"] for row in rows] == data
    assert [row["x"] for row in rows] == [1.0, 0.5]
    assert [row["nested.ok"] for row in rows] == [True, False]
    assert [row["nested.name"] for row in rows] == ["é", None]
    assert [row["list"] for row in rows] == [[1.0, 2.5], []]
    assert [row["mixed"] for row in rows] == ["1", "a"]
    assert [row["deep"] for row in rows] == [None, '[{"a":1}]']
    assert [row["big"] for row in rows] == [None, 2**64 - 1]
    assert rows[0]["cdr_"] == 2
    assert (array.labels["type"], array.data) == ("json", b"[1]")
    assert (broken.labels["type"], broken.data) == ("file", b"no json")
    assert report.undecoded == 1


def test_unknown_encodings_attachments_and_metadata_are_kept(kept: Kept, tmp_path: Path) -> None:
    """What cannot be decoded is kept as raw bytes with its clocks, and so is what surrounds the messages."""
    path = write_raw(tmp_path / "a.mcap", [("/proto", "protobuf", b"\x08\x01"), ("/proto", "protobuf", b"")])
    first, second = kept.ingest(path), kept.ingest(path)

    raw = kept.records("proto")
    [attachment], [metadata] = kept.records("mcap/attachments"), kept.records("mcap/metadata")

    assert [record.data for record in raw] == [b"\x08\x01", b""]
    assert [record.labels["log_ns"] for record in raw] == [str(T0_NS), str(T0_NS + 10 * MS)]
    assert (attachment.data, attachment.content_type) == (b"fx: 1\n", "application/yaml")
    assert attachment.labels["name"] == "calibration_ front.yaml"
    assert json.loads(metadata.data) == {"name": "run", "metadata": {"operator": "ann"}}
    assert (first.records, second.already) == (4, 4)


def test_topics_that_fall_together_stay_apart(kept: Kept, tmp_path: Path) -> None:
    """Two topics whose names become the same stream name get two streams."""
    kept.ingest(write_raw(tmp_path / "a.mcap", [("/a b", "x", b"1"), ("/a_b", "x", b"2"), ("/a b", "x", b"3")]))

    assert [record.data for record in kept.records("a_b")] == [b"1", b"3"]
    assert [record.data for record in kept.records("a_b_2")] == [b"2"]


@pytest.mark.parametrize("compression", [CompressionType.NONE, CompressionType.LZ4, CompressionType.ZSTD])
def test_a_truncated_recording_is_kept_up_to_the_damage(
    kept: Kept, tmp_path: Path, compression: CompressionType
) -> None:
    """A file cut anywhere gives the messages before the cut, says where it is damaged, and what is lost."""
    path = write_ros2(tmp_path / "a.mcap", hundred(), compression)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 3])

    report = kept.ingest(path)
    rows = kept.rows("arm/state")

    assert 10 < report.messages < 90
    assert report.rows == len(rows) == report.messages
    assert [row["x"] for row in rows] == [number + 0.1 for number in range(report.messages)]
    assert report.damage is not None
    assert report.damage.at_byte <= len(whole) // 3
    assert not report.complete


def test_the_whole_file_follows_its_truncated_copy(kept: Kept, tmp_path: Path) -> None:
    """After a damaged copy, the whole file adds what was missing, once; the damaged copy again adds nothing."""
    path = write_ros2(tmp_path / "a.mcap", hundred())
    whole = path.read_bytes()
    cut = whole[: len(whole) // 3]
    reports = []
    for content in (cut, whole, cut, whole):
        path.write_bytes(content)
        reports.append(kept.ingest(path))

    _, added, cut_again, whole_again = reports

    assert [row["log_ns"] for row in kept.rows("arm/state")] == [T0_NS + at * 100 * MS for at in range(100)]
    assert (added.complete, added.completed) == (True, 1)
    assert (cut_again.written, cut_again.already) == (0, cut_again.records)
    assert (whole_again.written, whole_again.already) == (0, whole_again.records)


def test_two_recordings_of_the_same_time_stand_side_by_side(kept: Kept, tmp_path: Path) -> None:
    """Other messages at the very same times are kept too, and found again by a second ingest."""
    reports = []
    for name, shift in (("a", 0), ("b", 1_000), ("a", 0), ("b", 1_000)):
        said = [Said("/arm/state", T0_NS + at * MS, stamped(at + shift)) for at in range(10)]
        reports.append(kept.ingest(write_ros2(tmp_path / f"{name}.mcap", said)))

    assert len(kept.rows("arm/state")) == 20
    assert [(report.written, report.already) for report in reports] == [(1, 0), (1, 0), (0, 1), (0, 1)]
    assert reports[1].overlapping == 1


def test_a_missing_end_loses_no_message(kept: Kept, tmp_path: Path) -> None:
    """A recording whose summary was cut off has all its messages, and says that none is lost."""
    path = write_ros2(tmp_path / "a.mcap", hundred())
    path.write_bytes(path.read_bytes()[:-4])

    report = kept.ingest(path)

    assert report.messages == 100
    assert report.damage is not None
    assert report.damage.lost_messages == 0


def test_a_failing_checksum_is_told(kept: Kept, tmp_path: Path) -> None:
    """Messages from a chunk whose checksum fails are kept, marked, and counted."""
    path = damage_chunk(write_ros2(tmp_path / "a.mcap", hundred(), CompressionType.NONE))

    report = kept.ingest(path)
    marked = [record for record in kept.records("arm/state") if record.labels.get("suspect") == "checksum"]

    assert report.messages == 100
    assert report.suspect == sum(int(record.labels.get("rows", 1)) for record in marked) > 0
    assert report.damage is not None
    assert "checksum" in report.damage.why


@pytest.mark.parametrize(("content", "why"), [(b"", "empty"), (b"x,y\n1,2\n", "no MCAP"), (None, "no such file")])
def test_what_is_no_recording_is_refused(kept: Kept, tmp_path: Path, content: bytes | None, why: str) -> None:
    """An empty file, a text file called .mcap and a missing one are refused, and nothing is written."""
    path = tmp_path / "a.mcap"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(InputError, match=why):
        kept.ingest(path)

    assert kept.records() == []


def test_a_full_bucket_stops_the_ingest(kept: Kept, tmp_path: Path) -> None:
    """What does not fit is refused, told, and added by the same call once there is room."""
    path = write_ros2(tmp_path / "a.mcap", hundred())
    report = kept.ingest(path, quota_bytes=15_000)

    again = kept.ingest(path)

    assert report.stopped is not None
    assert not report.complete
    assert again.complete
    assert len(kept.rows("arm/state")) == 100


def test_a_query_gives_the_same_numbers_back(fleet_file: Path) -> None:
    """What `fleetbox query` prints is what the real recording holds, value by value, on all three clocks."""
    path = car_or_skip()
    robot = f"car-{uuid.uuid4().hex[:8]}"
    fleetbox("ingest", str(path), "--robot", robot, "--site", "edge-1", "--fleet", str(fleet_file))

    lines = fleetbox("query", f"{robot}/nissan/**", "--format", "ndjson", "--fleet", str(fleet_file)).splitlines()

    assert len(lines) == CAR_MESSAGES
    assert check_objects(map(json.loads, lines), read_truth(path), robot) > CAR_MESSAGES


def fleetbox(*arguments: str) -> str:
    """Run the command line as a program of its own; return what it prints."""
    done = subprocess.run(
        [sys.executable, "-m", "fleetbox", *arguments], capture_output=True, text=True, timeout=170, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def fleet_file(store_server: Any, tmp_path: Path) -> Path:
    """Return a fleet.toml with one site and one robot that shares its store."""
    (tmp_path / "token").write_text(store_server.token)
    path = tmp_path / "fleet.toml"
    path.write_text(
        f'[[robots]]\nmatch = "r1"\nsite = "edge-1"\nstore = "{store_server.url}"\ntoken = {{ file = "token" }}\n'
        f'[site.edge-1]\nstore = "{store_server.url}"\ntoken = {{ file = "token" }}\nquota = {{ kept = "20 MB" }}\n'
    )
    return path


def test_the_verb_ingests_at_a_site(
    fleet_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], bucket_name: str
) -> None:
    """`fleetbox ingest` makes the robot's kept bucket with its stated size, and answers in JSON or in a table."""
    robot, fleet = bucket_name, load_fleet(fleet_file)
    path = write_ros2(tmp_path / "a.mcap", hundred())

    assert run([path], fleet, robot, "edge-1", as_json=True) == 0
    answer = json.loads(capsys.readouterr().out)
    assert run([path], fleet, robot) == 0  # not in the fleet: at the nearest site, where it already is
    shown = capsys.readouterr()

    assert (answer["messages"], answer["written"], answer["place"]) == (100, 2, "edge-1")
    assert "100 messages in 2 records" in shown.out
    assert "0 written, 2 already there" in shown.out
    assert shown.err == ""

    async def spec() -> BucketSpec | None:
        place = fleet.site_place("edge-1")
        async with Store(place.url, place.current_token()) as store:
            return await store.bucket_spec(f"{robot}--kept")

    made = asyncio.run(spec())
    assert made is not None
    assert (made.quota_type, made.quota_bytes) == ("HARD", 20_000_000)


def test_the_verb_tells_damage(
    fleet_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], bucket_name: str
) -> None:
    """A damaged file gives exit code 3, both counts and what to do, and stdout stays clean."""
    path = write_ros2(tmp_path / "a.mcap", hundred(), CompressionType.NONE)
    path.write_bytes(path.read_bytes()[:7_500])

    code = run([path], load_fleet(fleet_file), bucket_name, "edge-1", as_json=True)
    shown = capsys.readouterr()
    answer = json.loads(shown.out)

    assert code == 3
    assert answer["complete"] is False
    assert answer["files"][0]["damaged_at"] == 7_500
    assert f"{answer['messages']} messages ingested, about" in shown.err
    assert "next: " in shown.err


def test_one_wrong_file_stops_all(fleet_file: Path, tmp_path: Path, bucket_name: str) -> None:
    """With several files, all are looked at before the first is written."""
    good, bad = write_ros2(tmp_path / "a.mcap", hundred()), tmp_path / "b.mcap"
    bad.write_text("hello")
    fleet = load_fleet(fleet_file)

    with pytest.raises(InputError, match=r"b\.mcap"):
        run([good, bad], fleet, bucket_name, "edge-1")

    async def buckets() -> list[str]:
        place = fleet.site_place("edge-1")
        async with Store(place.url, place.current_token()) as store:
            return await store.buckets()

    assert f"{bucket_name}--kept" not in asyncio.run(buckets())

"""Record into a real store and read back what arrived."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
import xxhash
from conftest import StoreServer

from fleetbox import chunks
from fleetbox.blobs import Store
from fleetbox.errors import FleetboxError, Incomplete, InputError
from fleetbox_edge.recorder import Recorder

from .conftest import Robot
from .test_duties import until

ROW = {f"f{index}": index * 0.5 for index in range(12)}


def test_rows_come_back_in_order_and_once(robot: Robot, recorder: Recorder) -> None:
    """Ten thousand rows are read back one by one, each once, with rising stamps."""
    for number in range(10_000):
        recorder.log("imu", {"n": number, "ax": number / 3})
    assert recorder.flush(60)
    rows = robot.rows("imu")
    assert [row["n"] for row in rows] == list(range(10_000))
    assert [row["ax"] for row in rows] == [number / 3 for number in range(10_000)]
    stamps = [row["time_us"] for row in rows]
    assert stamps == sorted(set(stamps))


def test_labels_say_exactly_what_a_chunk_holds(robot: Robot, recorder: Recorder) -> None:
    """Each chunk's labels name robot, type, session, first number, rows, last stamp and hash; numbers have no gap."""
    for number in range(3_000):
        recorder.log("imu", {"n": number, **ROW}, labels={"run": 7, "site": "hall a"})
    recorder.flush(60)
    expected = 0
    for record in robot.records("sensor", "imu"):
        rows = chunks.rows(record.data)
        assert record.labels == {
            "robot": robot.id,
            "type": "time_series",
            "session": recorder.stats().session,
            "seq": str(expected),
            "rows": str(len(rows)),
            "t_end": str(rows[-1]["time_us"]),
            "xxh": xxhash.xxh3_64_hexdigest(record.data),
            "run": "7",
            "site": "hall a",
        }
        assert record.time_us == rows[0]["time_us"]
        assert record.content_type == chunks.CONTENT_TYPE
        expected += len(rows)
    assert expected == 3_000


def test_blobs_keep_their_bytes_and_types(robot: Robot, recorder: Recorder) -> None:
    """Text, JSON, files and pictures come back byte by byte from the bucket of their class."""
    jpeg = b"\xff\xd8\xff" + bytes(range(256))
    recorder.log("log/app", "grüße")
    recorder.log("params", {"gains": [{"p": 1}]})
    recorder.log("dump", b"\x00\x01")
    recorder.log("cam/front", jpeg)
    recorder.flush(60)
    assert [record.data.decode() for record in robot.records("log", "log/app")] == ["grüße"]
    assert [json.loads(record.data) for record in robot.records("log", "params")] == [{"gains": [{"p": 1}]}]
    assert [record.data for record in robot.records("log", "dump")] == [b"\x00\x01"]
    (frame,) = robot.records("media", "cam/front")
    assert (frame.data, frame.content_type, frame.labels["type"]) == (jpeg, "image/jpeg", "images")


def test_policy_labels_at_write(robot: Robot) -> None:
    """Streams that always travel are written with keep and the policy's hash, others without."""
    robot.write(policy='[stream.health]\nship = "always"\n[stream.near]\nship = "always"\nto = "edge"\n')
    with Recorder(robot.file, duties=False) as recorder:
        for stream in ("health", "near", "imu"):
            recorder.log(stream, {"x": 1.0, "y": 2.0})
        policy = recorder.settings.policy.hash
    found = {stream: robot.records("sensor", stream)[0].labels for stream in ("health", "near", "imu")}
    assert (found["health"]["keep"], found["health"]["policy"]) == ("1", policy)
    assert (found["near"]["keep"], found["near"]["policy"]) == ("edge", policy)
    assert not {"keep", "policy"} & found["imu"].keys()


def test_fields_of_every_kind(robot: Robot, recorder: Recorder) -> None:
    """Nested, listed, true or false, whole, text and missing values come back under dotted names."""
    recorder.log("a", {"pose": {"x": 1.5, "ok": True}, "q": [1.0, 2.5], "n": 3, "mode": "auto", "none": None})
    recorder.log("a", {"pose": {"x": 2.5, "ok": False}, "q": np.array([3.0, 4.0]), "n": 4, "mode": "man", "none": 1.0})
    recorder.log("b", {"x": np.float32(0.5), "n": np.int16(-3), "flags": [True, False]})
    recorder.log("c", 21)
    recorder.flush(60)
    first, second = robot.rows("a")
    assert {**first, "time_us": 0} == {
        "time_us": 0, "pose.x": 1.5, "pose.ok": True, "q": [1.0, 2.5], "n": 3, "mode": "auto", "none": None,
    }  # fmt: skip
    assert (second["pose.ok"], second["q"], second["mode"], second["none"]) == (False, [3.0, 4.0], "man", 1.0)
    assert [(row["x"], row["n"], row["flags"]) for row in robot.rows("b")] == [(0.5, -3, [True, False])]
    assert [row["value"] for row in robot.rows("c")] == [21]


def test_a_change_of_fields_or_kinds_closes_the_chunk(robot: Robot, recorder: Recorder) -> None:
    """Every row survives changes of fields, order and kinds, exactly as it was given."""
    given: list[dict[str, Any]] = [
        {"a": 1, "b": 2}, {"b": 3, "a": 4}, {"a": 1.5, "b": 2}, {"a": 7, "b": 8}, {"a": 1.0}, {"a": 1.0, "c": True},
        {"a": 2.0, "c": False}, {"a": 2.0, "c": 5}, {"a": 2**62, "c": 5}, {"a": "text", "c": 5},
    ]  # fmt: skip
    for row in given:
        recorder.log("mixed", row)
    recorder.flush(60)
    rows = robot.rows("mixed")
    assert [{name: row[name] for name in wanted} for row, wanted in zip(rows, given, strict=True)] == given


def test_equal_and_backward_times(robot: Robot, recorder: Recorder) -> None:
    """Equal stamps are bumped by 1 µs, earlier ones open a chunk of their own; keys never collide; both are counted."""
    base = 1_700_000_000_000_000
    for number, offset in enumerate([0, 0, 0, 10, 5, 5, 6, 0, 0, 11]):
        recorder.log("t", {"n": number, "x": 0.0}, time=base + offset)
        recorder.log("b", f"line {number}", time=base + offset)
    recorder.flush(60)
    assert sorted(row["n"] for row in robot.rows("t")) == list(range(10))
    lines = robot.records("log", "b")
    assert sorted(record.data.decode() for record in lines) == [f"line {number}" for number in range(10)]
    assert len({record.time_us for record in lines}) == 10
    assert max(record.time_us for record in lines) <= base + 16
    stats = recorder.stats()
    assert stats.backward == 4
    assert stats.bumped >= 6


def test_columns_come_back_exactly(robot: Robot, recorder: Recorder) -> None:
    """Bulk columns of every kind come back value by value, with their exact clocks."""
    count = 5_000
    times = 1_700_000_000_000_000 + np.arange(count) * 1_000
    arrays = {
        "x": np.random.default_rng(1).random(count),
        "n": np.arange(count),
        "q": np.arange(count * 3, dtype=float).reshape(count, 3),
        "ok": np.arange(count) % 2 == 0,
        "log_ns": times * 1_000 + 7,
    }
    recorder.log_columns("bulk", times[:100], {name: values[:100] for name, values in arrays.items()})
    recorder.log_columns("bulk", times[100:], {name: values[100:] for name, values in arrays.items()})
    recorder.flush(60)
    rows = robot.rows("bulk")
    assert [row["time_us"] for row in rows] == times.tolist()
    for name, values in arrays.items():
        assert [row[name] for row in rows] == values.tolist()
    numbers = [(int(r.labels["seq"]), int(r.labels["rows"])) for r in robot.records("sensor", "bulk")]
    assert [first + rows for first, rows in numbers] == [*(first for first, _ in numbers[1:]), count]


def test_no_chunk_is_longer_than_its_bound(robot: Robot) -> None:
    """Stamps within a chunk span less than the bound, whether they come from the caller or the clock."""
    robot.write('chunk = "500ms"')
    with Recorder(robot.file, duties=False) as recorder:
        for number in range(1_000):
            recorder.log("t", {"n": number, "x": 0.0}, time=1_700_000_000_000_000 + number * 7_000)
        recorder.log_columns("c", 1_700_000_000_000_000 + np.arange(1_000) * 7_000, {"n": np.arange(1_000)})
    for stream in ("t", "c"):
        records = robot.records("sensor", stream)
        assert all(int(record.labels["t_end"]) - record.time_us < 500_000 for record in records)
        assert sum(int(record.labels["rows"]) for record in records) == 1_000


def test_an_open_chunk_closes_by_the_wall_clock(robot: Robot) -> None:
    """A row is readable soon after the bound without any flush."""
    robot.write('chunk = "300ms"')
    with Recorder(robot.file, duties=False) as recorder:
        recorder.log("slow", {"x": 1.0, "y": 2.0})
        deadline = time.monotonic() + 60
        while not robot.rows("slow"):
            assert time.monotonic() < deadline
            time.sleep(0.05)


def schema_of(robot: Robot, cls: str, stream: str) -> dict[str, Any]:
    """Return the stream's schema as the store has it now, {} for none."""

    async def read() -> dict[str, Any]:
        async with Store(robot.url, robot.token) as store:
            return (await store.attachments(cls, stream)).get("schema", {})

    return asyncio.run(read())


def test_the_schema_stands_beside_the_records(robot: Robot, recorder: Recorder) -> None:
    """A stream's attachment names its type, fields and the bound of its chunks."""
    recorder.log("imu", {"ax": 1.0, "n": 2, "q": [1.0, 2.0]})
    recorder.flush(60)
    found = schema_of(robot, "sensor", "imu")
    assert found["fields"] == {
        "ax": {"dtype": "float64"}, "n": {"dtype": "int64"}, "q": {"dtype": "float64", "shape": [2]},
    }  # fmt: skip
    assert (found["type"], found["chunk_bound_us"], found["robot"]) == ("time_series", 5_000_000, robot.id)


@pytest.mark.parametrize("more", [{}, {"mode": "auto"}])
def test_a_field_that_was_a_float_stays_one(robot: Robot, more: dict[str, str]) -> None:
    """Whole numbers after floats are floats in every chunk of the session, and in the schema after a restart too."""
    with Recorder(robot.file, duties=False) as recorder:
        for value in (2.0, 0, None, 3):
            recorder.log("odom", {"vx": value, "at": [value or 1.5, 1.0], **more})
            recorder.flush(60)
        recorder.log("odom", {"vx": 1, "at": [1, 2, 3], **more})
    kinds = [chunks.fields(record.data) for record in robot.records("sensor", "odom")]
    assert [(one["vx"]["dtype"], one["at"]["dtype"]) for one in kinds] == [("float64", "float64")] * 5
    with Recorder(robot.file, duties=False) as recorder:
        recorder.log("odom", {"vx": 7, "at": [7, 8], **more})
    assert chunks.fields(robot.records("sensor", "odom")[-1].data)["vx"]["dtype"] == "int64"  # it knows no better yet
    fields = schema_of(robot, "sensor", "odom")["fields"]
    assert fields["vx"] == {"dtype": "float64"}
    assert fields["at"] == {"dtype": "float64", "shape": [None]}


@pytest.mark.parametrize("duties", [False, True])
def test_a_short_life_leaves_schemas(robot: Robot, duties: bool) -> None:
    """A program that records for a moment leaves the schema of every stream, whether it flushes or only closes."""
    with Recorder(robot.file, duties=duties) as recorder:
        recorder.log("imu", {"ax": 1.0, "n": 2})
        recorder.flush(60)
        assert schema_of(robot, "sensor", "imu")["fields"].keys() == {"ax", "n"}
        recorder.log("imu", {"ax": 1.0, "late": 2})
        recorder.log("log/app", "line")
    assert schema_of(robot, "sensor", "imu")["fields"].keys() == {"ax", "n", "late"}
    assert schema_of(robot, "log", "log/app")["type"] == "log"


@pytest.mark.parametrize("stream", ["", "a b", "a//b", "ä", "a.b", "x/q", "a/" * 120])
def test_illegal_streams_are_refused(recorder: Recorder, stream: str) -> None:
    """A stream name that no store can hold raises and writes nothing."""
    with pytest.raises(InputError, match="stream name"):
        recorder.log(stream, {"x": 1.0})
    assert recorder.stats().rows == 0


@pytest.mark.parametrize(
    "labels",
    [{"seq": 1}, {"Upper": "x"}, {"a": "x,y"}, {"a": ""}, {"a": "é"}, {"a": [1]}, {f"l{i}": i for i in range(17)}],
)
def test_illegal_labels_are_refused(recorder: Recorder, labels: dict[str, Any]) -> None:
    """A label that breaks the rule raises, before and after the stream is known."""
    for _ in range(2):
        with pytest.raises(InputError):
            recorder.log("imu", {"x": 1.0, "y": 1.0}, labels=labels)
        recorder.log("imu", {"x": 1.0, "y": 1.0})
    assert recorder.stats().rows == 2


@pytest.mark.parametrize("value", [None, object(), {"a": 2**64}, {"time_us": 1.0}, {"a": {"b": 1}, "a.b": 2}])
def test_illegal_values_are_refused(recorder: Recorder, value: Any) -> None:
    """A value that is no row, picture, text or JSON raises, and the stream goes on."""
    with pytest.raises(InputError):
        recorder.log("imu", value)
    recorder.log("imu", {"x": 1.0})
    assert recorder.stats().rows == 1


def nested(depth: int) -> dict[str, Any]:
    """Return a dict in a dict in a dict, with a number in the innermost."""
    value: dict[str, Any] = {"x": 1.0}
    for _ in range(depth):
        value = {"x": value}
    return value


@pytest.mark.parametrize(
    "value",
    ["\ud800", {"a": "\ud800"}, {"a": "\ud800", "b": [1]}, {"a": [{"b": "\ud800"}]}, nested(2_000), [nested(2_000)]],
)
def test_text_and_depths_that_cannot_be_written_are_refused(recorder: Recorder, value: Any) -> None:
    """A lone surrogate anywhere and thousands of levels raise InputError, on a new stream and on one in use."""
    for _ in range(2):
        with pytest.raises(InputError):
            recorder.log("new", value)
        with pytest.raises(InputError):
            recorder.log("used", value)
        recorder.log("used", {"x": 1.0, "y": 1.0})
    assert (recorder.stats().rows, recorder.stats().blobs) == (2, 0)


@pytest.mark.parametrize("stream", [None, 5, b"imu", ["imu"], ("imu",)])
def test_streams_that_are_no_text_are_refused(recorder: Recorder, stream: Any) -> None:
    """A stream that is no text raises InputError, for every kind of value."""
    for value in ({"x": 1.0, "y": 1.0}, "text", b"\xff\xd8\xff"):
        with pytest.raises(InputError, match="stream name"):
            recorder.log(stream, value)
    with pytest.raises(InputError, match="stream name"):
        recorder.log_columns(stream, [1], {"x": [1.0]})


@pytest.mark.parametrize("labels", ["run=7", "", ["run"], [], 5])
def test_labels_that_are_no_dict_are_refused(recorder: Recorder, labels: Any) -> None:
    """Labels as text or a list raise InputError, before and after the stream is known."""
    for _ in range(2):
        with pytest.raises(InputError, match="labels given as"):
            recorder.log("imu", {"x": 1.0, "y": 1.0}, labels=labels)
        with pytest.raises(InputError, match="labels given as"):
            recorder.log_columns("imu", [1], {"x": [1.0]}, labels=labels)
        recorder.log("imu", {"x": 1.0, "y": 1.0})


@pytest.mark.parametrize("stream", ["events", "events/site-a", "events/a/b", "fleetbox/triggers"])
def test_the_streams_of_marks_are_not_for_users(robot: Robot, recorder: Recorder, stream: str) -> None:
    """Nothing but marks goes to `events`, and marking works after somebody tried."""
    for value in ({"x": 1.0}, "text", {"a": ["b"]}):
        with pytest.raises(InputError, match="another stream name"):
            recorder.log(stream, value)
    with pytest.raises(InputError, match="another stream name"):
        recorder.log_columns(stream, [1], {"x": [1.0]})
    recorder.log("events_of_mine", {"x": 1.0})
    event = recorder.mark("hard_brake")
    recorder.flush(60)
    assert [record.labels["event"] for record in robot.records("meta", "events")] == [event]


def test_a_mark_takes_one_glob_as_one(robot: Robot, recorder: Recorder) -> None:
    """A single glob given as text is one glob, and not one for each of its letters."""
    recorder.mark("hard_brake", streams="imu")
    recorder.flush(60)
    (record,) = robot.records("meta", "events")
    assert json.loads(record.data)["streams"] == ["imu"]


ILLEGAL_MARKS: list[dict[str, Any]] = [
    {"pre": float("nan")}, {"post": float("inf")}, {"pre": -1}, {"post": -0.5}, {"pre": timedelta(seconds=-1)},
    {"pre": "soon"}, {"pre": [1]}, {"post": 1e30}, {"note": None}, {"note": 5}, {"note": "\ud800"}, {"kind": 5},
    {"kind": ""}, {"streams": []}, {"streams": [5]}, {"streams": ""}, {"streams": 5},
]  # fmt: skip


@pytest.mark.parametrize("given", ILLEGAL_MARKS)
def test_illegal_marks_are_refused(recorder: Recorder, given: dict[str, Any]) -> None:
    """A mark with a window, note, kind or globs that cannot be raises InputError and writes nothing."""
    with pytest.raises(InputError):
        recorder.mark(**{"kind": "hard_brake", **given})
    assert recorder.stats().blobs == 0


def test_a_stream_has_one_type(recorder: Recorder) -> None:
    """Text on a stream of numbers raises and names another stream as the way out."""
    recorder.log("imu", {"x": 1.0})
    with pytest.raises(InputError, match="another stream"):
        recorder.log("imu", "text")


ILLEGAL_COLUMNS: list[tuple[Any, Any]] = [
    ([1, 2], {"x": [1.0]}),
    ([1], {}),
    ([], {}),
    ([1, 2], {"x": [[1.0], [1.0, 2.0]]}),
    ([[1], [1, 2]], {"x": [1.0, 2.0]}),
    ([2**70], {"x": [1.0]}),
    ([5, 2**60], {"x": [1.0, 2.0]}),
    ([1e30], {"x": [1.0]}),
    ([float("inf")], {"x": [1.0]}),
    (np.array(["NaT"], "datetime64[us]"), {"x": [1.0]}),
    (np.array([10**12], "datetime64[s]"), {"x": [1.0]}),
    ([1], [1.0]),
    ([1], {"x": ["\ud800"]}),
    ([[1]], {"x": [1.0]}),
    ([1.0, float("nan")], {"x": [1.0, 2.0]}),
    ([-5], {"x": [1.0]}),
    ([1], {"time_us": [1]}),
    ([1], {"x": [object()]}),
    ([1], {"log_ns": [0.5]}),
]


@pytest.mark.parametrize(("times", "arrays"), ILLEGAL_COLUMNS)
def test_illegal_columns_are_refused(recorder: Recorder, times: Any, arrays: Any) -> None:
    """Columns that do not fit together or cannot be raise, and nothing of them is kept."""
    with pytest.raises(InputError):
        recorder.log_columns("bulk", times, arrays)
    assert recorder.stats().rows == 0


def test_no_rows_of_columns_are_no_rows(recorder: Recorder) -> None:
    """A producer that had nothing this time gets no error, and the stream is still of any type."""
    recorder.log_columns("bulk", [], {"a": []})
    recorder.log_columns("bulk", np.empty(0, "datetime64[us]"), {"a": np.empty((0, 3))})
    assert recorder.stats().rows == 0
    recorder.log("bulk", "text")


@pytest.mark.parametrize("when", [2**70, -1, float("nan"), float("inf"), -float("inf"), "now+9999999d", "10001-1-1"])
def test_times_that_no_store_can_hold_are_refused(recorder: Recorder, when: Any) -> None:
    """A time before 1970, after the year 9999 or without a number raises, and the stream goes on as it was."""
    recorder.log("t", {"v": 1, "w": 2})
    for value in ({"v": 1, "w": 2}, "text"):
        with pytest.raises(InputError, match=r"time|duration"):
            recorder.log("t" if isinstance(value, dict) else "log/app", value, time=when)
    with pytest.raises(InputError):
        recorder.mark("hard_brake", time=when)
    recorder.log("t", {"v": 1, "w": 2}, time="9999-12-31T23:59:59.999999Z")
    assert (recorder.stats().rows, recorder.stats().blobs) == (2, 0)


def test_many_threads(robot: Robot, recorder: Recorder) -> None:
    """Eight threads on two streams lose and double nothing."""

    def work(thread: int) -> None:
        for number in range(1_000):
            recorder.log(f"s{thread % 2}", {"n": thread * 1_000 + number, "x": 0.5})

    threads = [threading.Thread(target=work, args=(thread,)) for thread in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    recorder.flush(60)
    found = [row["n"] for stream in ("s0", "s1") for row in robot.rows(stream)]
    assert sorted(found) == list(range(8_000))


def test_previews_are_few_and_small(robot: Robot) -> None:
    """Of three seconds of frames one a second comes out small, with the stamp of its frame and keep=1."""
    robot.write(policy='[stream."cam/*"]\npreview = { size = "160x90", every = "1s" }\n')
    picture = np.random.default_rng(1).integers(0, 255, (360, 640, 3), np.uint8)
    base = 1_700_000_000_000_000
    with Recorder(robot.file, duties=False) as recorder:
        for number in range(30):
            recorder.log("cam/front", picture, time=base + number * 100_000)
    import cv2

    small = robot.records("small", "cam/front/preview")
    assert [record.time_us for record in small] == [base, base + 1_000_000, base + 2_000_000]
    assert all(record.labels["keep"] == "1" for record in small)
    assert cv2.imdecode(np.frombuffer(small[0].data, np.uint8), cv2.IMREAD_COLOR).shape == (90, 160, 3)
    assert len(robot.records("media", "cam/front")) == 30


def test_log_never_waits_for_a_store_that_is_down(robot: Robot) -> None:
    """With nothing listening, 20,000 rows take no longer than usual, and flush says what waits and why."""
    robot.url = "http://127.0.0.1:9"
    robot.write()
    with Recorder(robot.file, duties=False) as recorder:
        slowest, started = 0.0, time.perf_counter()
        for _ in range(20_000):
            before = time.perf_counter()
            recorder.log("imu", ROW)
            slowest = max(slowest, time.perf_counter() - before)
        assert time.perf_counter() - started < 60.0, "three milliseconds each, whatever else runs here"
        assert slowest < 20.0, "the store never comes: who waits for it does so until the end"
        until(lambda: recorder.stats().last_error)
        with pytest.raises(Incomplete, match="imu not acknowledged"):
            recorder.flush(0.5)
        assert "cannot write" in (recorder.stats().last_error or "")
        recorder.close(0.1)
    assert robot.spools()


def test_store_down_then_up(robot: Robot, new_store_server: Callable[..., StoreServer]) -> None:
    """What is logged while the store is down, blobs beyond the memory bound too, is there once it is back."""
    server = new_store_server()
    robot.url, robot.token = server.url, server.token
    robot.write()
    with Recorder(robot.file, duties=False, memory_bytes=200_000) as recorder:
        recorder.log("imu", {"n": -1, "x": 0.0})
        recorder.flush(60)
        server.kill()
        for number in range(20_000):
            recorder.log("imu", {"n": number, "x": 0.5})
            if number % 20 == 0:
                recorder.log("cam/front", b"\xff\xd8\xff" + number.to_bytes(4) * 2_000)
        deadline = time.monotonic() + 60
        while recorder.stats().memory_bytes > 4_000_000:  # of 8.5 MB: the bound, and batches being sent
            assert time.monotonic() < deadline
            time.sleep(0.05)
        server.start()
        recorder.flush(60)
    assert [row["n"] for row in robot.rows("imu")] == list(range(-1, 20_000))
    frames = [record.data[3:7] for record in robot.records("media", "cam/front")]
    assert frames == [number.to_bytes(4) for number in range(0, 20_000, 20)]
    assert not robot.spools()


def test_token_revoked_then_replaced(robot: Robot) -> None:
    """With a wrong token everything waits, the error says what to do, and a new token file is enough to go on."""
    good = robot.token
    robot.token = "wrong"
    robot.write()
    with Recorder(robot.file, duties=False) as recorder:
        recorder.log("imu", {"x": 1.0})
        with pytest.raises(Incomplete):
            recorder.flush(0.1)  # begins to send
        until(lambda: recorder.stats().last_error)
        with pytest.raises(FleetboxError, match="check the token"):
            recorder.flush(0.1)
        (robot.folder / "token").write_text(good)
        assert recorder.flush(60)
    robot.token = good
    assert len(robot.rows("imu")) == 1


def test_two_recorders_on_one_stream_with_equal_times(robot: Robot) -> None:
    """Two programs that stamp alike lose nothing: the second one's records move on by a microsecond."""
    base = 1_700_000_000_000_000
    with Recorder(robot.file, duties=False) as first, Recorder(robot.file, duties=False) as second:
        for recorder, name in ((first, "first"), (second, "second")):
            for number in range(20):
                recorder.log("log/app", f"{name} {number}", time=base + number * 1_000)
                recorder.log("imu", {"n": number, "x": len(name) / 2}, time=base + number * 1_000)
            recorder.flush(60)
    assert len({record.data for record in robot.records("log", "log/app")}) == 40
    assert sorted(row["n"] for row in robot.rows("imu")) == sorted([*range(20), *range(20)])


def test_a_full_spool_drops_the_least_valuable_and_counts_it(robot: Robot) -> None:
    """With the store away and the spool bounded, frames go first; the stored and the counted make up the whole."""
    good = robot.url
    robot.url = "http://127.0.0.1:9"
    robot.write('spool = { max = "4 MB" }')
    with Recorder(robot.file, duties=False, memory_bytes=100_000) as recorder:
        for number in range(400):
            recorder.log("cam/front", b"\xff\xd8\xff" + bytes(50_000) + number.to_bytes(4))
            recorder.log("imu", {"n": number, "x": 0.5})
            recorder.log("log/app", f"line {number}")
        assert recorder.stats().spooled_bytes <= 4_000_000
        recorder.close(0.1)
        drops = recorder.stats().drops
    robot.url = good
    robot.write()
    with Recorder(robot.file, duties=False) as recorder:
        recorder.flush(60)
    assert [row["n"] for row in robot.rows("imu")] == list(range(400))
    assert len(robot.records("log", "log/app")) == 400
    frames = robot.records("media", "cam/front")
    assert 0 < len(frames) < 400
    assert drops == {"spool full": 400 - len(frames)}
    named = robot.drops()
    assert {(drop.stream, drop.reason) for drop in named} == {("cam/front", "spool full")}
    assert sum(drop.rows for drop in named) == 400 - len(frames)
    assert len(named) <= 80  # ranges: those on the wire when the spool gave them up are counted when they come back
    assert robot.unnamed() == {}


def test_using_a_closed_recorder_says_so(robot: Robot) -> None:
    """Logging after close raises and names the way out; closing twice does nothing."""
    recorder = Recorder(robot.file, duties=False)
    recorder.log("imu", {"x": 1.0, "y": 1.0})
    recorder.close()
    recorder.close()
    with pytest.raises(InputError, match="closed"):
        recorder.log("imu", {"x": 1.0, "y": 1.0})
    assert recorder.flush(1)
    assert len(robot.rows("imu")) == 1


def test_flush_after_a_close_that_left_records_says_so(robot: Robot) -> None:
    """What a closed recorder could not send waits for the next one; flush does not wait for ever."""
    robot.url = "http://127.0.0.1:9"
    robot.write()
    recorder = Recorder(robot.file, duties=False)
    recorder.log("log/app", "line")
    recorder.close(0.1)
    with pytest.raises(Incomplete, match="start a new Recorder"):
        recorder.flush()


def test_a_state_folder_that_cannot_be_made_says_what_to_do(robot: Robot) -> None:
    """A recorder without a place for its spool explains itself at once."""
    (robot.folder / "state").write_text("a file")
    with pytest.raises(FleetboxError, match="name a folder"):
        Recorder(robot.file, duties=False)


def test_fsync_at_intervals(robot: Robot) -> None:
    """With fsync = "interval" what was logged is on the disk within the interval, and recording goes on."""
    robot.url, good = "http://127.0.0.1:9", robot.url
    robot.write('spool = { fsync = "interval", fsync_every = "50ms" }')
    with Recorder(robot.file, duties=False) as recorder:
        recorder.log("imu", {"x": 1.0, "y": 1.0})
        (segment,) = recorder._session.spool.live()
        deadline = time.monotonic() + 60
        while segment.synced < segment.offset:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        recorder.close(0.1)
    robot.url = good
    robot.write()
    with Recorder(robot.file, duties=False) as recorder:
        recorder.flush(60)
    assert len(robot.rows("imu")) == 1

"""Exports meet bad input: torn records, clocks that go back, changed schemas, full disks, a store that goes away."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from mcap.reader import make_reader
from safetensors import safe_open

from fleetbox import chunks
from fleetbox.blobs import resuming
from fleetbox.errors import FleetboxError
from fleetbox.records import Draft
from fleetbox.retry import Patience
from fleetbox_local.processes import StoreProcess
from fleetbox_query import reading
from fleetbox_query.exports import steps
from fleetbox_query.exports.exporting import export
from fleetbox_query.exports.mcap import rows, writing
from fleetbox_query.fleet import Fleet, connect

from ..conftest import MAIN, START_S, Tiers, blob, chunk

T0 = 1_700_000_000_000_000
SUFFIXES = {"mcap": "mcap", "parquet": "parquet", "csv": "csv", "hdf5": "h5", "safetensors": "safetensors"}
FORMATS = list(SUFFIXES)


def _path(folder: Path, format_: str) -> Path:
    return folder / f"x.{SUFFIXES[format_]}"


def _numbers(path: Path, name: str, field: str) -> list[tuple[int, float]]:
    """Return (time in µs, value) of one field, as another program reads it."""
    if path.suffix == ".mcap":
        with path.open("rb") as file:
            found = [one for _, _, one in make_reader(file, validate_crcs=True).iter_messages()]
        return [(one.log_time // 1000, json.loads(one.data)[field]) for one in found]
    if path.suffix == ".parquet":
        table = pq.read_table(path)
        return list(zip(table["time_us"].cast("int64").to_pylist(), table[field].to_pylist(), strict=True))
    if path.suffix == ".csv":
        names, *lines = [line.replace('"', "").split(",") for line in path.read_text().splitlines()]
        return [(int(line[names.index("time_us")]), float(line[names.index(field)])) for line in lines]
    if path.suffix == ".h5":
        with h5py.File(path) as file:
            return list(zip(file[name]["time_us"][:].tolist(), file[name][field][:].tolist(), strict=True))
    with safe_open(path, "numpy") as file:
        times, values = file.get_tensor(f"{name}/time_us"), file.get_tensor(f"{name}/{field}")
    return list(zip(times.tolist(), values.tolist(), strict=True))


@pytest.mark.parametrize("format_", FORMATS)
def test_corrupted_records_are_left_out_and_named(
    tiers: Tiers, fleet: Fleet, stream: str, tmp_path: Path, format_: str
) -> None:
    """A chunk that does not open costs its own rows only; the answer and the manifest name it, and it is no success."""
    good = [chunk(stream, [T0 + at * 1_000_000], {"x": [float(at)]}, robot=tiers.robot) for at in (0, 2)]
    labels = {"robot": tiers.robot, "type": "time_series", "rows": "1", "t_end": str(T0 + 1_000_000)}
    torn = Draft(stream, T0 + 1_000_000, good[0].data[: len(good[0].data) // 2], labels, chunks.CONTENT_TYPE)
    tiers.put("edge", "sensor", [good[0], torn, good[1]])
    path = _path(tmp_path, format_)
    done = export(fleet.select(f"{tiers.robot}/{stream}"), format_, path)
    manifest = json.loads((tmp_path / f"{path.name}.manifest.json").read_text())
    assert _numbers(path, f"{tiers.robot}/{stream}", "x") == [(T0, 0.0), (T0 + 2_000_000, 2.0)]
    assert not done.complete
    assert any(stream in line and str(T0 + 1_000_000) in line for line in done.lines()), done.lines()
    assert manifest["missing"] == done.tally.missing


@pytest.mark.parametrize("format_", FORMATS)
def test_times_that_go_back_come_out_in_order(
    tiers: Tiers, fleet: Fleet, stream: str, tmp_path: Path, format_: str
) -> None:
    """A source that stamps out of order, within a chunk and from chunk to chunk: each row once, by its time."""
    drafts = []
    for first in (0, 15, 10):  # chunks that reach into one another
        times = [T0 + (first + at) * 1000 + first % 7 for at in (0, 3, 1, 9, 2)]
        drafts.append(chunk(stream, times, {"x": [float(at) for at in times]}, robot=tiers.robot))
    tiers.put("edge", "sensor", drafts)
    path = _path(tmp_path, format_)
    done = export(fleet.select(f"{tiers.robot}/{stream}"), format_, path)
    found = _numbers(path, f"{tiers.robot}/{stream}", "x")
    assert len(found) == 15
    assert found == sorted(found)
    assert all(time == value for time, value in found)
    assert done.complete


def test_a_schema_that_changed_midway_in_mcap(tiers: Tiers, fleet: Fleet, stream: str, tmp_path: Path) -> None:
    """A number that became text and a field that came later: every message says what its row had."""
    tiers.put("edge", "sensor", [chunk(stream, [T0], {"x": [1], "gone": [True]}, robot=tiers.robot)])
    tiers.put("edge", "sensor", [chunk(stream, [T0 + 1], {"x": ["on"], "new": [2.5]}, robot=tiers.robot)])
    export(fleet.select(f"{tiers.robot}/{stream}"), "mcap", tmp_path / "x.mcap")
    with (tmp_path / "x.mcap").open("rb") as file:
        found = [json.loads(one.data) for _, _, one in make_reader(file).iter_messages()]
    assert [str(one["x"]) for one in found] == ["1", "on"]
    assert (found[0]["gone"], found[1]["new"]) == (True, 2.5)


def test_numbers_that_json_lacks(tiers: Tiers, fleet: Fleet, stream: str, tmp_path: Path) -> None:
    """NaN, the infinities, missing values, the largest whole number, odd text and bytes come out of MCAP as JSON."""
    odd = [float("nan"), float("inf"), float("-inf"), 0.1, 1e300]
    columns: dict[str, Any] = {
        "x": odd, "n": [2**63 - 1, -1, 0, None, 5], "t": ['"', "\\", "\n\x00", "ü\u2028", ""], "b": [b"\xff"] * 5,
        "l": [[1.0, float("nan")]] * 5, "a.b": [1] * 5, "a": [2] * 5,
    }  # fmt: skip
    tiers.put("edge", "sensor", [chunk(stream, [T0 + at for at in range(5)], columns, robot=tiers.robot)])
    done = export(fleet.select(f"{tiers.robot}/{stream}"), "mcap", tmp_path / "x.mcap")
    with (tmp_path / "x.mcap").open("rb") as file:
        found = [json.loads(one.data) for _, _, one in make_reader(file).iter_messages()]
    assert [one["x"] for one in found] == ["NaN", "Infinity", "-Infinity", 0.1, 1e300]
    assert [one["n"] for one in found] == columns["n"]
    assert [one["t"] for one in found] == columns["t"]
    assert found[0]["b"] == "/w=="
    assert found[0]["l"] == [1.0, "NaN"]
    assert (found[0]["a"], found[0]["a.b"]) == (2, 1)
    assert done.complete


def test_rows_that_no_message_can_hold_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Text whose bytes are none costs the rows turned with it; those before and after are there."""
    monkeypatch.setattr(rows, "BLOCK_BYTES", 1)
    torn = pa.StringArray.from_buffers(3, pa.py_buffer(np.array([0, 1, 2, 3], np.int32)), pa.py_buffer(b"a\xffc"))
    table = pa.table({"time_us": pa.array([T0, T0 + 1, T0 + 2], pa.timestamp("us")), "t": torn})
    told: list[tuple[str, int]] = []
    found = list(rows.Rows(table, 1, rows.as_json, lambda why, count: told.append((why, count))).before(T0 + 9))
    assert [bytes(one.data)[rows.HEAD_BYTES :] for one in found] == [b'{"t":"a"}', b'{"t":"c"}']
    assert [count for _, count in told] == [1]
    assert "2023-11-14T22:13:20.000001Z" in told[0][0]


@pytest.mark.parametrize("format_", ["mcap", "hdf5"])
def test_a_full_disk(tiers: Tiers, stream: str, tmp_path: Path, format_: str) -> None:
    """A write that the system refuses is one clear error; the old output stands; with room the same words finish."""
    for first in range(0, 60_000, 5_000):
        times = [T0 + at * 1000 for at in range(first, first + 5_000)]
        columns = {"x": [at * 1.000001 for at in times]}
        tiers.put("edge", "sensor", [chunk(stream, times, columns, robot=tiers.robot)])
    fleet_path, out = tiers.write_fleet(tmp_path), _path(tmp_path, format_)
    out.write_text("old")

    def small_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    words = [sys.executable, "-c", MAIN, "export", format_, f"{tiers.robot}/{stream}", "-o", str(out)]
    words += ["--start", str(T0), "--stop", str(T0 + 100_000_000)]
    there = {"FLEETBOX_FLEET": str(fleet_path), "PYTHONDONTWRITEBYTECODE": "1"}  # half a .pyc would stay
    kept = {"env": {**os.environ, **there}, "capture_output": True, "text": True}
    refused = subprocess.run(words, preexec_fn=small_files, timeout=170, **kept)  # type: ignore[call-overload]
    stood = out.read_bytes()
    done = subprocess.run(words, timeout=170, **kept)  # type: ignore[call-overload]
    assert refused.returncode == 1, refused.stderr
    assert "cannot write" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert stood == b"old"
    assert done.returncode == 0, done.stderr
    assert len(_numbers(out, f"{tiers.robot}/{stream}", "x")) == 60_000


@pytest.fixture
def passing_store(tiers: Tiers, tmp_path: Path) -> Iterator[Callable[[], tuple[StoreProcess, Fleet]]]:
    """An edge store of this test's own, since it goes away in the middle."""
    process = StoreProcess(tmp_path / "passing")
    process.start()
    process.wait_ready(START_S)
    tiers.stores = {**tiers.stores, "edge": process}
    opened: list[Fleet] = []

    def both() -> tuple[StoreProcess, Fleet]:
        opened.append(connect(tiers.write_fleet(tmp_path)))
        return process, opened[-1]

    yield both
    for one in opened:
        one.close()
    process.kill()


@pytest.mark.parametrize("format_", ["mcap", "parquet"])
def test_a_store_that_goes_away_midway(
    tiers: Tiers, stream: str, tmp_path: Path, passing_store: Any, format_: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The export stops with an error that names the place; back again, the same export goes on, each row once."""
    monkeypatch.setattr(reading, "CAP_BYTES", 20_000)
    monkeypatch.setattr(writing, "PART_BYTES", 10_000)
    monkeypatch.setattr(steps, "STEP_BYTES", 10_000)
    monkeypatch.setattr(resuming, "READING", Patience(attempts=None, timeout_s=2.0))  # it stays away
    process, fleet = passing_store()
    for first in range(0, 40_000, 1000):
        times = [T0 + at * 1000 for at in range(first, first + 1000)]
        tiers.put("edge", "sensor", [chunk(stream, times, {"x": [float(at) for at in times]}, robot=tiers.robot)])
    calls: list[str] = []

    def stop_store(_done: float, text: str) -> None:
        calls.append(text)
        if len(calls) == 4:
            process.kill()

    path = _path(tmp_path, format_)
    asked = fleet.select(f"{tiers.robot}/{stream}").between(T0, T0 + 60_000_000).site("edge-1")
    with pytest.raises(FleetboxError, match="edge-1"):
        export(asked, format_, path, advance=stop_store)
    assert not path.exists()
    process.start()
    process.wait_ready(START_S)
    done = export(asked, format_, path)
    found = _numbers(path, f"{tiers.robot}/{stream}", "x")
    assert [time for time, _ in found] == [T0 + at * 1000 for at in range(40_000)]
    assert done.complete


def test_files_of_an_earlier_kind_of_attempt_are_made_again(
    tiers: Tiers, fleet: Fleet, stream: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where somebody removed what an interrupted export had written, it begins anew and says nothing wrong."""
    drafts = [blob(stream, T0 + at, b"x" * 5000, robot=tiers.robot, kind="log") for at in range(40)]
    tiers.put("edge", "log", drafts)
    monkeypatch.setattr(reading, "CAP_BYTES", 20_000)
    monkeypatch.setattr(writing, "PART_BYTES", 10_000)
    calls: list[float] = []

    def interrupt(done: float, _text: str) -> None:
        calls.append(done)
        if len(calls) == 3:
            raise KeyboardInterrupt

    asked = fleet.select(f"{tiers.robot}/{stream}").between(T0, T0 + 1_000_000)
    with pytest.raises(KeyboardInterrupt):
        export(asked, "mcap", tmp_path / "x.mcap", advance=interrupt)
    (tmp_path / "x.mcap.partial" / "growing").unlink()
    done = export(asked, "mcap", tmp_path / "x.mcap")
    with (tmp_path / "x.mcap").open("rb") as file:
        assert len(list(make_reader(file, validate_crcs=True).iter_messages())) == 40
    assert done.tally.total == 40

"""Rows leave as Parquet, CSV, HDF5 and safetensors, each value as it was recorded."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import h5py
import numpy as np
import polars as pl
import pyarrow.dataset as pd
import pyarrow.parquet as pq
import pytest
from safetensors import safe_open

from fleetbox.errors import InputError, NotFound
from fleetbox_query.exports import steps
from fleetbox_query.exports.exporting import export
from fleetbox_query.exports.output import MANIFEST, Output
from fleetbox_query.fleet import Fleet
from fleetbox_query.provenance import PartialAnswer
from fleetbox_query.widening import Rounded

from ..conftest import Tiers, blob, chunk

DAY_US = 86_400_000_000
MIDNIGHT_US = 1_700_006_400_000_000  # 2023-11-15T00:00:00Z
ROWS = 400


def _put(tiers: Tiers, stream: str) -> list[int]:
    """Record 400 rows at 100 Hz over a midnight, in chunks of 100."""
    times = [MIDNIGHT_US - 2_000_000 + at * 10_000 for at in range(ROWS)]
    for first in range(0, ROWS, 100):
        part = times[first : first + 100]
        columns = {
            "ax": [math.sin(at / 1e6) for at in part],
            "n": [at % 1000 for at in part],
            "ok": [at % 20_000 == 0 for at in part],
            "mode": [f"m{at % 3}" for at in part],
        }
        tiers.put("edge", "sensor", [chunk(stream, part, columns, robot=tiers.robot)])
    tiers.attach("edge", "sensor", stream, {"type": "time_series", "fields": {"ax": {"unit": "m/s2"}}})
    return times


def _manifest(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text())  # type: ignore[no-any-return]


def _lines(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_parquet_by_robot_stream_and_day(tiers: Tiers, fleet: Fleet, stream: str, tmp_path: Path) -> None:
    """A Hive-partitioned folder opens as one dataset: every row once, in a file of its own day."""
    times = _put(tiers, f"arm/{stream}")
    done = export(fleet.select(f"{tiers.robot}/arm/{stream}"), "parquet", tmp_path / "out")
    days = sorted(path.parent.name for path in (tmp_path / "out").rglob("*.parquet"))
    table = pd.dataset(tmp_path / "out", partitioning="hive").to_table().sort_by("time_us")
    assert days == ["day=2023-11-14", "day=2023-11-15"]
    assert table["time_us"].cast("int64").to_pylist() == times
    assert set(table["stream"].to_pylist()) == {f"arm/{stream}"}
    assert table["ax"].to_pylist() == [math.sin(at / 1e6) for at in times]
    assert done.complete
    said = _manifest(tmp_path / "out" / MANIFEST)
    assert said["counts"]["streams"] == {f"{tiers.robot}/arm/{stream}": ROWS}
    assert said["places_read"] == ["edge-1"]
    assert {one["path"] for one in said["files"]} == {
        str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*.parquet")
    }


def test_one_parquet_file(tiers: Tiers, fleet: Fleet, stream: str, tmp_path: Path) -> None:
    """One stream into one file; two do not fit, and that is told."""
    times = _put(tiers, stream)
    tiers.put("edge", "sensor", [chunk(f"{stream}b", times[:3], {"q": [1.0, 2.0, 3.0]}, robot=tiers.robot)])
    export(fleet.select(f"{tiers.robot}/{stream}"), "parquet", tmp_path / "x.parquet")
    assert pq.read_table(tmp_path / "x.parquet")["time_us"].cast("int64").to_pylist() == times
    with pytest.raises(InputError, match="do not fit one file"):
        export(fleet.select(f"{tiers.robot}/{stream}*"), "parquet", tmp_path / "y.parquet")
    assert not (tmp_path / "y.parquet").exists()


def test_csv(tiers: Tiers, fleet: Fleet, stream: str, tmp_path: Path) -> None:
    """A file per day with time, time_us and the fields; pictures are left out and told."""
    times = _put(tiers, stream)
    tiers.put("edge", "media", [blob(f"{stream}/cam", times[0], b"\xff\xd8\xff0", robot=tiers.robot, kind="images")])
    done = export(fleet.select(f"{tiers.robot}/{stream}", f"{tiers.robot}/{stream}/**"), "csv", tmp_path / "out")
    lines = []
    for path in sorted((tmp_path / "out").rglob("*.csv")):
        lines += _lines(path)
    assert [int(line["time_us"]) for line in lines] == times
    assert [float(line["ax"]) for line in lines] == [math.sin(at / 1e6) for at in times]
    assert lines[0]["time"] == "2023-11-14T23:59:58.000000Z"
    assert not done.complete
    assert "no pictures" in done.lines()[0]


def test_hdf5(tiers: Tiers, fleet: Fleet, stream: str, tmp_path: Path) -> None:
    """A group per stream with `time` and a dataset per signal, its unit in the attributes."""
    times = _put(tiers, stream)
    export(fleet.select(f"{tiers.robot}/{stream}"), "hdf5", tmp_path / "x.h5")
    with h5py.File(tmp_path / "x.h5") as file:
        group = file[f"{tiers.robot}/{stream}"]
        assert group["time_us"][:].tolist() == times
        assert group["time"][0] == pytest.approx(times[0] / 1e6, abs=1e-6)
        assert group["ax"][:].tolist() == [math.sin(at / 1e6) for at in times]
        assert group["ax"].attrs["units"] == "m/s2"
        assert group["n"].dtype == np.int64
        assert group["ok"][:3].tolist() == [True, False, True]
        assert group["mode"].asstr()[0] == f"m{times[0] % 3}"


def test_safetensors(tiers: Tiers, fleet: Fleet, stream: str, tmp_path: Path) -> None:
    """The real library opens it; text is left out and told."""
    times = _put(tiers, stream)
    done = export(fleet.select(f"{tiers.robot}/{stream}"), "safetensors", tmp_path / "x.safetensors")
    name = f"{tiers.robot}/{stream}"
    with safe_open(tmp_path / "x.safetensors", "numpy") as file:
        assert file.get_tensor(f"{name}/time_us").tolist() == times
        assert file.get_tensor(f"{name}/ax").tolist() == [math.sin(at / 1e6) for at in times]
        assert file.get_tensor(f"{name}/ok").tolist() == [at % 20_000 == 0 for at in times]
        assert f"{name}/mode" not in file.keys()  # noqa: SIM118 (a safe_open is no dict)
    assert done.lines() == [f"left out: {name}:mode: string is no tensor"]


@pytest.mark.parametrize("format_", ["parquet", "csv", "hdf5", "safetensors"])
def test_a_schema_that_changed_midway(tiers: Tiers, fleet: Fleet, stream: str, tmp_path: Path, format_: str) -> None:
    """Whole numbers that became floats, a field that came later: every value is there."""
    first, second = [1_700_000_000_000_000, 1_700_000_000_010_000], [1_700_000_010_000_000]
    tiers.put("edge", "sensor", [chunk(stream, first, {"x": [1, 2]}, robot=tiers.robot)])
    tiers.put("edge", "sensor", [chunk(stream, second, {"x": [0.5], "y": [7.0]}, robot=tiers.robot)])
    suffix = {"hdf5": ".h5"}.get(format_, f".{format_}")
    path = tmp_path / f"x{suffix}"
    export(fleet.select(f"{tiers.robot}/{stream}"), format_, path)
    name = f"{tiers.robot}/{stream}"
    if format_ == "parquet":
        table = pq.read_table(path)
        found = table["x"].to_pylist(), table["y"].to_pylist()[2]
    elif format_ == "csv":
        lines = _lines(path)
        found = [float(line["x"]) for line in lines], float(lines[2]["y"])
    elif format_ == "hdf5":
        with h5py.File(path) as file:
            found = file[name]["x"][:].tolist(), file[name]["y"][2]
    else:
        with safe_open(path, "numpy") as file:
            found = file.get_tensor(f"{name}/x").tolist(), file.get_tensor(f"{name}/y")[2]
    assert found == ([1.0, 2.0, 0.5], 7.0)


@pytest.mark.parametrize("interrupted", [False, True])
def test_a_folder_has_one_schema(
    tiers: Tiers, fleet: Fleet, stream: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, interrupted: bool
) -> None:
    """Files of whole numbers and files of floats open as one dataset, also where the last touch was interrupted."""
    whole, half = [1_700_000_000_000_000, 1_700_000_000_010_000], [1_700_000_090_000_000]
    tiers.put("edge", "sensor", [chunk(f"arm/{stream}", whole, {"x": [1, 2]}, robot=tiers.robot)])
    tiers.put("edge", "sensor", [chunk(f"arm/{stream}", half, {"x": [0.5], "y": [7]}, robot=tiers.robot)])
    monkeypatch.setattr(steps, "STEP_BYTES", 1)
    monkeypatch.setattr("fleetbox_query.reading.CAP_BYTES", 1)
    asked = fleet.select(f"{tiers.robot}/arm/{stream}").between(whole[0], half[0] + 1)
    if interrupted:
        with monkeypatch.context() as patch:
            patch.setattr(Output, "drop", Mock(side_effect=KeyboardInterrupt))
            with pytest.raises(KeyboardInterrupt):
                export(asked, "parquet", tmp_path / "out")
    done = export(asked, "parquet", tmp_path / "out")
    files = list((tmp_path / "out").rglob("*.parquet"))
    table = pl.read_parquet(files).sort("time_us")
    assert table["x"].to_list() == [1.0, 2.0, 0.5]
    assert table["y"].to_list() == [None, None, 7]
    assert pd.dataset(tmp_path / "out", partitioning="hive").to_table().num_rows == 3
    listed = {one["path"] for one in _manifest(tmp_path / "out" / MANIFEST)["files"]}
    assert listed == {str(path.relative_to(tmp_path / "out")) for path in files}
    assert (done.tally.total, done.told, done.rounded) == (3, (), ())


@pytest.mark.parametrize("out", ["x", "x.parquet", "x.h5", "x.safetensors", "x.csv", "x.mcap"])
def test_digits_that_floats_lack_are_told(tiers: Tiers, fleet: Fleet, stream: str, tmp_path: Path, out: str) -> None:
    """Where a field is whole in one record and a float in another, the numbers that are rounded are counted."""
    beyond = 2**60 + 1
    first, second = [1_700_000_000_000_000, 1_700_000_000_010_000], [1_700_000_000_020_000]
    tiers.put("edge", "sensor", [chunk(stream, first, {"id": [beyond, 2**60], "n": [1, 2]}, robot=tiers.robot)])
    tiers.put("edge", "sensor", [chunk(stream, second, {"id": [0.5], "n": [3]}, robot=tiers.robot)])
    format_ = {".h5": "hdf5", "": "parquet"}.get(Path(out).suffix, Path(out).suffix[1:])
    asked = fleet.select(f"{tiers.robot}/{stream}")
    with pytest.warns(Rounded, match=f"{stream}:id holds .* as floats 1 of its values"):
        asked.export(format_, tmp_path / out)
    (manifest,) = tmp_path.rglob("*manifest.json")
    assert len(_manifest(manifest)["told"]) == 1
    with pytest.warns(Rounded, match=f"{stream}:id"):
        frame = asked.frames()
    assert (str(frame["id"].dtype), str(frame["n"].dtype)) == ("float64", "int64")


def test_goes_on_after_an_interruption(
    tiers: Tiers, fleet: Fleet, stream: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Interrupted after some steps, the same export reads only the rest, and each row is there once."""
    times = _put(tiers, stream)
    monkeypatch.setattr(steps, "STEP_BYTES", 1)
    monkeypatch.setattr("fleetbox_query.reading.CAP_BYTES", 1)
    asked = fleet.select(f"{tiers.robot}/{stream}").between(times[0], times[-1] + 1)
    seen: list[float] = []

    def interrupt(done: float, _text: str) -> None:
        seen.append(done)
        if len(seen) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export(asked, "parquet", tmp_path / "out", advance=interrupt)
    assert not (tmp_path / "out").exists()
    kept = len(list((tmp_path / "out.partial").rglob("*.parquet")))
    done = export(asked, "parquet", tmp_path / "out")
    table = pd.dataset(tmp_path / "out", partitioning="hive").to_table()
    assert kept >= 2
    assert sorted(table["time_us"].cast("int64").to_pylist()) == times
    assert done.tally.items == {f"{tiers.robot}/{stream}": ROWS}


def test_the_sdk_exports_and_warns(tiers: Tiers, fleet: Fleet, stream: str, tmp_path: Path) -> None:
    """A selection exports itself, warns of what was left out, and knows its options."""
    _put(tiers, stream)
    asked = fleet.select(f"{tiers.robot}/{stream}")
    assert asked.export("hdf5", tmp_path / "x.h5").tally.total == ROWS
    with pytest.warns(PartialAnswer, match="no tensor"):
        asked.export("safetensors", tmp_path / "x.safetensors")
    with pytest.raises(InputError, match="no option 'fsp'"):
        asked.export("mp4", tmp_path / "x.mp4", fsp=30)


def test_nothing_of_that_name(tiers: Tiers, fleet: Fleet, tmp_path: Path) -> None:
    """A stream nobody has is NotFound; a format nobody has says which there are; nothing is left behind."""
    with pytest.raises(NotFound):
        export(fleet.select(f"{tiers.robot}/nothing"), "csv", tmp_path / "out")
    with pytest.raises(InputError, match="mcap"):
        export(fleet.select(f"{tiers.robot}/nothing"), "wav", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("size", [1, 2, 300])
def test_blobs_of_one_length_in_hdf5(tiers: Tiers, fleet: Fleet, stream: str, tmp_path: Path, size: int) -> None:
    """Byte records that are all equally long come out as they are, one beside another."""
    held = [bytes([at]) * size for at in range(5)]
    files = [blob(stream, MIDNIGHT_US + at, data, robot=tiers.robot) for at, data in enumerate(held)]
    tiers.put("edge", "log", files)
    export(fleet.select(f"{tiers.robot}/{stream}"), "hdf5", tmp_path / "x.h5")
    with h5py.File(tmp_path / "x.h5") as file:
        assert [bytes(one) for one in file[f"{tiers.robot}/{stream}/value"][:]] == held

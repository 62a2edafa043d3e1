"""A field that one robot tells in radians and another in degrees is nowhere mixed in silence."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import pyarrow.parquet as pq
import pytest
from mcap.reader import make_reader
from safetensors import safe_open

from fleetbox_query.exports.exporting import export
from fleetbox_query.exports.output import MANIFEST
from fleetbox_query.fleet import Fleet
from fleetbox_query.selection import Selection
from fleetbox_query.units import MixedUnits

from .conftest import Tiers, chunk
from .test_cli import run

T0 = 1_700_000_000_000_000
UNITS = {"a": "rad", "b": "deg"}
OUTS = {"mcap": "x.mcap", "parquet": "x", "csv": "x", "hdf5": "x.h5", "safetensors": "x.safetensors"}


@pytest.fixture
def robots(tiers: Tiers, stream: str) -> dict[str, str]:
    """Two robots whose joints say rad and deg, by their units."""
    made = {f"{tiers.robot}-{name}": unit for name, unit in UNITS.items()}
    for robot, unit in made.items():
        tiers.put("edge", "sensor", [chunk(stream, [T0, T0 + 1000], {"q": [0.5, 1.5]}, robot=robot)], robot)
        schema = {"type": "time_series", "fields": {"q": {"dtype": "float64", "unit": unit}}}
        tiers.attach("edge", "sensor", stream, schema, robot)
    return made


@pytest.fixture
def asked(fleet: Fleet, tiers: Tiers, stream: str) -> Selection:
    """Both robots' stream."""
    return fleet.select(f"{tiers.robot}-*/{stream}").between(T0, T0 + 1_000_000)


def _are_named(lines: tuple[str, ...] | list[str], stream: str, robots: dict[str, str]) -> bool:
    return any(
        f"{stream}:q" in line and all(f"{robot} {unit}" in line for robot, unit in robots.items()) for line in lines
    )


def _units(path: Path, format_: str, names: list[str]) -> dict[str, str]:
    """Return what a format itself says of each stream's unit, as another program reads it."""
    if format_ == "hdf5":
        with h5py.File(path) as file:
            return {name: file[name]["q"].attrs["units"] for name in names}
    if format_ == "safetensors":
        with safe_open(path, "numpy") as file:
            told = json.loads(file.metadata()["units"])
        return {name: told[f"{name}/q"] for name in names}
    if format_ == "parquet":
        found: dict[str, Any] = {}
        for part in path.rglob("*.parquet"):
            found |= json.loads(pq.read_schema(part).metadata[b"units"])
        return {name: found[name]["q"] for name in names}
    if format_ == "mcap":
        with path.open("rb") as file:
            summary = make_reader(file).get_summary()
        assert summary is not None
        by_topic = {one.topic: summary.schemas[one.schema_id].data for one in summary.channels.values()}
        return {name: json.loads(by_topic[f"/{name}"])["properties"]["q"]["unit"] for name in names}
    told = json.loads((path / MANIFEST).read_text())["units"]  # text has no room for it
    return {name: told[name]["q"] for name in names}


@pytest.mark.parametrize("format_", OUTS)
def test_exports_name_them_and_keep_each(
    asked: Selection, robots: dict[str, str], stream: str, tmp_path: Path, format_: str
) -> None:
    """What was exported names the field and who tells which; each stream's own unit stands in the file."""
    done = export(asked, format_, tmp_path / OUTS[format_])
    (manifest,) = [path for path in tmp_path.rglob("*.json") if "manifest" in path.read_text()]
    assert _are_named(done.told, stream, robots), done.told
    assert done.complete  # every value is there
    assert json.loads(manifest.read_text())["told"] == list(done.told)
    names = {f"{robot}/{stream}": unit for robot, unit in robots.items()}
    assert _units(tmp_path / OUTS[format_], format_, list(names)) == names


@pytest.mark.parametrize(
    "ask",
    [
        pytest.param(lambda asked, _: asked.frames(), id="frames"),
        pytest.param(lambda asked, _: asked.arrow(), id="arrow"),
        pytest.param(lambda asked, _: asked.align("10 Hz").frames(), id="align"),
        pytest.param(lambda asked, _: asked.duckdb().close(), id="duckdb"),
        pytest.param(lambda asked, folder: asked.export("parquet", folder / "x"), id="export"),
    ],
)
def test_the_sdk_warns(
    asked: Selection, robots: dict[str, str], stream: str, tmp_path: Path, ask: Callable[[Selection, Path], Any]
) -> None:
    """Every door that puts streams side by side warns once, with both units."""
    with pytest.warns(MixedUnits) as told:
        ask(asked, tmp_path)
    assert _are_named([str(one.message) for one in told], stream, robots)
    assert len(told) == 1


def test_frames_say_their_columns_units(asked: Selection, robots: dict[str, str], stream: str) -> None:
    """Each column has the unit of its own stream."""
    with pytest.warns(MixedUnits):
        frame = asked.frames()
    assert frame.attrs["units"] == {f"{robot}/{stream}:q": unit for robot, unit in robots.items()}


@pytest.mark.parametrize("words", [("--format", "csv"), ("--format", "parquet", "-o", "out")], ids=["csv", "parquet"])
def test_the_command_line_says_it(
    tiers: Tiers, robots: dict[str, str], stream: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: Any
) -> None:
    """Rows of both go out, and a line beside them names the units."""
    monkeypatch.chdir(tmp_path)
    done = run(tiers.write_fleet(tmp_path), "query", f"{tiers.robot}-*/{stream}", *words)
    assert done.returncode == 0, done.stderr
    assert _are_named(done.stderr.splitlines(), stream, robots), done.stderr


@pytest.mark.parametrize(
    "words", [("view", "-o", "x.rrd"), ("replay", "--to", "text", "--rate", "100")], ids=["view", "replay"]
)
def test_who_watches_hears_it(
    tiers: Tiers, robots: dict[str, str], stream: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: Any
) -> None:
    """Curves beside one another, and rows as they come, are named; nothing is missing."""
    pytest.importorskip("rerun", reason="needs fleetbox[view]")
    monkeypatch.chdir(tmp_path)
    done = run(tiers.write_fleet(tmp_path), *words, f"{tiers.robot}-*/{stream}", "--start", str(T0))
    assert done.returncode == 0, done.stderr
    assert _are_named(done.stderr.splitlines(), stream, robots), done.stderr


def test_one_robots_own_in_two_buckets(tiers: Tiers, fleet: Fleet, stream: str) -> None:
    """What was ingested in degrees beside what is recorded in radians is told by where it lies."""
    for at, (cls, unit) in enumerate({"sensor": "rad", "kept": "deg"}.items()):
        tiers.put("edge", cls, [chunk(stream, [T0 + at], {"q": [1.0]}, robot=tiers.robot)])
        tiers.attach("edge", cls, stream, {"type": "time_series", "fields": {"q": {"unit": unit}}})
    with pytest.warns(MixedUnits, match=rf"{stream}:q .*\(kept\) deg.*\(sensor\) rad"):
        fleet.select(f"{tiers.robot}/{stream}").between(T0, T0 + 1_000_000).arrow()

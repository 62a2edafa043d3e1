"""SQL over streams: a table per stream, whole and typed, whatever changed midway."""

from __future__ import annotations

from pathlib import Path

import pytest

from fleetbox.errors import InputError
from fleetbox_query.fleet import Fleet
from fleetbox_query.nothing import NothingFound
from fleetbox_query.widening import Rounded

from .conftest import Tiers, blob, chunk

T0 = 1_760_000_000_000_000  # µs
SECOND = 1_000_000


def test_streams_join_as_of(tiers: Tiers, fleet: Fleet, stream: str) -> None:
    """A table per stream takes ASOF joins; a name with slashes has a plain view."""
    times = [T0 + n * SECOND for n in range(5)]
    tiers.put("edge", "sensor", [chunk(f"{stream}/a", times, {"x": [float(n) for n in range(5)]}, robot=tiers.robot)])
    tiers.put(
        "edge", "sensor", [chunk(f"{stream}/b", [t + 1 for t in times], {"y": list(range(5))}, robot=tiers.robot)]
    )
    database = fleet.select(f"{tiers.robot}/{stream}/*").duckdb()
    found = database.sql(f"SELECT x, y FROM {stream}_b ASOF JOIN {stream}_a USING (robot, time) ORDER BY y").fetchall()
    assert found == [(float(n), n) for n in range(5)]
    first = database.sql(f'SELECT robot, time FROM "{stream}/a" LIMIT 1').fetchall()[0]
    assert (first[0], first[1].timestamp()) == (tiers.robot, pytest.approx(first[1].timestamp()))
    assert database.sql(f"SELECT epoch_us(min(time)) FROM {stream}_a").fetchall() == [(T0,)]


def test_a_schema_that_changed_midway(tiers: Tiers, fleet: Fleet, stream: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fields that came later are null before, whole numbers that became floats are floats, and robots share a table."""
    monkeypatch.setattr("fleetbox_query.reading.CAP_BYTES", 1)
    other = f"{tiers.robot}b"
    tiers.put("edge", "sensor", [chunk(stream, [T0 + 10 * SECOND], {"n": [1]})])
    tiers.put("edge", "sensor", [chunk(stream, [T0 + 20 * SECOND], {"n": [2.5], "mode": ["slow"]})])
    tiers.put("edge", "sensor", [chunk(stream, [T0 + 30 * SECOND], {"n": [3]})])
    tiers.put("edge", "sensor", [chunk(stream, [T0 + 40 * SECOND], {"n": [4]}, robot=other)], robot=other)
    database = fleet.select(f"{tiers.robot}*/{stream}").duckdb()
    rows = database.sql(f"SELECT robot, n, mode FROM {stream} ORDER BY time").fetchall()
    assert rows == [(tiers.robot, 1.0, None), (tiers.robot, 2.5, "slow"), (tiers.robot, 3.0, None), (other, 4.0, None)]


def test_a_database_file_is_whole_or_not_there(tiers: Tiers, fleet: Fleet, stream: str, tmp_path: Path) -> None:
    """A file is written beside its name until it is whole; one that is there is left alone."""
    tiers.put("edge", "sensor", [chunk(stream, [T0], {"x": [1.0]})])
    path = tmp_path / "out" / "mine.duckdb"
    with fleet.select(f"{tiers.robot}/{stream}").duckdb(path) as database:
        assert database.sql(f"SELECT x FROM {stream}").fetchall() == [(1.0,)]
    assert [one.name for one in path.parent.iterdir()] == ["mine.duckdb"]
    with pytest.raises(InputError, match="there already"):
        fleet.select(f"{tiers.robot}/{stream}").duckdb(path)


def test_polars_has_what_frames_have(tiers: Tiers, fleet: Fleet, stream: str) -> None:
    """One stream has plain names; several are joined on time, rows that share a stamp staying apart."""
    tiers.put("edge", "sensor", [chunk(stream, [T0, T0, T0 + 2], {"x": [1, 2, 3]})])
    tiers.put("edge", "sensor", [chunk(f"{stream}/b", [T0, T0 + 1], {"y": [0.5, None]})])
    tiers.put("edge", "log", [blob(f"{stream}/log", T0 + 1, b"hello", kind="log")])
    one = fleet.select(f"{tiers.robot}/{stream}").polars()
    assert (one.columns, one["x"].to_list()) == (["time", "x"], [1, 2, 3])
    frame = fleet.select(f"{tiers.robot}/{stream}", f"{tiers.robot}/{stream}/**").polars()
    assert frame[f"{tiers.robot}/{stream}:x"].to_list() == [1, 2, None, 3]
    assert frame[f"{tiers.robot}/{stream}/b:y"].to_list() == [0.5, None, None, None]
    assert frame[f"{tiers.robot}/{stream}/log:value"].to_list() == [None, None, "hello", None]
    with pytest.warns(NothingFound):
        assert fleet.select(f"{tiers.robot}/{stream}").between(T0 + 5, T0 + 6).polars().columns == ["time"]


@pytest.mark.parametrize("float_first", [False, True])
def test_digits_that_floats_lack_are_told(
    tiers: Tiers, fleet: Fleet, stream: str, monkeypatch: pytest.MonkeyPatch, float_first: bool
) -> None:
    """Whole numbers beyond 2^53 in a column that is or becomes a float are counted, whichever came first."""
    values: list[list[float]] = [[0.5], [2**60 + 1]] if float_first else [[2**60 + 1], [0.5]]
    times = [1_700_000_000_000_000, 1_700_000_090_000_000]
    drafts = [chunk(stream, [at], {"id": one}, robot=tiers.robot) for at, one in zip(times, values, strict=True)]
    tiers.put("edge", "sensor", drafts)
    monkeypatch.setattr("fleetbox_query.reading.CAP_BYTES", 1)  # each in a batch of its own
    with pytest.warns(Rounded, match=f"{stream}:id .* as floats 1 of its values"):
        database = fleet.select(f"{tiers.robot}/{stream}").duckdb()
    assert database.sql(f'SELECT id FROM "{stream}" ORDER BY id').fetchall() == [(0.5,), (float(2**60),)]

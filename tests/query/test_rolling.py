"""Roll-ups of a selection: the same from a real InfluxDB that the loader fed as from the chunks themselves."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from fleetbox.blobs import Store
from fleetbox.errors import InputError
from fleetbox.scalars import ScalarStore
from fleetbox.settings import Influx
from fleetbox_cloud.cursor import Cursor
from fleetbox_cloud.loader import Loader
from fleetbox_cloud.sweeping import Sweep
from fleetbox_query.fleet import Fleet

from .conftest import Tiers, chunk

T0 = 1_760_000_000_000_000  # µs, a whole second
PANDAS = {"min": "min", "mean": "mean", "max": "max", "last": "last", "count": "count"}


def rows(seed: int = 3, count: int = 4_000) -> tuple[list[int], dict[str, list[float]]]:
    """Make 40 s of rows at odd times, with missing values and NaN."""
    rng = np.random.default_rng(seed)
    times = (T0 + np.cumsum(rng.integers(1, 20_000, count))).tolist()
    x, y = rng.normal(size=count).tolist(), rng.normal(size=count).tolist()
    return times, {"x": [math.nan if at % 97 == 0 else v for at, v in enumerate(x)], "y": y}


def put(tiers: Tiers, tier: str, stream: str) -> pd.DataFrame:
    """Write rows in chunks of uneven length; return them as a frame."""
    times, fields = rows()
    drafts = []
    for at in range(0, len(times), 333):
        cut = slice(at, at + 333)
        drafts.append(chunk(stream, times[cut], {name: values[cut] for name, values in fields.items()}))
    tiers.put(tier, "sensor", drafts)
    return pd.DataFrame(fields, index=pd.DatetimeIndex(pd.to_datetime(times, unit="us", utc=True)))


def by_pandas(frame: pd.DataFrame, step: str) -> pd.DataFrame:
    """Roll up with pandas."""
    steps = {name: frame[name].resample(step) for name in frame}
    found = {f"{name}.{kind}": getattr(one, how)() for name, one in steps.items() for kind, how in PANDAS.items()}
    return pd.DataFrame(found).dropna(how="all", subset=["x.min", "y.min"])


@pytest.mark.parametrize("step", ["100ms", "1s", "7s", "1m"])
def test_chunks_roll_up_as_pandas_does(tiers: Tiers, fleet: Fleet, stream: str, step: str) -> None:
    """Without an InfluxDB every step is that of the chunks' rows, NaN left out."""
    frame = put(tiers, "edge", stream)
    found = fleet.select(f"{tiers.robot}/{stream}").rollup(step)
    wanted = by_pandas(frame, step.replace("m", "min") if step == "1m" else step)
    pd.testing.assert_frame_equal(found, wanted, check_freq=False, check_names=False, check_index_type=False, rtol=1e-9)
    assert list(found.attrs["sources"].values()) == ["chunks"]


def test_influxdb_rolls_up_as_the_chunks_do(
    tiers: Tiers, tmp_path: Path, fleet_at: Callable[[Path], Fleet], influx_server: Any, stream: str
) -> None:
    """Loaded by the real loader, a real InfluxDB gives the same frames, windows that cut a second included."""
    frame = put(tiers, "cloud", stream)
    influx = Influx(influx_server.url, influx_server.token, influx_server.org, influx_server.bucket)
    (tmp_path / "influx.token").write_text(influx.token)
    bare = fleet_at(tiers.write_fleet(tmp_path))
    tiers.influx = (
        f'[site.cloud.influx]\nurl = "{influx.url}"\ntoken = {{ file = "influx.token" }}\n'
        f'org = "{influx.org}"\nbucket = "{influx.bucket}"\n'
    )
    fed = fleet_at(tiers.write_fleet(tmp_path))
    selector = f"{tiers.robot}/{stream}"
    assert asyncio.run(load(tiers, influx, tmp_path)) >= 12
    for step in ("1s", "7s", "1m"):
        for start, stop in ((T0, T0 + 30_000_000), (T0 + 1_234_567, T0 + 20_700_001), (T0 + 100, T0 + 900_000)):
            one = fed.select(selector).between(start, stop).rollup(step, "cloud")
            other = bare.select(selector).between(start, stop).rollup(step, "cloud")
            pd.testing.assert_frame_equal(one, other, check_column_type=False, rtol=1e-9)
            assert list(other.attrs["sources"].values()) == ["chunks"]
            assert list(one.attrs["sources"].values()) == ["influx at cloud" if stop > T0 + 10**6 else "chunks"]
    half = fed.select(f"{selector}:y").rollup("1m", "cloud")
    assert list(half.columns) == [f"y.{kind}" for kind in PANDAS]
    assert half["y.count"].sum() == len(frame)
    assert list(half.attrs["sources"].values()) == ["influx at cloud"], "an open end is one that InfluxDB can count to"
    picky = fed.select(selector).where("x > 0").rollup("1m", "cloud")
    assert list(picky.attrs["sources"].values()) == ["chunks"]
    assert picky["x.count"].sum() == (frame["x"] > 0).sum()


async def load(tiers: Tiers, influx: Influx, state: Path) -> int:
    """Load what the cloud's store holds of the robot, as its site process would."""
    cursor = Cursor(state / "loader.sqlite")
    async with Store(tiers.stores["cloud"].url, tiers.stores["cloud"].token) as store, ScalarStore(influx) as scalars:
        await scalars.ensure_bucket()
        sweep = Sweep(Loader(store, scalars, cursor, "cloud"))
        there = [name for name in await store.buckets() if name in (f"{tiers.robot}--sensor", f"{tiers.robot}--kept")]
        loaded = sum([await sweep.bucket(name) for name in there])
    cursor.close()
    return loaded


def test_what_is_pinned_counts_once(
    tiers: Tiers, tmp_path: Path, fleet_at: Callable[[Path], Fleet], influx_server: Any, stream: str
) -> None:
    """An episode pinned into `kept`, which the loader loads too, makes no number larger, in InfluxDB or from chunks."""
    frame = put(tiers, "cloud", stream)
    tiers.put("cloud", "meta", [chunk("made", [T0], {"n": [0]}, robot=tiers.robot)])
    influx = Influx(influx_server.url, influx_server.token, influx_server.org, influx_server.bucket)
    (tmp_path / "influx.token").write_text(influx.token)
    bare = fleet_at(tiers.write_fleet(tmp_path))
    tiers.influx = (
        f'[site.cloud.influx]\nurl = "{influx.url}"\ntoken = {{ file = "influx.token" }}\n'
        f'org = "{influx.org}"\nbucket = "{influx.bucket}"\n'
    )
    fed = fleet_at(tiers.write_fleet(tmp_path))
    name, selector = f"{tiers.robot}/pinned", f"{tiers.robot}/{stream}"
    asyncio.run(load(tiers, influx, tmp_path))
    bare.new_episode(name, tiers.robot, T0 + 5_000_000, T0 + 15_000_000, streams=[stream])
    assert bare.episodes(name).pin()[0].records > 2
    assert asyncio.run(load(tiers, influx, tmp_path)) > 2
    wanted = by_pandas(frame, "1s")
    for fleet, source in ((fed, "influx at cloud"), (bare, "chunks")):
        found = fleet.select(selector).between(T0, T0 + 60_000_000).rollup("1s")
        assert set(found.attrs["sources"].values()) == {source}
        assert list(found["x.count"]) == list(wanted["x.count"])
        mean = fleet.scalar_mean(f"{selector}:y", T0 + 5_500_000, T0 + 14_500_000).value
        assert mean == pytest.approx(frame["y"][time_of(T0 + 5_500_000) : time_of(T0 + 14_499_999)].mean())


def time_of(time_us: int) -> pd.Timestamp:
    """Return a time as pandas writes it."""
    return pd.Timestamp(time_us, unit="us", tz="UTC")


def test_a_step_must_have_a_length(fleet: Fleet) -> None:
    """A step of nothing is refused before anything is read."""
    for step in ("0s", 0, "often"):
        with pytest.raises(InputError):
            fleet.select("r1/imu").rollup(step)


def test_columns_stand_as_people_count(tiers: Tiers, fleet: Fleet, stream: str) -> None:
    """q2 stands before q10, in whatever order fields were recorded or read."""
    tiers.put("edge", "sensor", [chunk(stream, [T0], {"q10": [1.0], "q2": [2.0], "a": [0.0]})])
    found = fleet.select(f"{tiers.robot}/{stream}").rollup("1s")
    assert [name for name in found.columns if name.endswith(".min")] == ["a.min", "q2.min", "q10.min"]

"""Roll-ups: steps of time hold what their rows hold, however the rows were cut into parts."""

from __future__ import annotations

import asyncio
import math
import time
import uuid
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetbox.points import Points
from fleetbox.rollups import SECOND_US, Rolled, fold, points_of, rolled
from fleetbox.scalars import ScalarStore
from fleetbox.settings import Influx

ROWS = st.lists(
    st.tuples(st.integers(0, 4 * SECOND_US), st.sampled_from([0.0, 1.5, -2.0, 3e300, -3e300, math.nan, math.inf])),
    min_size=1,
    max_size=40,
)
NOW_US = int(time.time()) // 60 * 60 * SECOND_US


def part(rows: list[tuple[int, float]]) -> Points:
    """Return rows as points of one field."""
    return Points("s", "r", "e", [at for at, _ in rows], {"v": [value for _, value in rows]})


def plain(rows: list[tuple[int, float]], step_us: int = SECOND_US) -> dict[int, tuple[float, ...]]:
    """Roll rows up in plain Python."""
    steps: dict[int, list[float]] = {}
    for at, value in sorted(rows, key=lambda row: row[0]):
        if math.isfinite(value):
            steps.setdefault(at // step_us * step_us, []).append(value)
    return {
        at: (min(some), math.fsum(one / len(some) for one in some), max(some), some[-1], len(some))
        for at, some in steps.items()
    }


def shown(steps: Rolled | None) -> dict[int, tuple[float, ...]]:
    """Return steps as plain values."""
    if steps is None:
        return {}
    rows = zip(steps.at_us, steps.min, steps.mean, steps.max, steps.last, steps.count, strict=True)
    return {int(at): (*map(float, step), int(n)) for at, *step, n in rows}


def close(wanted: dict[int, tuple[float, ...]]) -> Any:
    """Compare means within rounding, of numbers up to 3e300 too."""
    loose = {at: 1e287 if abs(step[0]) > 1e300 else 1e-9 for at, step in wanted.items()}
    return {at: pytest.approx(step, rel=1e-9, abs=loose[at]) for at, step in wanted.items()}


@given(ROWS, st.sampled_from([SECOND_US, 2 * SECOND_US, 60 * SECOND_US]))
def test_steps_hold_what_their_rows_hold(rows: list[tuple[int, float]], step_us: int) -> None:
    """Rows in any order become their steps' least, mean, greatest, last value and count, what is no number left out."""
    assert shown(rolled([part(rows)], step_us).get("v")) == close(plain(rows, step_us))


@given(ROWS, st.integers(0, 40))
def test_parts_of_a_step_make_the_whole(rows: list[tuple[int, float]], cut: int) -> None:
    """Roll-ups of the parts of a stretch, joined, are those of the whole; joined into a minute too."""
    rows = sorted(rows, key=lambda row: row[0])
    parts = [rolled([part(some)])["v"] for some in (rows[:cut], rows[cut:]) if any(math.isfinite(v) for _, v in some)]
    if parts:
        assert shown(fold(parts)) == close(plain(rows))
        assert shown(fold(parts, 60 * SECOND_US)) == close(plain(rows, 60 * SECOND_US))


@given(st.lists(st.integers(0, 30), unique=True), st.lists(st.integers(0, 30), unique=True))
def test_rows_that_two_parts_have_count_once(first: list[int], second: list[int]) -> None:
    """Where parts overlap, a time counts with its value in the earlier part; equal times in one part all count."""
    parts = [part([(at, 1.0) for at in first]), part([(at, 2.0) for at in second])]
    once = [(at, 1.0) for at in first] + [(at, 2.0) for at in second if at not in first]
    assert shown(rolled(parts, overlapping=True).get("v")) == close(plain(once))
    assert rolled([part([(5, 1.0), (5, 3.0)])], overlapping=True)["v"].count.tolist() == [2]


def test_fields_with_other_steps_leave_gaps() -> None:
    """A field without a value in a second has none in its point."""
    nan = math.nan
    fields = rolled([Points("s", "r", "e", [0, SECOND_US], {"a": [1.0, nan], "b": [nan, 2.0], "time": [1.0, 1.0]})])
    points = points_of("s", "r", "e", fields)
    assert list(points.time_us) == [0, SECOND_US]
    assert points.fields["a.min"].to_pylist() == [1.0, None]
    assert points.fields["b.count"].to_pylist() == [None, 1.0]
    assert len(points.fields) == 10


def test_influxdb_answers_as_the_rows_would(influx_server: Any) -> None:
    """Counts, means and steps asked of a real InfluxDB are those of the rows, at any resolution, whatever the names."""
    influx = Influx(influx_server.url, influx_server.token, influx_server.org, f"b-{uuid.uuid4().hex[:12]}")
    rng = np.random.default_rng(7)
    times_us = NOW_US - 300 * SECOND_US + np.cumsum(rng.integers(1, 90_000, 3_000))
    columns = {'odd "na,me= x': rng.normal(size=3_000), "x.count": rng.normal(size=3_000)}
    rows = Points("cam/front", "r1", "e", times_us, columns)
    start_us, stop_us = NOW_US - 300 * SECOND_US, NOW_US

    async def main() -> None:
        async with ScalarStore(influx, timeout_s=90.0) as scalars:  # a first point makes a shard
            await scalars.ensure_bucket()
            await scalars.write([points_of("cam/front", "r1", "e", rolled([rows])), rows])
            ask = scalars.rolled("cam/front", "r1", start_us, stop_us, "e")
            assert sorted(await ask.fields()) == sorted(columns)
            assert sum((await ask.values_by_minute()).values()) == 6_000
            assert await ask.values_by_minute() == await ask.raw_by_minute()
            for step_us in (SECOND_US, 7 * SECOND_US, 60 * SECOND_US):
                held, wanted = await ask.steps(columns, step_us), rolled([rows], step_us)
                assert held.keys() == wanted.keys()
                for name in columns:
                    assert shown(held[name]) == close(shown(wanted[name]))
            found = await ask.mean("x.count")
            assert found is not None
            assert found[0] == pytest.approx(columns["x.count"].mean())
            assert found[1] == 3_000
            counts = await ask.counts(["x.count"])
            assert sum(counts["x.count"].values()) == 3_000
            assert await ask.mean("nothing") is None
            elsewhere = scalars.rolled("cam/front", "r1", start_us, stop_us, "other")
            assert await elsewhere.steps(columns, SECOND_US) == {}
            assert await elsewhere.values_by_minute() == {}

    asyncio.run(main())

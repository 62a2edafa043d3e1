"""The scalar port on a real InfluxDB 2."""

from __future__ import annotations

import asyncio
import math
import time
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from fleetbox.errors import AccessDenied, NotFound, StoreRefused, Unreachable
from fleetbox.ledger import minute_of
from fleetbox.points import Points
from fleetbox.scalars import BATCH_LINES, ScalarReport, ScalarStore
from fleetbox.settings import Influx
from fleetbox.tallies import Tally

NOW_US = int(time.time()) * 1_000_000
DAY_US = 86_400_000_000


@pytest.fixture
def influx(influx_server: Any) -> Influx:
    """A bucket of its own."""
    return Influx(influx_server.url, influx_server.token, influx_server.org, f"b-{uuid.uuid4().hex[:12]}")


def run(influx: Influx, use: Callable[[ScalarStore], Awaitable[None]], retention_s: int | None = None) -> None:
    """Use a bucket made for the test."""

    async def main() -> None:
        async with ScalarStore(influx, timeout_s=90.0) as scalars:  # a first point makes a shard
            await scalars.ensure_bucket(retention_s)
            await use(scalars)

    asyncio.run(main())


def wave(rows: int, stream: str = "imu", robot: str = "r1") -> Points:
    """Make rows of two fields, 1 ms apart, the last one now."""
    times = NOW_US - 1000 * np.arange(rows)[::-1]
    return Points(stream, robot, "edge-1", times, {"ax": np.sin(np.arange(rows)), "n": np.arange(float(rows))})


def test_what_is_written_is_read_back(influx: Influx) -> None:
    """More points than one request holds are counted, and their mean is that of the values, per robot."""

    async def use(scalars: ScalarStore) -> None:
        rows = 2 * BATCH_LINES + 17
        mine = wave(rows)
        report = await scalars.write([mine, wave(10, robot="r2")])
        assert report == ScalarReport(rows + 10, 2 * (rows + 10))
        start, stop = NOW_US - 1000 * rows, NOW_US + 1
        assert await scalars.count("imu", "ax", "r1", start, stop) == rows
        found = await scalars.mean("imu", "ax", "r1", start, stop)
        assert found is not None
        assert math.isclose(found, mine.fields["ax"].mean(), abs_tol=1e-12)
        assert await scalars.count("imu", "ax", "r1", start, NOW_US) == rows - 1
        assert await scalars.mean("imu", "ax", "r3", start, stop) is None
        assert await scalars.mean("no/such", "ax", "r1", start, stop) is None
        assert await scalars.count("imu", "nope", "r1", start, stop) == 0

    run(influx, use)


def test_writing_again_changes_nothing(influx: Influx) -> None:
    """Equal points overwrite themselves."""

    async def use(scalars: ScalarStore) -> None:
        for _ in range(2):
            assert (await scalars.write([wave(100)])).written == 100
        assert await scalars.count("imu", "n", "r1", 0, NOW_US + 1) == 100

    run(influx, use)


def test_each_refusal_is_counted_and_the_rest_kept(influx: Influx) -> None:
    """Out of retention, a type conflict and a malformed line in one request: every point counted, the good ones in."""

    async def use(scalars: ScalarStore) -> None:
        await scalars.write_lines([f"m,robot=r1 f=1 {NOW_US}"])
        good = [f"m,robot=r1 f=2 {NOW_US + n}" for n in range(1, 41)]
        old = [f"m,robot=r1 f=3 {NOW_US - 3 * DAY_US + n}" for n in range(7)]
        wrong = [f"m,robot=r1 f=4i {NOW_US + n}" for n in range(50, 55)]
        mixed = [*good[:20], *wrong[:2], *old, "no line at all", *good[20:], *wrong[2:]]
        report = await scalars.write_lines(mixed)
        assert report.refused == Counter(retention=7, type=5, malformed=1)
        assert report.written == 40
        assert await scalars.count("m", "f", "r1", 0, NOW_US + 1000) == 41
        assert (await scalars.write_lines(old + good)).refused == Counter(retention=7)

    run(influx, use, retention_s=86_400)


def test_nan_never_reaches_influxdb(influx: Influx) -> None:
    """One NaN would refuse the whole request: it is dropped and counted, its row's other values are in."""

    async def use(scalars: ScalarStore) -> None:
        fields = {"a": [1.0, math.nan, math.inf], "b": [1.0, 2.0, math.nan]}
        report = await scalars.write([Points("m", "r1", "e", [NOW_US, NOW_US + 1, NOW_US + 2], fields)])
        assert report == ScalarReport(2, 3, Counter(nan=3))
        assert await scalars.count("m", "b", "r1", 0, NOW_US + 9) == 2

    run(influx, use)


def test_a_bucket_is_made_once_and_its_retention_follows(influx: Influx) -> None:
    """The bucket answers InfluxQL at once; a second call changes nothing, another retention does."""

    async def use(scalars: ScalarStore) -> None:
        assert await scalars.ensure_bucket() is False
        assert await scalars.ensure_bucket(86_400) is True
        assert await scalars.ensure_bucket(86_400) is False
        assert await scalars.ensure_bucket(0) is True
        assert await scalars.query("SHOW MEASUREMENTS") == []

    run(influx, use)


def test_quotes_in_names_stay_names(influx: Influx) -> None:
    """A field or stream with quotes and slashes is asked for by its own name and nothing else."""

    async def use(scalars: ScalarStore) -> None:
        name = 'say "hi", x=1'
        await scalars.write([Points("cam/front", "r1", "e", [NOW_US], {name: [2.0]})])
        assert await scalars.mean("cam/front", name, "r1", 0, NOW_US + 1) == 2.0

    run(influx, use)


def test_each_failure_has_its_error(influx: Influx) -> None:
    """A wrong token, a missing bucket or organisation, nothing listening, and bad InfluxQL are told apart."""

    async def main() -> None:
        wrong: list[tuple[Influx, type[Exception]]] = [
            (replace(influx, token="wrong"), AccessDenied),
            (replace(influx, bucket="missing"), NotFound),
            (replace(influx, org="missing"), NotFound),
            (replace(influx, url="http://127.0.0.1:9"), Unreachable),
        ]
        for place, error in wrong:
            async with ScalarStore(place, timeout_s=60.0) as scalars:
                with pytest.raises(error, match="next:"):
                    await scalars.write_lines(["m f=1"])
        for place, error in (wrong[0], wrong[1], wrong[3]):
            async with ScalarStore(place, timeout_s=60.0) as scalars:
                with pytest.raises(error):
                    await scalars.mean("m", "f", "r1", 0, 1)
        async with ScalarStore(influx) as scalars:
            await scalars.ensure_bucket()
            with pytest.raises(StoreRefused, match="SELEKT"):
                await scalars.query("SELEKT 1")

    asyncio.run(main())


def test_refused_points_leave_their_minutes(influx: Influx) -> None:
    """What a report says per minute is what InfluxDB holds of it, and every refused point is named."""

    async def use(scalars: ScalarStore) -> None:
        old, new = NOW_US - 3 * DAY_US, minute_of(NOW_US) - 120 * 1_000_000
        await scalars.write_lines([f"m,robot=r1,site=e a=1i {new + 3}"])  # types are those of a shard, here an hour
        times = [old, old + 1, new, new + 1, new + 61_000_000]
        columns = {"b": [1.0, 2.0, 3.0, math.nan, 5.0], "c": [1.0, None, 3.0, math.nan, 5.0]}
        report = await scalars.write([Points("m", "r1", "e", times, columns)])
        assert report.minutes == {
            minute_of(old): Tally(2, 0, 0, {"retention": 2}),
            new: Tally(2, 1, 2, {"nan": 2}),
            new + 60_000_000: Tally(1, 1, 2),
        }
        assert [(refusal.time_us, refusal.values) for refusal in report.refusals] == [(old, 2), (old + 1, 1)]
        conflict = await scalars.write([Points("m", "r1", "e", [new + 2], {"a": [1.0], "b": [1.0]})])
        assert conflict.minutes == {new: Tally(1, 0, 0, {"type": 1})}
        assert '"a" on measurement "m"' in conflict.refusals[0].message
        assert await scalars.count("m", "b", "r1", 0, NOW_US + 1) == 2

    run(influx, use, retention_s=86_400)


def test_fields_named_like_tags_are_counted(influx: Influx) -> None:
    """Fields called robot and site do not hide the tags of that name, and a field called time is not counted."""

    async def use(scalars: ScalarStore) -> None:
        fields = {"robot": [1.0], "site": [2.0], "time": [3.0], "v": [4.0]}
        report = await scalars.write([Points("m", "r1", "e", [NOW_US], fields)])
        assert (report.written, report.values, report.refused) == (1, 3, Counter(name=1))
        assert await scalars.count("m", "v", "r1", 0, NOW_US + 1) == 1

    run(influx, use)


def test_retention_and_start_are_told(influx: Influx) -> None:
    """A bucket says how long it keeps points, a missing one nothing; the server says when it was started."""

    async def use(scalars: ScalarStore) -> None:
        assert await scalars.retention_s() == 3600
        assert await scalars.started() == await scalars.started() is not None

    run(influx, use, retention_s=3600)

    async def missing() -> None:
        async with ScalarStore(replace(influx, bucket="missing")) as scalars:
            assert await scalars.retention_s() is None

    asyncio.run(missing())

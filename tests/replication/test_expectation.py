"""What is expected of a stream, what it delivered, and what that makes of a minute."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from fleetbox.ledger import MINUTE_US, minute_of
from fleetbox.settings import Expect, Policy
from fleetbox_replication.census import Census, CensusScope, Rhythm
from fleetbox_replication.expectation import (
    PAUSE_US,
    Delivered,
    Stretch,
    expected_streams,
    missing_rows,
    share_delivered,
    went_on,
)
from tests.conftest import StoreServer
from tests.replication.conftest import SECOND, Robot
from tests.replication.test_census import NOON_US, Post, post

M = minute_of(1_790_000_000_000_000)


def policy(**streams: str) -> Policy:
    """Return a policy that expects something of streams; `__` stands for a slash."""
    return Policy.model_validate({"stream": {name.replace("__", "/"): {"expect": x} for name, x in streams.items()}})


@pytest.mark.parametrize(("text", "hz"), [("30 Hz", 30), ("0.5Hz", 0.5), ("1 kHz", 1000), ("on change", 0)])
def test_an_expectation_is_read(text: str, hz: float) -> None:
    """Rates and `on change` are understood, and change the policy's hash."""
    made = policy(imu=text)
    assert made.stream["imu"].expect == Expect(hz)
    assert made.hash != Policy.model_validate({"stream": {"imu": {}}}).hash


@pytest.mark.parametrize("text", ["often", "0 Hz", "-1 Hz", "30", 30])
def test_anything_else_is_a_fault_that_says_what_to_write(text: object) -> None:
    """The fault names the forms that are understood."""
    with pytest.raises(ValidationError, match="30 Hz"):
        Policy.model_validate({"stream": {"imu": {"expect": text}}})


def test_streams_that_are_there_and_those_that_must_be_are_expected() -> None:
    """A glob speaks of what exists, a name of what has to; previews and other classes are nobody's rate."""
    rules = policy(cam__front="30 Hz", cam__ASTERISK="10 Hz", doors="on change")
    rules = rules.model_copy(update={"stream": {k.replace("ASTERISK", "*"): v for k, v in rules.stream.items()}})
    present = [("media", "cam/back"), ("media", "cam/back/preview"), ("sensor", "imu"), ("meta", "cam/x")]
    assert expected_streams(rules, present) == {  # type: ignore[arg-type]
        ("media", "cam/back"): Expect(10),
        ("sensor", "cam/front"): Expect(30),
        ("sensor", "doors"): Expect(0),
    }


def test_nothing_is_expected_of_what_circles_in_memory() -> None:
    """A stream that circles in memory is in no store by right: nobody calls it missing there."""
    rules = Policy.model_validate(
        {"stream": {"imu": {"expect": "1 kHz", "ring": "ram 60 s"}, "odom": {"expect": "9 Hz"}}}
    )
    assert expected_streams(rules, [("sensor", "imu"), ("sensor", "odom")]) == {("sensor", "odom"): Expect(9)}
    assert expected_streams(rules, []) == {("sensor", "odom"): Expect(9)}


def test_what_the_policy_leaves_out_is_not_missing() -> None:
    """Thinned streams are expected at their own rate, and small frames in place of pictures that are not recorded."""
    camera = {"expect": "30 Hz", "preview": {}, "keep": "preview"}
    rules = Policy.model_validate({
        "stream": {
            "cam/front": camera, "cam/*": camera, "imu": {"expect": "100 Hz", "every": "90ms"},
            "map/preview": {"expect": "1 Hz"},
        }
    })  # fmt: skip
    preview = Expect(1e6 / (1_000_000 + 1e6 / 30))
    present = [("small", "cam/back/preview"), ("small", "cam/back/thumbnail"), ("sensor", "imu"),
               ("sensor", "map/preview")]  # fmt: skip
    assert expected_streams(rules, present) == {  # type: ignore[arg-type]
        ("small", "cam/back/preview"): preview,
        ("small", "cam/front/preview"): preview,
        ("sensor", "imu"): Expect(10),
        ("sensor", "map/preview"): Expect(1),
    }


def test_a_minute_counts_only_if_the_robot_recorded_through_it() -> None:
    """The first minute, the last one, and those around a pause expect nothing."""
    stretch = went_on(None, M + 20 * SECOND)
    for seconds in range(30, 200, 10):
        stretch = went_on(stretch, M + seconds * SECOND)
    assert [stretch.holds(M + n * MINUTE_US) for n in range(4)] == [False, True, True, False]
    again = went_on(stretch, stretch.until_us + PAUSE_US + 1)
    assert not any(again.holds(M + n * MINUTE_US) for n in range(10))
    assert went_on(stretch, M) == Stretch(M, M)


@given(
    st.sampled_from([1.0, 10.0, 30.0, 100.0, 1000.0]),
    st.lists(st.integers(200_000, 5_000_000), min_size=100, max_size=100),
    st.integers(0, 4_999_999),
)
def test_a_stream_that_keeps_its_rate_misses_nothing_however_its_chunks_fall(
    hz: float, lengths_us: list[int], offset_us: int
) -> None:
    """Rows are evenly spaced; chunks of any length cross the minutes' borders; no minute is short."""
    step_us = 1e6 / hz
    rows: dict[int, int] = {}
    first: dict[int, int] = {}
    ends: dict[int, int] = {}
    number = 0
    for length_us in lengths_us:
        count = max(1, int(length_us / step_us))
        start_us = M + offset_us + round(number * step_us)
        number += count
        minute_us = minute_of(start_us)
        rows[minute_us] = rows.get(minute_us, 0) + count
        first.setdefault(minute_us, start_us)
        ends[minute_us] = M + offset_us + round((number - 1) * step_us)
    minutes = sorted(rows)[:-1]
    for before_us, minute_us in zip([None, *minutes], minutes, strict=False):
        if before_us is None and first[minute_us] - minute_us > 5_000_000:
            continue
        known = ends[before_us] if before_us is not None else 0
        delivered = Delivered(rows[minute_us], first[minute_us], ends[minute_us], known)
        assert missing_rows(Expect(hz), minute_us, delivered) == 0


def test_a_short_minute_is_counted_to_the_row() -> None:
    """Half the frames, none, and two percent fewer: 900, 1,800 and nothing."""
    assert missing_rows(Expect(30), M, Delivered(900, M, M + 59 * SECOND)) == 900
    assert missing_rows(Expect(30), M, Delivered()) == 1800
    assert missing_rows(Expect(30), M, Delivered(1770, M, M + 59 * SECOND)) == 0
    assert missing_rows(Expect(0), M, Delivered()) == 0
    assert share_delivered(900, 900) == 0.5
    assert share_delivered(0, 0) == 1.0


def test_the_census_tells_what_is_missing(store_server: StoreServer, tmp_path: Path) -> None:
    """A camera at half its rate, one that stops, one that never was, and one in order, over five minutes."""

    async def scenario(here: Post) -> None:
        rules = policy(cam__half="1 Hz", cam__stops="1 Hz", cam__never="1 Hz", cam__fine="1 Hz", doors="on change")
        scope = CensusScope(here.robot.name, here._robots, lambda _, cls: here.robot.bucket(cls), policy=lambda: rules)
        census = Census(lambda: here.robot.store, scope, tmp_path / "c", Rhythm(look_s=10), now_us=lambda: here.now_us)
        await census.look()
        for step in range(0, 360, 10):
            start_us = NOON_US + step * SECOND
            await frames(here.robot, "cam/fine", start_us, 1)
            await frames(here.robot, "cam/half", start_us, 2)
            if step < 170:
                await frames(here.robot, "cam/stops", start_us, 1)
            here.now_us = start_us + 10 * SECOND
            await census.look()
        here.now_us = NOON_US + 420 * SECOND
        await census.look()
        missing: dict[str, list[int]] = {}
        for (_, stream, _), item in sorted((await here.told()).items()):
            missing.setdefault(stream, []).append(item.line.missing)
        assert missing == {
            "cam/fine": [0, 0, 0, 0, 0, 0],
            "cam/half": [0, 30, 30, 30, 30, 0],
            "cam/never": [60, 60, 60, 60],
            "cam/stops": [0, 0, 10, 60, 60],
            "doors": [1, 1, 1, 1],
        }

    async def whole() -> None:
        async with post(store_server, tmp_path) as here:
            await scenario(here)

    asyncio.run(whole())


async def frames(robot: Robot, stream: str, start_us: int, every_s: int) -> None:
    """Write ten seconds of frames."""
    await robot.write("media", stream, [start_us + at * SECOND for at in range(0, 10, every_s)])

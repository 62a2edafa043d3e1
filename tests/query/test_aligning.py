"""Streams side by side: the same times for all, nothing from the future, nothing too old."""

from __future__ import annotations

import json

import numpy as np
import pytest

from fleetbox.errors import InputError, NotFound
from fleetbox_query.fleet import Fleet
from fleetbox_query.grids import Method
from fleetbox_query.nothing import NothingFound
from fleetbox_query.units import MixedUnits

from .conftest import Tiers, blob, chunk

T0 = 1_760_000_000_000_000  # µs
MS = 1_000


def numbers(tiers: Tiers, stream: str, every_ms: int, count: int, start_ms: int = 0, **more: object) -> None:
    """A chunk whose field x is the ms since T0."""
    at = [start_ms + n * every_ms for n in range(count)]
    columns = {"x": [float(ms) for ms in at]}
    tiers.put("edge", "sensor", [chunk(stream, [T0 + ms * MS for ms in at], columns, robot=tiers.robot, **more)])  # type: ignore[arg-type]


def listed(series: object) -> list[float | None]:
    """A column's values, None where there is none."""
    return [None if value is None or value != value else float(value) for value in series.astype(object)]  # type: ignore[attr-defined]


@pytest.mark.parametrize("method", ["previous", "nearest", "next", "linear"])
def test_methods(tiers: Tiers, fleet: Fleet, stream: str, method: Method) -> None:
    """Each method takes what its name says, at most max_age away: a gap larger than that stays a gap."""
    times = [T0, T0 + 100 * MS, T0 + 400 * MS]
    tiers.put("edge", "sensor", [chunk(stream, times, {"x": [0.0, 100.0, 400.0]})])
    tiers.put("edge", "sensor", [chunk(f"{stream}/t", [T0 + n * 60 * MS for n in range(8)], {"y": list(range(8))})])
    selection = fleet.select(f"{tiers.robot}/{stream}").between(T0, T0 + 421 * MS)
    frame = selection.align(to=f"{tiers.robot}/{stream}/t", method=method, max_age="61ms").frames()
    assert listed(frame["x"]) == _within(method)
    assert frame.attrs["unfilled"] == {"x": _within(method).count(None)}


def _within(method: str) -> list[float | None]:
    """What each method finds at 0, 60, .. 420 ms among 0, 100 and 400 ms, at most 61 ms away."""
    known, out = [0, 100, 400], []
    for at in range(0, 480, 60):
        back = max((t for t in known if t <= at and at - t <= 61), default=None)
        ahead = min((t for t in known if t >= at and t - at <= 61), default=None)
        both = [t for t in (back, ahead) if t is not None]
        found = {
            "previous": back,
            "next": ahead,
            "nearest": min(both, key=lambda t: abs(t - at)) if both else None,
            "linear": at if len(both) == 2 else None,
        }[method]
        out.append(None if found is None else float(found))
    return out


def test_a_rate_does_not_drift(tiers: Tiers, fleet: Fleet, stream: str) -> None:
    """At 30 Hz the grid's thousandth time is 1000/30 s after its first, to the ns."""
    numbers(tiers, stream, 50, 1000)
    frame = fleet.select(f"{tiers.robot}/{stream}").align("30 Hz").frames()
    assert frame.index[999].value - frame.index[0].value == round(999 * 1e9 / 30)


def test_each_window_has_a_grid_of_its_own(tiers: Tiers, fleet: Fleet, stream: str) -> None:
    """Around events that lie apart nothing is laid out in between, and no value crosses over."""
    numbers(tiers, stream, 100, 30)
    numbers(tiers, stream, 100, 30, start_ms=3_600_000)
    for at, name in ((1_000, "a"), (3_601_000, "b")):
        put_event(tiers, name, T0 + at * MS)
    around = fleet.events("brake").robots(tiers.robot).select(stream, pre="0.2s", post="0.2s")
    frame = around.align("10 Hz").frames()
    assert listed(frame["x"]) == [800, 900, 1000, 1100, 1200, *range(3_600_800, 3_601_300, 100)]


def put_event(tiers: Tiers, name: str, time_us: int) -> None:
    """An event of the robot, as its agent writes it."""
    body = {"id": name, "kind": "brake", "robot": tiers.robot, "time_us": time_us}
    data = json.dumps({**body, "start_us": time_us - 1, "stop_us": time_us + 1}).encode()
    tiers.put("edge", "meta", [blob("events", time_us, data, kind="event")])


def test_times_of_pictures_are_a_grid(tiers: Tiers, fleet: Fleet, stream: str) -> None:
    """Aligned to a camera there is a row per picture; the camera need not be chosen, and its pictures are not read."""
    numbers(tiers, stream, 10, 100)
    camera = f"{stream}/cam"
    tiers.put("edge", "media", [blob(camera, T0 + ms * MS, b"\xff\xd8\xff", kind="images") for ms in (95, 305, 2_000)])
    frame = fleet.select(f"{tiers.robot}/{stream}").align(to=f"{tiers.robot}/{camera}", max_age="50ms").frames()
    assert listed(frame["x"]) == [90, 300, None]
    assert frame.attrs["places_read"] == {"edge-1": 1}


def test_a_source_clock_that_runs_back_is_told(tiers: Tiers, fleet: Fleet, stream: str) -> None:
    """By another clock rows come in its order, and a source whose clock ran backwards is named."""
    logs = [5_000, 3_000, 9_000]
    tiers.put("edge", "sensor", [chunk(stream, [T0, T0 + 1, T0 + 2], {"x": [1.0, 2.0, 3.0]}, clocks__log_ns=logs)])  # type: ignore[arg-type]
    frame = fleet.select(f"{tiers.robot}/{stream}").align("2us", clock="log").frames()
    assert [stamp.value for stamp in frame.index] == [3_000, 5_000, 7_000, 9_000]
    assert listed(frame["x"]) == [2, 1, 1, 3]
    assert frame.attrs["unordered"] == [f"{tiers.robot}/{stream}"]


def test_mixed_units_are_told(tiers: Tiers, fleet: Fleet, stream: str) -> None:
    """Two robots that tell one field in two units are named, and the frame says each column's unit."""
    other = f"{tiers.robot}b"
    for robot, unit in ((tiers.robot, "g"), (other, "m/s²")):
        tiers.put("edge", "sensor", [chunk(stream, [T0], {"x": [1.0]}, robot=robot)], robot=robot)
        tiers.attach("edge", "sensor", stream, {"type": "time_series", "fields": {"x": {"unit": unit}}}, robot=robot)
    with pytest.warns(MixedUnits, match="several units"):
        frame = fleet.select(f"{tiers.robot}*/{stream}").align("1 Hz").frames()
    assert frame.attrs["units"] == {f"{tiers.robot}/{stream}:x": "g", f"{other}/{stream}:x": "m/s²"}


def test_a_schema_that_changed_midway(tiers: Tiers, fleet: Fleet, stream: str) -> None:
    """A field that came later is missing before; one that became a float is one throughout; texts are carried on."""
    tiers.put("edge", "sensor", [chunk(stream, [T0, T0 + 1_000_000], {"n": [1, 2]})])
    later = {"n": [2.5, 3.5], "mode": ["slow", "fast"]}
    tiers.put("edge", "sensor", [chunk(stream, [T0 + 2_000_000, T0 + 3_000_000], later)])
    frame = fleet.select(f"{tiers.robot}/{stream}").align("1 Hz", method="linear").frames()
    assert frame["n"].tolist() == [1, 2, 2.5, 3.5]
    assert frame["mode"].astype(object).tolist()[2:] == ["slow", "fast"]
    assert frame["mode"].isna().tolist() == [True, True, False, False]


def test_whole_numbers_stay_exact(tiers: Tiers, fleet: Fleet, stream: str) -> None:
    """A whole number above 2^53 keeps its value beside times that have none."""
    big = 2**60 + 1
    tiers.put("edge", "sensor", [chunk(stream, [T0, T0 + 1_000_000], {"n": [big, big + 2]})])
    frame = fleet.select(f"{tiers.robot}/{stream}").align("4 Hz", max_age="100ms").frames()
    assert frame["n"].iloc[0] == big
    assert frame["n"].isna().tolist() == [False, True, True, True, False]


def test_the_same_as_arrow_and_polars(tiers: Tiers, fleet: Fleet, stream: str) -> None:
    """A frame, an Arrow table and a polars frame hold the same."""
    numbers(tiers, stream, 100, 10)
    aligned = fleet.select(f"{tiers.robot}/{stream}").align("10 Hz")
    assert aligned.arrow().column_names == ["time", "x"]
    assert aligned.polars()["x"].to_list() == aligned.frames()["x"].tolist()


@pytest.mark.parametrize("rate", ["30", "0 Hz", "-1s", "fast", "", "0.1us"])
def test_a_rate_that_is_none(fleet: Fleet, rate: str) -> None:
    """What is neither a rate nor a period is refused before anything is read."""
    with pytest.raises(InputError):
        fleet.select("*").align(rate)


def test_what_cannot_be_meant(tiers: Tiers, fleet: Fleet, stream: str) -> None:
    """Both or neither of rate and stream, unknown methods and clocks, ambiguous and empty references are refused."""
    numbers(tiers, stream, 100, 10)
    numbers(tiers, f"{stream}/b", 100, 10)
    one = fleet.select(f"{tiers.robot}/{stream}")
    for wrong in (
        {},
        {"rate": "1 Hz", "to": "x"},
        {"rate": "1 Hz", "method": "mean"},
        {"rate": "1 Hz", "clock": "wall"},
    ):
        with pytest.raises(InputError):
            one.align(**wrong)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="2 streams"):
        one.align(to=f"{tiers.robot}/{stream}*/**").frames()
    with pytest.raises(NotFound):
        one.align(to=f"{tiers.robot}/nothing").frames()


def test_a_selection_with_nothing_in_it(tiers: Tiers, fleet: Fleet, stream: str) -> None:
    """A time in which nothing lies gives an empty frame."""
    numbers(tiers, stream, 100, 10)
    asked = fleet.select(f"{tiers.robot}/{stream}").between(T0 + 500_000_000, T0 + 600_000_000)
    with pytest.warns(NothingFound):
        frame = asked.align("1 Hz").frames()
    assert len(frame) == 0
    assert not np.any(frame.columns)

"""The fleet's own questions: robots, streams, events, means."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fleetbox import events
from fleetbox.errors import InputError, NotFound
from fleetbox.events import Event
from fleetbox.points import Points
from fleetbox.rollups import points_of, rolled
from fleetbox.scalars import ScalarStore
from fleetbox.settings import Influx
from fleetbox_query.events import merge_events, split_event_time
from fleetbox_query.fleet import Fleet
from fleetbox_query.nothing import NothingFound

from .conftest import PATIENT, Tiers, blob, chunk

T0 = 1_760_000_000_000_000  # µs
SECOND = 1_000_000
SLOW = re.compile(r"Executing <.* took [0-9.]+ seconds$")  # asyncio, in that mode, of a busy machine


def test_a_closed_fleet_says_so(fleet: Fleet) -> None:
    """Closing twice does nothing more; a question afterwards is refused with what to do."""
    fleet.close()
    fleet.close()
    with pytest.raises(InputError, match="connect anew"):
        fleet.streams()


@pytest.mark.parametrize("ask", ["list(records)", "next(records)", "records"])
def test_a_program_that_never_closes_ends_silently(tiers: Tiers, tmp_path: Path, stream: str, ask: str) -> None:
    """Read to the end, begun or hardly asked for: nothing is said at exit, not even by Python's development mode."""
    tiers.put("edge", "sensor", [ramp(stream, at) for at in range(0, 600, 5)])
    path = tiers.write_fleet(tmp_path)
    code = f"records = fb.connect({str(path)!r}).select('{tiers.robot}/{stream}').records(); {ask}"
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-c", f"{PATIENT}import fleetbox as fb; {code}"],
        capture_output=True,
        text=True,
        check=False,
    )
    told = [line for line in done.stderr.splitlines() if not SLOW.match(line)]
    assert (done.returncode, done.stdout, told) == (0, "", [])


def ramp(stream: str, first: int, count: int = 5, **labels: str) -> Any:
    """A chunk of one row a second whose x is the second."""
    seconds = list(range(first, first + count))
    return chunk(stream, [T0 + n * SECOND for n in seconds], {"x": [float(n) for n in seconds]}, **labels)


def brake(tiers: Tiers, at_s: int, kind: str = "hard_brake") -> Event:
    """An event of this robot, 10 s before to 5 s after."""
    at = T0 + at_s * SECOND
    return events.new_event(Event("", kind, tiers.robot, at, at - 10 * SECOND, at + 5 * SECOND))


def test_robots_are_those_known_and_those_with_records(tiers: Tiers, fleet: Fleet, stream: str) -> None:
    """A robot is listed when the settings name it or when some site has records of it."""
    tiers.put("cloud", "sensor", [ramp(stream, 0)], robot=f"{tiers.robot}-x")
    assert {tiers.robot, f"{tiers.robot}-x"} <= set(fleet.robots())


def test_streams_of_one_bucket_have_rates_of_their_own(tiers: Tiers, fleet: Fleet, stream: str) -> None:
    """Streams that end together, some seconds apart and long ago each have the rate of their own last seconds."""
    ends_s = {"now": (0, 1.0), "before": (-10, 0.5), "long-ago": (-3600, 2.0)}
    for name, (end_s, every_s) in ends_s.items():
        times = [T0 + round((end_s - n * every_s) * SECOND) for n in range(12)]
        tiers.put("edge", "media", [blob(f"{stream}/{name}", time, b"x", kind="images") for time in times])
    found = {one.stream: one.hz for one in fleet.streams(f"{tiers.robot}/{stream}/*")}
    assert found == {f"{stream}/{name}": 1 / every_s for name, (_, every_s) in ends_s.items()}


def test_streams_say_rates_and_places(tiers: Tiers, fleet: Fleet, stream: str) -> None:
    """Streams come with rows per second, bytes per second, first, last and places, and print as a table."""
    tiers.put("edge", "sensor", [ramp(stream, at) for at in range(0, 40, 5)])
    tiers.put("edge", "media", [blob(f"{stream}/cam", T0 + n * SECOND // 10, b"x" * 100) for n in range(100)])
    found = {one.stream: one for one in fleet.streams(f"{tiers.robot}/{stream}/**")}
    assert found[stream].hz == pytest.approx(1.0)
    assert found[f"{stream}/cam"].hz == pytest.approx(10.0)
    assert found[f"{stream}/cam"].bytes_per_s == pytest.approx(1000.0)
    assert found[stream].held[0].place == "edge-1"
    shown = repr(fleet.streams(f"{tiers.robot}/{stream}"))
    assert stream in shown
    assert "edge-1" in shown


def test_events_select_what_lies_around_them(tiers: Tiers, fleet: Fleet, stream: str) -> None:
    """Streams around events come from the event's own robot, overlapping windows once, pre and post as asked."""
    tiers.put("edge", "sensor", [ramp(stream, at) for at in range(0, 200, 5)])
    tiers.put("edge", "sensor", [ramp(stream, 0, robot="other")], robot=f"{tiers.robot}-y")
    marks = [brake(tiers, 50), brake(tiers, 52), brake(tiers, 100), brake(tiers, 150, "stall")]
    tiers.put("cloud", "meta", [events.draft(one, T0 + 300 * SECOND + n) for n, one in enumerate(marks)])
    chosen = fleet.events("hard_brake").robots(tiers.robot)
    assert [one.id for one in chosen.list()] == [one.id for one in marks[:3]]
    assert [one.id for one in chosen] == [one.id for one in marks[:3]]
    assert (len(chosen), len(chosen.last("1h")), bool(chosen.last("1h"))) == (3, 0, True)
    frame = chosen.select(stream, pre="3s", post="2s").frames()
    assert frame["x"].tolist() == [*range(47, 55), *range(97, 103)]
    whole = chosen.between(T0 + 99 * SECOND, None).select(f"{stream}:x").frames()
    assert whole["x"].tolist() == list(range(90, 106))
    with pytest.warns(NothingFound, match=r"of kind 'nothing' .* there are hard_brake \(3\), stall \(1\)"):
        assert fleet.events("nothing").robots(tiers.robot).select(stream).frames().empty
    with pytest.raises(InputError, match="ends before it starts"):
        chosen.between(T0 + SECOND, T0).list()
    assert chosen.last("1h").list() == []


def test_an_events_time_can_be_used_in_between(tiers: Tiers, fleet: Fleet, stream: str) -> None:
    """event:ID with an offset is a time; an unknown id is NotFound and names those there are."""
    tiers.put("edge", "sensor", [ramp(stream, at) for at in range(0, 100, 5)])
    mark = brake(tiers, 50)
    tiers.put("edge", "meta", [events.draft(mark, T0 + 60 * SECOND)])
    selection = fleet.select(f"{tiers.robot}/{stream}")
    assert selection.between(f"event:{mark.id}-1s", f"event:{mark.id}+500ms").frames()["x"].tolist() == [49, 50]
    assert selection.at(f"event:{mark.id}").item.fields == {"x": 50.0}
    with pytest.raises(NotFound, match="not known"):
        selection.between("event:zzz", None).frames()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("event:brake-01hk5-10s", ("brake-01hk5", -10 * SECOND)),
        ("event:brake-01hk5+1.5s", ("brake-01hk5", 1_500_000)),
        ("event:brake-01hk5", ("brake-01hk5", 0)),
        ("event:hard-brake-5hsx", ("hard-brake-5hsx", 0)),
        ("event:b-1-2m30s", ("b-1", -150 * SECOND)),
    ],
)
def test_event_times_are_split(text: str, found: tuple[str, int]) -> None:
    """The offset is the last sign with a duration; dashes and digits of the id stay with the id."""
    assert split_event_time(text) == found


def test_what_places_say_of_an_event_is_merged() -> None:
    """The revision that is furthest along stands, with the largest counts any place has."""
    opened = Event("b-1", "b", "r1", 5, 0, 10)
    closed = replace(opened, state="labelled", labelled={"imu": 3, "cam": 1})
    more = replace(opened, state="labelled", labelled={"imu": 4})
    (merged,) = merge_events([closed, opened, more])
    assert (merged.state, dict(merged.labelled)) == ("labelled", {"cam": 1, "imu": 4})


def test_a_mean_comes_from_the_chunks_without_an_influx(tiers: Tiers, fleet: Fleet, stream: str) -> None:
    """Without an InfluxDB the mean is taken from the chunks, without missing values and NaN."""
    times = [T0 + n for n in range(4)]
    tiers.put("edge", "sensor", [chunk(stream, times, {"x": [1.0, float("nan"), None, 3.0]})])
    assert fleet.scalar_mean(f"{tiers.robot}/{stream}:x", T0, T0 + 10) == (2.0, "chunks")
    with pytest.raises(NotFound):
        fleet.scalar_mean(f"{tiers.robot}/{stream}:y", T0, T0 + 10)
    with pytest.raises(InputError):
        fleet.scalar_mean(f"{tiers.robot}/{stream}", T0, T0 + 10)


def test_a_mean_comes_from_influx_when_it_answers(
    tiers: Tiers,
    tmp_path: Path,
    fleet_at: Callable[[Path], Fleet],
    influx_server: Any,
    stream: str,
) -> None:
    """With an InfluxDB the mean of whole seconds comes from there, that of their edges and all else from the chunks."""
    influx = Influx(influx_server.url, influx_server.token, influx_server.org, influx_server.bucket)
    times = [T0 - 500_000, T0, T0 + 1, T0 + 1_000_000]
    tiers.put("cloud", "sensor", [chunk(stream, times, {"x": [100.0, 1.0, 3.0, 30.0]})])
    held = rolled([Points(stream, tiers.robot, "cloud", times[1:3], {"x": [5.0, 7.0]})])
    asyncio.run(_load(influx, points_of(stream, tiers.robot, "cloud", held)))
    (tmp_path / "influx.token").write_text(influx.token)
    tiers.influx = (
        f'[site.cloud.influx]\nurl = "{influx.url}"\ntoken = {{ file = "influx.token" }}\n'
        f'org = "{influx.org}"\nbucket = "{influx.bucket}"\n'
    )
    path = tiers.write_fleet(tmp_path)
    assert fleet_at(path).scalar_mean(f"{tiers.robot}/{stream}:x", T0, T0 + 1_000_000) == (6.0, "influx")
    assert fleet_at(path).scalar_mean(f"{tiers.robot}/{stream}:x", T0 - 600_000, T0 + 1_500_000) == (35.5, "influx")
    path.write_text(path.read_text().replace(influx.url, "http://127.0.0.1:9"))
    assert fleet_at(path).scalar_mean(f"{tiers.robot}/{stream}:x", T0, T0 + 10) == (2.0, "chunks")


async def _load(influx: Influx, points: Points) -> None:
    async with ScalarStore(influx) as scalars:
        await scalars.ensure_bucket()
        report = await scalars.write([points])
    assert report.written == len(points.time_us)

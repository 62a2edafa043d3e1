"""The lake: every record's rows once, whatever ends a sync and however late a record comes."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import polars as pl
import pytest
from deltalake import DeltaTable

from fleetbox import episode_books, episodes, events
from fleetbox.blobs import Store
from fleetbox.clock import Clock
from fleetbox.errors import InputError, NotFound
from fleetbox.events import Event
from fleetbox.naming import site_bucket
from fleetbox.records import Draft
from fleetbox_query.fleet import Fleet
from fleetbox_query.lake import Synced, sync_lake
from fleetbox_replication.census import Census, CensusScope

from .conftest import MAIN, PATIENT, Tiers, blob, chunk
from .test_cli import run

T0 = 1_760_054_280_000_000  # µs; a minute before a whole hour
SECOND = 1_000_000
MINUTE = 60 * SECOND

Sync = Callable[..., Synced]


def rows(tiers: Tiers, stream: str, first_s: int, seconds: int = 5, **fields: Any) -> Draft:
    """A chunk of one row a second: field n counts seconds since T0."""
    numbers = list(range(first_s, first_s + seconds))
    times = [T0 + n * SECOND for n in numbers]
    return chunk(stream, times, fields or {"n": numbers}, robot=tiers.robot, session="s1", seq=str(first_s))


@pytest.fixture
def told(tiers: Tiers, tmp_path: Path) -> Callable[..., None]:
    """Let the edge site's census tell everything it holds of the robot, by a clock that is some seconds back."""
    process = tiers.stores["edge"]

    async def tell(back_s: int) -> None:
        async with Store(process.url, process.token) as store:

            async def own() -> list[str]:
                return [tiers.robot]

            clock = Clock()
            scope = CensusScope("edge-1", own, site_bucket)
            census = Census(lambda: store, scope, tmp_path / "census", now_us=lambda: clock.now_us() - back_s * SECOND)
            await census.flush()

    tiers.put("edge", "meta", [])
    return lambda back_s=0: asyncio.run(tell(back_s))


@pytest.fixture
def sync(fleet: Fleet, tiers: Tiers, tmp_path: Path) -> Sync:
    """Sync the edge site's books of this test's robot into a lake of its own."""
    return lambda: sync_lake(fleet.session, tmp_path / "lake", site="edge-1", robots=tiers.robot)


def scalars(folder: Path, stream: str) -> list[dict[str, Any]]:
    """A stream's rows in the lake, in order of time, as DuckDB reads them."""
    held = DeltaTable(str(folder / "lake" / "scalars" / stream.replace("/", "."))).to_pyarrow_dataset()  # noqa: F841
    return duckdb.sql("SELECT * FROM held ORDER BY time_us, seq").to_arrow_table().to_pylist()


def media(folder: Path) -> list[dict[str, Any]]:
    """The catalog, in order of time."""
    return pl.read_delta(str(folder / "lake" / "media")).sort("time_us").to_dicts()


def test_every_row_comes_once(tiers: Tiers, stream: str, told: Any, sync: Sync, tmp_path: Path) -> None:
    """Rows, their stamps and where they come from are in the lake; a second sync finds nothing new."""
    stream = f"arm/{stream}"
    tiers.put("edge", "sensor", [rows(tiers, stream, at) for at in range(0, 120, 5)])
    told()
    first = sync()
    found = scalars(tmp_path, stream)
    assert [row["n"] for row in found] == list(range(120))
    assert [row["seq"] for row in found] == list(range(120))
    assert {(row["robot"], row["session"]) for row in found} == {(tiers.robot, "s1")}
    assert [int(row["time_us"].timestamp()) for row in found] == [T0 // SECOND + n for n in range(120)]
    assert (first.total("rows"), first.total("records"), first.missing, first.skipped) == (120, 24, 0, [])
    assert sync().windows == 0
    assert len(scalars(tmp_path, stream)) == 120


def test_days_and_robots_are_partitions(tiers: Tiers, stream: str, told: Any, sync: Sync, tmp_path: Path) -> None:
    """A chunk that crosses midnight is parted by the day of each row."""
    midnight = 1_760_054_400  # s; 2025-10-10 00:00 UTC
    times = [(midnight + n) * SECOND for n in range(-2, 3)]
    tiers.put("edge", "sensor", [chunk(stream, times, {"n": list(range(5))}, robot=tiers.robot)])
    told()
    sync()
    parts = DeltaTable(str(tmp_path / "lake" / "scalars" / stream)).partitions()
    assert sorted(str(part["day"]) for part in parts) == ["2025-10-09", "2025-10-10"]
    assert {part["robot"] for part in parts} == {tiers.robot}
    assert len(scalars(tmp_path, stream)) == 5


def test_late_records_come_late_and_once(tiers: Tiers, stream: str, told: Any, sync: Sync, tmp_path: Path) -> None:
    """Records that reach the site after their minute was synced are added; those beside them are not added again."""
    tiers.put("edge", "sensor", [rows(tiers, stream, 0), rows(tiers, stream, 10)])
    told()
    sync()
    tiers.put("edge", "sensor", [rows(tiers, stream, 5), rows(tiers, stream, 60)])
    told()
    assert sync().total("rows") == 10
    assert [row["n"] for row in scalars(tmp_path, stream)] == [*range(15), *range(60, 65)]


def test_the_lake_outlives_the_ring(tiers: Tiers, stream: str, told: Any, sync: Sync, tmp_path: Path) -> None:
    """What the site's ring gave up since stays in the lake, and is not called gone."""
    tiers.put("edge", "sensor", [rows(tiers, stream, at) for at in (0, 5, 10)])
    told()
    sync()
    process = tiers.stores["edge"]

    async def remove() -> None:
        async with Store(process.url, process.token) as store:
            await store.delete(site_bucket(tiers.robot, "sensor"), stream, [T0])

    asyncio.run(remove())
    tiers.put("edge", "sensor", [rows(tiers, stream, 15)])
    told()
    again = sync()
    assert (again.total("rows"), again.missing) == (5, 0)
    assert [row["n"] for row in scalars(tmp_path, stream)] == list(range(20))


def test_records_gone_before_they_were_read_are_counted(
    tiers: Tiers, stream: str, told: Any, sync: Sync, tmp_path: Path
) -> None:
    """A record that the ledger tells of and nobody has any more makes the answer incomplete, by number."""
    tiers.put("edge", "sensor", [rows(tiers, stream, at) for at in (0, 5, 10)])
    told()
    process = tiers.stores["edge"]

    async def remove() -> None:
        async with Store(process.url, process.token) as store:
            await store.delete(site_bucket(tiers.robot, "sensor"), stream, [T0 + 5 * SECOND])

    asyncio.run(remove())
    synced = sync()
    assert (synced.total("rows"), synced.missing, synced.complete) == (10, 1, False)


def test_new_fields_are_new_columns(tiers: Tiers, stream: str, told: Any, sync: Sync, tmp_path: Path) -> None:
    """A field that comes later is a column that is empty before; one that goes is empty after."""
    tiers.put("edge", "sensor", [rows(tiers, stream, 0, ax=[1.0] * 5)])
    told()
    sync()
    tiers.put(
        "edge",
        "sensor",
        [rows(tiers, stream, 5, ax=[2.0] * 5, volts=[24.0] * 5), rows(tiers, stream, 10, volts=[25.0] * 5)],
    )
    told()
    sync()
    found = scalars(tmp_path, stream)
    assert [row["ax"] for row in found] == [1.0] * 5 + [2.0] * 5 + [None] * 5
    assert [row["volts"] for row in found] == [None] * 5 + [24.0] * 5 + [25.0] * 5


def test_a_field_that_changes_its_type_loses_nothing(
    tiers: Tiers, stream: str, told: Any, sync: Sync, tmp_path: Path
) -> None:
    """Whole numbers go into a column of floats; what a column cannot hold exactly gets one beside it."""
    tiers.put("edge", "sensor", [rows(tiers, stream, 0, v=[0.5] * 5, k=[1] * 5)])
    told()
    sync()
    tiers.put(
        "edge", "sensor",
        [rows(tiers, stream, 5, v=[2] * 5, k=[1.5] * 5), rows(tiers, stream, 10, v=["off"] * 5, k=[2**60 + 1] * 5)],
    )  # fmt: skip
    told()
    sync()
    found = scalars(tmp_path, stream)
    assert [row["v"] for row in found] == [0.5] * 5 + [2.0] * 5 + [None] * 5
    assert [row["v__string"] for row in found] == [None] * 10 + ["off"] * 5
    assert [row["k"] for row in found] == [1] * 5 + [None] * 5 + [2**60 + 1] * 5
    assert [row["k__double"] for row in found] == [None] * 5 + [1.5] * 5 + [None] * 5


def test_a_field_that_is_whole_and_float_at_once_is_a_float(
    tiers: Tiers, stream: str, told: Any, sync: Sync, tmp_path: Path
) -> None:
    """A program that logs 0 and then 0.5 has one column."""
    tiers.put("edge", "sensor", [rows(tiers, stream, 0, v=[0] * 5), rows(tiers, stream, 5, v=[0.5] * 5)])
    told()
    sync()
    assert [row["v"] for row in scalars(tmp_path, stream)] == [0.0] * 5 + [0.5] * 5


def test_a_field_that_is_told_to_be_a_float_is_one_from_the_start(
    tiers: Tiers, stream: str, told: Any, sync: Sync, tmp_path: Path
) -> None:
    """A window that has whole numbers only makes a column of floats where the stream's schema says so."""
    tiers.put("edge", "sensor", [rows(tiers, stream, 0, v=[0] * 5)])
    tiers.attach("edge", "sensor", stream, {"type": "time_series", "fields": {"v": {"dtype": "float64"}}})
    told()
    sync()
    tiers.put("edge", "sensor", [rows(tiers, stream, 5, v=[0.5] * 5)])
    told()
    sync()
    found = scalars(tmp_path, stream)
    assert [row["v"] for row in found] == [0.0] * 5 + [0.5] * 5
    assert "v__double" not in found[0]


def test_a_source_whose_time_runs_back_stands_in_order(
    tiers: Tiers, stream: str, told: Any, sync: Sync, tmp_path: Path
) -> None:
    """Rows that go back in time, or share one, are there once each; statistics of the file say its true bounds."""
    parts = [(0, 30, 10), (11, 90, 11)]
    for number, seconds in enumerate(parts):
        times = [T0 + at * SECOND for at in seconds]
        columns = {"n": [number * 3 + at for at in range(3)]}
        drafted = chunk(stream, times, columns, robot=tiers.robot, session="s1", seq=str(number * 3))
        tiers.put("edge", "sensor", [drafted])
    told()
    assert sync().complete
    found = scalars(tmp_path, stream)
    assert [row["n"] for row in found] == [0, 2, 3, 5, 1, 4]
    held = DeltaTable(str(tmp_path / "lake" / "scalars" / stream)).to_pyarrow_dataset().to_table()
    assert held["time_us"].to_pylist() == sorted(held["time_us"].to_pylist())


def test_odd_fields_find_a_column(tiers: Tiers, stream: str, told: Any, sync: Sync, tmp_path: Path) -> None:
    """Fields named as our own columns, alike but for case, or with signs no reader takes; lists; large numbers."""
    fields: dict[str, Any] = {
        "robot": [1.0] * 5, "A": [1.0] * 5, "a": [2.0] * 5, "my field": [True] * 5, "pos.x": [3.0] * 5,
        "q": np.ones((5, 4)), "big": np.array([2**64 - 1] * 5, np.uint64), "small": np.ones(5, np.float32),
    }  # fmt: skip
    tiers.put("edge", "sensor", [rows(tiers, stream, 0, **fields)])
    told()
    sync()
    row = scalars(tmp_path, stream)[0]
    assert (row["robot"], row["field__robot"], row["A"], row["my_field"], row["pos.x"]) == (
        tiers.robot, 1.0, 1.0, True, 3.0,
    )  # fmt: skip
    assert [value for name, value in row.items() if name.startswith("a__")] == [2.0]
    assert (row["q"], int(row["big"]), row["small"]) == ([1.0] * 4, 2**64 - 1, 1.0)


def test_bad_records_are_skipped_by_name(tiers: Tiers, stream: str, told: Any, sync: Sync, tmp_path: Path) -> None:
    """Bytes that are not those written, or no chunk, are named; the rows around them are there."""
    good, bad = rows(tiers, stream, 0), rows(tiers, stream, 5)
    torn = Draft(bad.entry, bad.time_us, bad.data[:-40] + b"\0" * 40, bad.labels, bad.content_type)
    tiers.put("edge", "sensor", [good, torn, rows(tiers, stream, 10)])
    told()
    synced = sync()
    assert len(synced.skipped) == 1
    assert f"{stream} at {bad.time_us}" in synced.skipped[0]
    assert (synced.missing, synced.complete) == (0, False)
    assert [row["n"] for row in scalars(tmp_path, stream)] == [*range(5), *range(10, 15)]


def test_pictures_are_listed_with_links(tiers: Tiers, stream: str, told: Any, sync: Sync, tmp_path: Path) -> None:
    """The catalog has size, type, labels and an address that gives out the bytes; labels given later are mended."""
    stream = f"cam/{stream}"
    shots = [blob(stream, T0 + n, b"x" * (n + 1), robot=tiers.robot, kind="images", site="dock") for n in range(3)]
    tiers.put("edge", "media", shots)
    told()
    sync()
    process = tiers.stores["edge"]

    async def keep() -> bytes:
        async with Store(process.url, process.token) as store:
            bucket = site_bucket(tiers.robot, "media")
            await store.relabel(bucket, {stream: [T0 + 1]}, {"keep": "1", "policy": "9f3a"})
            return b"".join([part async for part in store.read_stream(bucket, stream, T0 + 2)])

    assert asyncio.run(keep()) == b"xxx"
    tiers.put("edge", "media", [blob(stream, T0 + MINUTE, b"late", robot=tiers.robot, kind="images")])
    told()
    sync()
    found = media(tmp_path)
    assert [row["size_bytes"] for row in found] == [1, 2, 3, 4]
    assert [row["keep"] for row in found] == [None, "1", None, None]
    assert found[0]["labels"] == '{"site": "dock"}'
    assert found[2]["link"] == f"{process.url}/api/v1/b/{tiers.robot}--media/{stream}?ts={T0 + 2}"


def test_a_link_gives_out_the_bytes(tiers: Tiers, stream: str, told: Any, sync: Sync, tmp_path: Path) -> None:
    """The link works with nothing but a token."""
    import urllib.request

    tiers.put("edge", "log", [blob(f"a/{stream}", T0, b"hello", robot=tiers.robot, kind="log")])
    told()
    sync()
    process = tiers.stores["edge"]
    asked = urllib.request.Request(media(tmp_path)[0]["link"], headers={"Authorization": f"Bearer {process.token}"})
    with urllib.request.urlopen(asked, timeout=60) as answer:
        assert answer.read() == b"hello"


def test_episodes_stand_as_their_revisions_tell(tiers: Tiers, told: Any, sync: Sync, tmp_path: Path) -> None:
    """An episode is one row, changed where it was labelled later."""
    one = episodes.new_episode(episodes.Episode("", "picks/1", tiers.robot, ((T0, T0 + SECOND),), note="pick cup"))
    tiers.put("edge", "meta", list(episode_books.drafts([episodes.first(one)], T0 + 2)))
    told()
    assert sync().total("episodes") == 1
    later = episodes.change(one, "label", "ann", T0 + 5 * MINUTE, labels={"operator": "ann"}, success=True)
    tiers.put("edge", "meta", list(episode_books.drafts([later], T0 + 5 * MINUTE, "edge-1")))
    told()
    assert sync().total("episodes") == 1
    [row] = pl.read_delta(str(tmp_path / "lake" / "episodes")).to_dicts()
    assert (row["name"], row["note"], row["success"], row["version"]) == ("picks/1", "pick cup", True, 2)
    assert (json.loads(row["labels"]), row["streams"]) == ({"operator": "ann"}, ["**"])


def test_events_stand_as_their_last_revision_tells(
    tiers: Tiers, stream: str, told: Any, sync: Sync, tmp_path: Path
) -> None:
    """An event is one row: open at first, with its counts once it was labelled."""
    event = events.new_event(Event("", "hard_brake", tiers.robot, T0, T0 - SECOND, T0 + SECOND, note="dog"))
    other = events.new_event(Event("", "mark", tiers.robot, T0 + 1, T0, T0 + SECOND))
    tiers.put("edge", "meta", [events.draft(event, T0 + 2), events.draft(other, T0 + 3)])
    told()
    assert sync().total("events") == 2
    closed = events.Event(**{**json.loads(events.encode(event)), "state": "labelled", "labelled": {"imu": 7}})
    tiers.put("edge", "meta", [events.draft(closed, T0 + 5 * MINUTE, "edge-1")])
    told()
    assert sync().total("events") == 1
    found = pl.read_delta(str(tmp_path / "lake" / "events")).sort("time_us").to_dicts()
    assert [(row["kind"], row["records"], row["note"]) for row in found] == [("hard_brake", 7, "dog"), ("mark", 0, "")]


def test_the_lake_keeps_books_of_its_own(tiers: Tiers, stream: str, told: Any, sync: Sync, tmp_path: Path) -> None:
    """Each window that was taken is a row: from which page to which, and what it brought."""
    for at in (0, 5):
        tiers.put("edge", "sensor", [rows(tiers, stream, at)])
        told()
        sync()
    found = pl.read_delta(str(tmp_path / "lake" / "windows")).sort("until_us").to_dicts()
    assert [(row["site"], row["robot"], row["rows"], row["missing"]) for row in found] == [
        ("edge-1", tiers.robot, 5, 0)
    ] * 2
    assert found[1]["after_us"] == found[0]["until_us"]


@pytest.mark.timeout(600)
def test_a_sync_killed_at_any_moment_goes_on(
    tiers: Tiers, settings: Any, told: Any, sync: Sync, stream: str, tmp_path: Path
) -> None:
    """kill -9 again and again while many streams are written: at the end every row is there once."""
    streams = [f"{stream}-{n}" for n in range(4)]
    for name in streams:
        tiers.put("edge", "sensor", [rows(tiers, name, at) for at in range(0, 600, 5)])
        tiers.put("edge", "media", [blob(f"cam/{name}", T0 + n, b"x", robot=tiers.robot) for n in range(50)])
        told()
    command = [sys.executable, "-c", PATIENT + _KILLED, str(settings.source), str(tmp_path / "lake"), tiers.robot]
    done = subprocess.run(command, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 3
    assert sync().windows == 0
    for name in streams:
        assert [row["n"] for row in scalars(tmp_path, name)] == list(range(600))
    assert len(media(tmp_path)) == 50 * len(streams)


# A process of its own, which has no threads when it forks: starting Python anew for each sync takes seconds. Each child
# is killed once the lake has so many commits more, and a few ms later each time, to meet another step of a commit.
_KILLED = """
import os, signal, sys, time
from pathlib import Path
import deltalake, pyarrow.dataset
import fleetbox_query.lake.windows as windows
from fleetbox_query.fleet import connect
from fleetbox_query.lake import sync_lake
windows.by_bytes.__defaults__ = (10_000,)  # loads of two minutes or so: a window is many commits
source, lake, robot = sys.argv[1:]
killed, most, until_s = 0, 4, time.monotonic() + 400
while time.monotonic() < until_s:
    child = os.fork()
    if not child:
        with connect(source) as fleet:
            sync_lake(fleet.session, Path(lake), site="edge-1", robots=robot)
        os._exit(0)
    while os.waitpid(child, os.WNOHANG) == (0, 0):
        if len(list(Path(lake).glob("**/_delta_log/*.json"))) >= most:
            time.sleep(0.004 * killed)
            os.kill(child, signal.SIGKILL)
            killed, most = killed + 1, len(list(Path(lake).glob("**/_delta_log/*.json"))) + 4
            os.waitpid(child, 0)
            break
        time.sleep(0.001)
    else:
        print(killed)
        break
else:
    sys.exit("not finished in time")
"""


def test_a_site_whose_clock_was_set_back_is_heard(
    tiers: Tiers, stream: str, told: Any, sync: Sync, tmp_path: Path
) -> None:
    """Its ledger goes on after its last page whatever its clock says, so that no window is passed over."""
    tiers.put("edge", "sensor", [rows(tiers, stream, 0)])
    told()
    sync()
    tiers.put("edge", "sensor", [rows(tiers, stream, at) for at in (5, 60)])
    told(back_s=120)
    assert sync().total("rows") == 10
    assert sync().windows == 0
    assert [row["n"] for row in scalars(tmp_path, stream)] == [*range(10), *range(60, 65)]


def test_two_at_once_are_one(fleet: Fleet, tiers: Tiers, sync: Sync, tmp_path: Path) -> None:
    """A second sync into the same lake is turned away."""
    from fleetbox_query.lake.folder import only_one

    with only_one(tmp_path / "lake"), pytest.raises(InputError, match="another sync"):
        sync()


def test_two_sites_fill_one_lake(
    tiers: Tiers, stream: str, told: Any, sync: Sync, fleet: Fleet, tmp_path: Path
) -> None:
    """What both sites hold is in the lake once; what only one of them holds is there too."""
    shared = [rows(tiers, stream, 0), rows(tiers, stream, 5)]
    tiers.put("edge", "sensor", shared)
    tiers.put("cloud", "sensor", [*shared, rows(tiers, stream, 10)])
    tiers.put("cloud", "meta", [])
    told()
    sync()
    process = tiers.stores["cloud"]

    async def tell() -> None:
        async with Store(process.url, process.token) as store:

            async def own() -> list[str]:
                return [tiers.robot]

            await Census(lambda: store, CensusScope("cloud", own, site_bucket), tmp_path / "census-2").flush()

    asyncio.run(tell())
    assert sync_lake(fleet.session, tmp_path / "lake", robots=tiers.robot).total("rows") == 5
    assert [row["n"] for row in scalars(tmp_path, stream)] == list(range(15))


def test_a_full_disk_leaves_what_was_committed(
    tiers: Tiers, stream: str, told: Any, sync: Sync, tmp_path: Path
) -> None:
    """A lake that cannot be written raises a clear error; once there is room it goes on."""
    tiers.put("edge", "sensor", [rows(tiers, stream, 0)])
    told()
    sync()
    tiers.put("edge", "sensor", [rows(tiers, stream, 5)])
    told()
    log = tmp_path / "lake" / "scalars" / stream / "_delta_log" / "00000000000000000001.json"
    log.mkdir()  # what stands in the way of a commit, to root too
    with pytest.raises(Exception, match="lake"):
        sync()
    log.rmdir()
    sync()
    assert [row["n"] for row in scalars(tmp_path, stream)] == list(range(10))


def test_no_room_is_told_and_goes_on(
    tiers: Tiers, stream: str, told: Any, settings: Any, sync: Sync, tmp_path: Path
) -> None:
    """A disk that takes no more ends a sync with one line; with room the same words bring every row once."""
    numbers = np.random.default_rng(1).random(20_000).tolist()
    times = [T0 + n * 1000 for n in range(len(numbers))]
    tiers.put("edge", "sensor", [chunk(stream, times, {"n": numbers}, robot=tiers.robot)])
    told()

    def small_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))

    words = [sys.executable, "-c", MAIN, "lake", "sync", "--to", str(tmp_path / "lake"), "--site", "edge-1"]
    words += ["--robot", tiers.robot, "--fleet", str(settings.source)]
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}  # half a .pyc would stay
    done = subprocess.run(
        words, env=environment, preexec_fn=small_files, capture_output=True, text=True, timeout=170, check=False
    )
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert str(tmp_path / "lake") in done.stderr
    assert "next:" in done.stderr
    sync()
    assert [row["n"] for row in scalars(tmp_path, stream)] == numbers


def test_robots_that_measure_in_several_units_are_named(
    tiers: Tiers, stream: str, told: Any, settings: Any, tmp_path: Path
) -> None:
    """One table takes rows in rad and in deg: the sync says whose are which."""
    other, first = f"{tiers.robot}-b", tiers.robot
    for robot, unit in ((first, "rad"), (other, "deg")):
        tiers.robot = robot
        tiers.put("edge", "meta", [])
        tiers.put("edge", "sensor", [rows(tiers, stream, 0)])
        tiers.attach("edge", "sensor", stream, {"type": "time_series", "fields": {"n": {"unit": unit}}})
        told()
    glob = f"{first}*"
    done = run(settings.source, "lake", "sync", "--to", str(tmp_path / "lake"), "--site", "edge-1", "--robot", glob)
    assert done.returncode == 0, done.stderr
    assert f"{stream}:n is told in several units: {first} rad, {other} deg" in done.stderr


def test_the_verbs_tell_programs_and_people(
    tiers: Tiers, stream: str, told: Any, settings: Any, tmp_path: Path
) -> None:
    """sync, ls and compact answer with one JSON object, and a person with a line."""
    where = ("--to", str(tmp_path / "lake"))
    for at in (0, 5, 10):
        tiers.put("edge", "sensor", [rows(tiers, stream, at)])
        told()
        done = run(settings.source, "lake", "sync", *where, "--site", "edge-1", "--robot", tiers.robot, "--json")
        answer = json.loads(done.stdout)
        assert (done.returncode, answer["rows"], answer["robots"][tiers.robot]["records"]) == (0, 5, 1)
    listed = json.loads(run(settings.source, "lake", "ls", *where, "--json").stdout)["tables"]
    assert {one["table"]: (one["rows"], one["files"]) for one in listed}[f"scalars/{stream}"] == (15, 3)
    assert (
        json.loads(run(settings.source, "lake", "compact", *where, "--json").stdout)["fewer_files"][f"scalars/{stream}"]
        == 2
    )
    assert [row["n"] for row in scalars(tmp_path, stream)] == list(range(15))
    again = run(settings.source, "lake", "sync", *where, "--site", "edge-1", "--robot", tiers.robot)
    assert (again.returncode, again.stdout.strip()) == (0, f"{tmp_path}/lake: nothing new at edge-1")
    assert f"scalars/{stream}" in run(settings.source, "lake", "ls", *where).stdout


def test_a_robot_without_books_is_named(tiers: Tiers, settings: Any, stream: str, tmp_path: Path) -> None:
    """A site that never counted a robot gives nothing, says so and exits with 3."""
    tiers.put("edge", "meta", [])
    done = run(
        settings.source, "lake", "sync", "--to", str(tmp_path / "lake"), "--site", "edge-1", "--robot", tiers.robot
    )
    assert done.returncode == 3
    assert f"no ledger of edge-1 about {tiers.robot}" in done.stderr


def test_no_lake_and_no_such_site_are_said(settings: Any, fleet: Fleet, tmp_path: Path) -> None:
    """A folder without a lake and an unknown site are named with what to do."""
    assert "there is no lake" in run(settings.source, "lake", "ls", "--to", str(tmp_path / "none")).stderr
    with pytest.raises(NotFound, match="mars"):
        sync_lake(fleet.session, tmp_path / "lake", site="mars")

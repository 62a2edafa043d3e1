"""Searching events: by words, labels, length and place; the index always says what the stores hold."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from half_written import half_written

from fleetbox.blobs import Store
from fleetbox.errors import InputError
from fleetbox.events import Event, draft
from fleetbox_query import event_index
from fleetbox_query.event_columns import Bounds
from fleetbox_query.event_index import index_path
from fleetbox_query.event_search import Box, Circle, Search, distance_m, metres, parse_box, parse_circle
from fleetbox_query.fleet import Fleet

from .conftest import Tiers, chunk
from .test_cli import run

T0 = 1_760_000_000_000_000  # µs
SECOND = 1_000_000
MUNICH, FREISING = (48.137, 11.575), (48.402, 11.744)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An index of its own for each test."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


def event(robot: str, at_s: int, kind: str = "brake", note: str = "", seconds: int = 2, **labels: str) -> Event:
    """An event of so many seconds."""
    time_us = T0 + at_s * SECOND
    return Event(f"{kind}-{at_s}", kind, robot, time_us, time_us, time_us + seconds * SECOND, note=note, labels=labels)


def put(tiers: Tiers, *events: Event, tier: str = "edge", late_us: int = 0, site: str = "") -> None:
    """Write events as revisions."""
    tiers.put(tier, "meta", [draft(one, one.time_us + late_us, site) for one in events])


def found(fleet: Fleet, robot: str, kind: str | None = None, **asked: object) -> list[str]:
    """The ids that a search gives."""
    return [one.id for one in fleet.events(kind).robots(robot).search(**asked).list()]  # type: ignore[arg-type]


def test_words_labels_length_and_kind(tiers: Tiers, fleet: Fleet) -> None:
    """Every condition narrows down, whatever the case of words, and calls add up."""
    robot = tiers.robot
    put(
        tiers,
        event(robot, 1, note="Pallet slipped off", severity="high"),
        event(robot, 2, note="pallet stands", severity="low", seconds=60),
        event(robot, 3, "door", note="opened twice, Öl on the floor", severity="high"),
    )
    assert found(fleet, robot, text="pallet") == ["brake-1", "brake-2"]
    assert found(fleet, robot, text="SLIPPED pallet") == ["brake-1"]
    assert found(fleet, robot, text="öl") == ["door-3"]
    assert found(fleet, robot, severity="high") == ["brake-1", "door-3"]
    assert found(fleet, robot, "d*", severity="high") == ["door-3"]
    assert found(fleet, robot, longer="10s") == ["brake-2"]
    assert found(fleet, robot, shorter="10s", labels={"severity": "high"}) == ["brake-1", "door-3"]
    assert found(fleet, robot) == ["brake-1", "brake-2", "door-3"]
    events = fleet.events("brake").robots(robot).between(T0 + 2 * SECOND, None)
    assert [one.id for one in events.search("pallet").search("stands", severity="low")] == ["brake-2"]
    with pytest.raises(InputError, match="two things"):
        events.search(severity="low").search(severity="high")


def test_places(tiers: Tiers, fleet: Fleet) -> None:
    """Circles and boxes choose by the labels of a place; an event that tells none is in neither."""
    robot = tiers.robot
    here, there = ({"lat": str(lat), "lon": str(lon)} for lat, lon in (MUNICH, FREISING))
    put(tiers, event(robot, 1, **here), event(robot, 2, **there), event(robot, 3), event(robot, 4, x="3", y="4"))
    assert found(fleet, robot, near=(*MUNICH, "200m")) == ["brake-1"]
    assert found(fleet, robot, near=(*MUNICH, "40 km")) == ["brake-1", "brake-2"]
    assert found(fleet, robot, box=(48.3, 11.7, 48.5, 11.8)) == ["brake-2"]
    assert found(fleet, robot, near=(0, 0, 5), plane=True) == ["brake-4"]
    assert found(fleet, robot, near=(0, 0, 4.9), plane=True) == []
    with pytest.raises(InputError):
        found(fleet, robot, near=(100, 0, "1m"))


def test_the_index_follows_the_store(tiers: Tiers, fleet: Fleet) -> None:
    """New, late and closing revisions are found by the next search, each event once."""
    robot = tiers.robot
    put(tiers, event(robot, 100))
    assert found(fleet, robot, text="brake") == ["brake-100"]
    put(tiers, event(robot, 200))
    assert found(fleet, robot, text="brake") == ["brake-100", "brake-200"]
    put(tiers, event(robot, 50, note="late"))
    assert found(fleet, robot, text="brake") == ["brake-50", "brake-100", "brake-200"]
    closed = replace(event(robot, 200), state="labelled", labelled={"imu": 7})
    put(tiers, closed, late_us=5)
    put(tiers, replace(closed, labelled={"imu": 3, "cam": 2}), late_us=6, site="edge-1")
    put(tiers, event(robot, 200), tier="cloud")
    last = fleet.events().robots(robot).search("brake").list()[-1]
    assert (last.state, last.labelled) == ("labelled", {"cam": 2, "imu": 7})
    assert [one.id for one in fleet.events().robots(robot).list()] == found(fleet, robot)


@pytest.mark.parametrize("known", [0, 2])
def test_an_event_still_being_written_is_found_once_it_is(tiers: Tiers, fleet: Fleet, known: int) -> None:
    """What a store counts before it can be read is not taken for known, in an index that is new or was read before."""
    robot = tiers.robot
    put(tiers, event(robot, 1), event(robot, 2))
    if known:
        assert len(found(fleet, robot)) == known
    coming = event(robot, 3)

    async def search() -> list[str]:
        return await asyncio.to_thread(found, fleet, robot)

    async def scene() -> None:
        whole = draft(coming, coming.time_us)
        async with half_written(tiers.stores["edge"], f"{robot}--meta", whole) as end:  # type: ignore[arg-type]
            for _ in range(2):
                assert await search() == ["brake-1", "brake-2"]
            await end()
        for _ in range(2):
            assert await search() == ["brake-1", "brake-2", "brake-3"]

    asyncio.run(scene())


def test_a_damaged_index_is_made_anew(tiers: Tiers, fleet: Fleet, cache: Path) -> None:
    """A cache that is no database, or cannot be written, costs another reading and nothing else."""
    put(tiers, event(tiers.robot, 1))
    path = index_path(tiers.stores["edge"].url)
    assert path.is_relative_to(cache)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"no database at all" * 100)
    assert found(fleet, tiers.robot) == ["brake-1"]
    assert path.stat().st_mode & 0o077 == 0
    for one in path.parent.iterdir():
        one.unlink()
    path.mkdir()  # where no file can be made
    assert found(fleet, tiers.robot) == ["brake-1"]


def test_found_events_choose_streams(tiers: Tiers, fleet: Fleet, stream: str) -> None:
    """A search is a question like any other: streams around what it finds."""
    put(tiers, event(tiers.robot, 1, note="pallet"), event(tiers.robot, 9))
    times = [T0 + n * SECOND for n in range(12)]
    tiers.put("edge", "sensor", [chunk(stream, times, {"n": list(range(12))}, robot=tiers.robot)])
    chosen = fleet.events().robots(tiers.robot).search("pallet").select(stream, pre="1s", post="0s")
    assert chosen.frames()["n"].tolist() == [0, 1]


def test_the_command_line_searches(tiers: Tiers, tmp_path: Path) -> None:
    """`fleetbox event search` takes words and options, shows the newest, says how many there are, and exits by rule."""
    put(tiers, *(event(tiers.robot, at, note="pallet", severity="low", lat="1", lon="2") for at in range(1, 4)))
    path, asked = tiers.write_fleet(tmp_path), ("event", "search", "--robot", tiers.robot)
    done = run(path, *asked, "pallet", "--severity", "low", "--near", "1,2,1m", "--longer", "1s", "--json")
    answer = json.loads(done.stdout)
    assert (done.returncode, answer["schema_version"], answer["found"]) == (0, 1, 3)
    assert [one["id"] for one in answer["events"]] == ["brake-1", "brake-2", "brake-3"]
    done = run(path, *asked, "--label", "severity=low", "--limit", "1", "--box", "0,0,5,5")
    assert "brake-3" in done.stdout
    assert "brake-1" not in done.stdout
    assert "newest 1 of 3" in done.stderr
    assert "no event is like that" in run(path, *asked, "nothing").stderr
    assert run(path, *asked, "--near", "x").returncode == 2
    assert run(path, *asked, "--last", "1h", "--start", "-2h").returncode == 2


def test_distances_and_texts() -> None:
    """Known distances on earth, and the texts of circles and boxes."""
    assert distance_m(*MUNICH, *FREISING) == pytest.approx(32_000, rel=0.03)
    assert metres("1.5 km") == 1500
    assert metres("200m") == metres(200) == metres("200") == 200
    assert parse_circle("48.1,11.5,2km") == Circle(48.1, 11.5, 2000.0)
    assert parse_box("1,170,2,-170").holds(1.5, 179)
    assert not parse_box("1,170,2,-170").holds(1.5, 0)
    assert Circle(0, 179.999, 500).holds(0, -179.999)
    assert not Box(0, 0, 1, 1).holds(0.5, 2)


@pytest.mark.parametrize("text", ["48,11", "48,11,0", "48,11,-5m", "a,b,c", "95,0,1m", "48,11,1m,2"])
def test_a_circle_that_is_none(text: str) -> None:
    """What is no place and radius is refused."""
    with pytest.raises(InputError):
        parse_circle(text)


@pytest.mark.parametrize("text", ["1,2,3", "2,0,1,1", "0,0,95,1", "0,0,x,1", "nan,0,1,1"])
def test_a_box_that_is_none(text: str) -> None:
    """What is no two corners, the lower first, is refused."""
    with pytest.raises(InputError):
        parse_box(text)


def test_a_search_from_a_time_on_reads_no_further_back(tiers: Tiers, fleet: Fleet, cache: Path) -> None:
    """The first search reads what its beginning can reach; a later one that begins earlier reads the rest."""
    robot, day_s = tiers.robot, 86_400
    put(tiers, *(event(robot, day * day_s, severity="high") for day in range(4)))

    def known() -> list[str]:
        with closing(sqlite3.connect(next(cache.rglob("*.sqlite")))) as index:
            asked = "SELECT id FROM revisions JOIN sources ON source = number WHERE bucket = ? ORDER BY time_us"
            return [row[0] for row in index.execute(asked, [f"{robot}--meta"])]

    def since(day: float) -> list[str]:
        events = fleet.events().robots(robot).between(T0 + int(day * day_s * SECOND), None)
        return [one.id for one in events.search(severity="high").list()]

    ids = [f"brake-{day * day_s}" for day in range(4)]
    assert since(2.5) == known() == ids[3:]
    assert since(0.5) == known() == ids[1:]
    put(tiers, event(robot, 4 * day_s, severity="high"))
    assert since(3.5) == [f"brake-{4 * day_s}"]
    assert since(0.5) == [*ids[1:], f"brake-{4 * day_s}"]
    put(tiers, event(robot, day_s + 1, severity="high"))  # comes late, behind what was read
    assert since(0.5) == [ids[1], f"brake-{day_s + 1}", *ids[2:], f"brake-{4 * day_s}"]
    assert found(fleet, robot, severity="high")[0] == ids[0]


def test_an_interrupted_index_goes_on(tiers: Tiers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was read before the interruption stands, and only the rest is read the next time."""
    monkeypatch.setattr(event_index, "AT_ONCE", 2)
    robot, bucket = tiers.robot, f"{tiers.robot}--meta"
    put(tiers, *(event(robot, at) for at in range(9)))
    told: list[int] = []

    def stop(count: int, whole: int) -> None:
        told.append(count)
        if count == 6:
            raise RuntimeError("interrupted")

    async def bring_up(tell: event_index.Tell) -> list[str]:
        server = tiers.stores["edge"]
        async with Store(server.url, server.token) as store:
            with closing(event_index.EventIndex(tmp_path / "index.sqlite")) as index:
                entries = [one for one in await store.entries(bucket) if one.name == "events"]
                await index.bring_up(store, {bucket: entries}, tell=tell)
                return sorted(one.id for _, _, one in index.find(bucket, Search(), Bounds()))

    with pytest.raises(RuntimeError, match="interrupted"):
        asyncio.run(bring_up(stop))
    assert told == [2, 4, 6]
    told.clear()
    assert asyncio.run(bring_up(lambda count, whole: told.append(count))) == sorted(f"brake-{at}" for at in range(9))
    assert max(told) <= 9 - 4, "it began again"

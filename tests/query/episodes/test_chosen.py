"""Episodes as views: made, found, changed, split, merged, dropped, at real stores, without touching a record."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from fleetbox.blobs import Store
from fleetbox.errors import InputError, NotFound
from fleetbox_query.episodes.chosen import Episodes
from fleetbox_query.fleet import Fleet

from ..conftest import Tiers, chunk

T0 = 1_760_000_000_000_000  # µs
SECOND = 1_000_000


@pytest.fixture
def recorded(tiers: Tiers) -> Tiers:
    """A robot with 60 s of rows at 1 Hz in streams imu and odom, at the edge."""
    for name in ("imu", "odom"):
        drafts = [
            chunk(name, [T0 + at * SECOND], {"ax": [float(at)], "ay": [1.0], "n": [at]}, robot=tiers.robot)
            for at in range(60)
        ]
        tiers.put("edge", "sensor", drafts)
        fields = {name: {"dtype": "float64"} for name in ("ax", "ay", "n")}
        tiers.attach("edge", "sensor", name, {"type": "time_series", "fields": fields}, robot=tiers.robot)
    tiers.put("edge", "meta", [chunk("made", [T0], {"n": [0]}, robot=tiers.robot)])
    return tiers


def ten(fleet: Fleet, robot: str, prefix: str = "picks") -> Episodes:
    """Ten episodes of 2 s each, every other one a success."""
    for at in range(10):
        start = T0 + at * 4 * SECOND
        fleet.new_episode(
            f"{prefix}/{at}", robot, start, start + 2 * SECOND, streams=["imu"], note="pick cup", success=at % 2 == 0,
            labels={"operator": "ann" if at < 5 else "bob"}, fps=30,
        )  # fmt: skip
    return fleet.episodes(f"{prefix}/*").robots(robot)


def test_an_episode_shows_what_its_view_says(fleet: Fleet, recorded: Tiers) -> None:
    """Interval and streams cut the rows; asked for outright, another stream within the interval comes too."""
    made = fleet.new_episode("one", recorded.robot, T0, T0 + 3 * SECOND, streams=["imu"], note="look")
    mine = fleet.episodes("one").robots(recorded.robot)
    assert mine.list() == [fleet.episodes(made.id).list()[0]]
    assert list(mine.frames()["ax"]) == [0.0, 1.0, 2.0]
    assert mine.size().rows == 3
    assert list(mine.select("odom:n").frames()["n"]) == [0, 1, 2]
    assert [episode.note for episode in mine] == ["look"]


def test_a_name_that_is_nearly_right_is_told(fleet: Fleet, recorded: Tiers) -> None:
    """A typo in an episode's name is answered with the name that was meant."""
    name = f"{recorded.robot}/brakes"
    fleet.new_episode(name, recorded.robot, T0, T0 + SECOND)
    with pytest.raises(NotFound, match="not known") as missing:
        fleet.episodes(f"{name}x").frames()
    assert name in str(missing.value.next_step)


def test_episodes_are_found_by_what_is_said_of_them(fleet: Fleet, recorded: Tiers) -> None:
    """Name, note, label, success, CEL and time choose; an unknown name says what there is."""
    ten(fleet, recorded.robot)
    mine = fleet.episodes().robots(recorded.robot)
    assert len(mine) == 10
    assert len(fleet.episodes("pick cup").robots(recorded.robot).where("success && seconds > 1")) == 5
    assert len(mine.where(operator="ann").where("!success")) == 2
    assert [one.name for one in mine.between(T0, T0 + 5 * SECOND)] == ["picks/0", "picks/1"]
    with pytest.raises(NotFound, match="'nothing' is not known"):
        fleet.episodes("nothing").list()


def test_changes_are_versions(fleet: Fleet, recorded: Tiers) -> None:
    """A label makes version 2, version 1 is still there; dropped is hidden and comes back; a clash of names is told."""
    robot = recorded.robot
    ten(fleet, robot, robot)
    one = fleet.episodes(f"{robot}/0")
    one.label(operator=None, quality="good", note="pick mug")
    [now], [then] = one.list(), fleet.episodes(f"{robot}/0@1").list()
    assert (now.version, dict(now.labels), now.note) == (2, {"quality": "good"}, "pick mug")
    assert (then.version, dict(then.labels), then.note) == (1, {"operator": "ann"}, "pick cup")
    assert now.digest != then.digest
    one.drop()
    with pytest.raises(NotFound, match="was dropped"):
        one.list()
    one.restore()
    assert one.list()[0].version == 4
    with pytest.raises(InputError, match="already"):
        fleet.new_episode(f"{robot}/0", robot, T0, T0 + 1)
    with pytest.raises(NotFound, match="no version 9"):
        fleet.episodes(f"{robot}/0@9").list()


def test_split_and_merge_follow_lerobots_rules(fleet: Fleet, recorded: Tiers) -> None:
    """Fractions to at most 1, the last takes the remainder; parts are disjoint; merging wants alike episodes."""
    robot = recorded.robot
    mine = ten(fleet, robot, f"{robot}/all")
    before = held(recorded)
    parts = mine.split({f"{robot}/train": 0.75, f"{robot}/val": 0.25})
    train, val = (list(part) for part in parts.values())
    assert (len(train), len(val)) == (7, 3)
    assert [one.name for one in val] == [f"{robot}/val/{at:06d}" for at in range(3)]
    parents = [one.parents[0] for one in (*train, *val)]
    assert parents == [one.reference for one in mine]
    both = parts[f"{robot}/val"].merge(f"{robot}/both", parts[f"{robot}/train"])
    assert [one.start_us for one in both] == [one.start_us for one in (*val, *train)]
    assert held(recorded) == before, "a view is no copy"
    with pytest.raises(InputError, match="more than 1"):
        mine.split({"a": 0.8, "b": 0.3})
    with pytest.raises(InputError, match="would be in"):
        mine.split({"a": [0, 1], "b": [1]})
    with pytest.raises(InputError, match="already"):
        mine.split({f"{robot}/train": 0.5})
    fleet.episodes(f"{robot}/all/3").label(fps=10)
    with pytest.raises(InputError, match=r"fps 30(.0)? is not 10"):
        mine.merge(f"{robot}/no")


def test_features_are_computed_and_removed(fleet: Fleet, recorded: Tiers) -> None:
    """A computed field stands in frames, tables and records; a removed one is gone; the rules are LeRobot's."""
    robot = recorded.robot
    fleet.new_episode(f"{robot}/f", robot, T0, T0 + 3 * SECOND)
    mine = fleet.episodes(f"{robot}/f")
    mine.add_feature("imu:far", "hypot(ax, ay) > 2 && ax > 0")
    mine.add_feature("imu:twice", "2 * ax")
    mine.remove_feature("imu:ay")
    mine.remove_feature("odom")
    frame = mine.frames()
    assert list(frame.columns) == ["ax", "n", "far", "twice"]
    assert list(frame["twice"]) == [0.0, 2.0, 4.0]
    assert list(frame["far"]) == [False, False, True]
    fields: list[Any] = [item.fields for item in mine.select().records()]
    assert fields[2] == {"ax": 2.0, "n": 2, "far": True, "twice": 4.0}
    assert list(mine.select("imu:twice").frames().columns) == ["twice"]
    mine.bring_back("imu:ay")
    mine.remove_feature("imu:far")
    assert set(mine.frames().columns) == {"ax", "ay", "n", "twice"}
    for call, message in (
        (lambda: mine.remove_feature("imu:timestamp"), "cannot be removed"),
        (lambda: mine.remove_feature("imu:none"), "has no feature"),
        (lambda: mine.add_feature("imu:ax", "1"), "already"),
        (lambda: mine.add_feature("imu:z", "az + 1"), "has not"),
        (lambda: mine.add_feature("imu:z", "__import__('os')"), "no arithmetic|takes"),
    ):
        with pytest.raises(InputError, match=message):
            call()


def test_a_removed_field_stays_away_beside_an_episode_that_shows_it(fleet: Fleet, recorded: Tiers) -> None:
    """One selection of episodes with other features: each field has values in the times of those that show it."""
    robot = recorded.robot
    for at, name in enumerate(("x", "y", "z")):
        fleet.new_episode(f"{robot}/m/{name}", robot, T0 + at * 2 * SECOND, T0 + (at + 1) * 2 * SECOND, streams=["imu"])
    fleet.episodes(f"{robot}/m/x").remove_feature("imu:ay")
    for feature in ("imu:n", "imu:ay"):
        fleet.episodes(f"{robot}/m/y").remove_feature(feature)
    mine = fleet.episodes(f"{robot}/m/*")
    frame = mine.frames()
    assert list(frame["ax"]) == [float(at) for at in range(6)]
    assert frame["ay"].isna().tolist() == [True, True, True, True, False, False]
    assert frame["n"].isna().tolist() == [False, False, True, True, False, False]
    rows = [set(item.fields or {}) for item in mine.select().records()]
    assert rows == [{"ax", "n"}] * 2 + [{"ax"}] * 2 + [{"ax", "ay", "n"}] * 2
    both = fleet.episodes(f"{robot}/m/x", f"{robot}/m/y").frames()
    assert list(both.columns) == ["ax", "n"]


def test_events_become_episodes(fleet: Fleet, recorded: Tiers) -> None:
    """An episode per event, with its interval, labels and parent."""
    from fleetbox.events import Event, encode, new_event

    from ..conftest import blob

    event = new_event(
        Event("", "grasp", recorded.robot, T0 + SECOND, T0, T0 + 2 * SECOND, labels={"hand": "left"}, note="mug")
    )
    recorded.put("edge", "meta", [blob("events", T0, encode(event), robot=recorded.robot, kind="event")])
    [made] = fleet.events("grasp").robots(recorded.robot).episodes(f"{recorded.robot}/g", "imu").list()
    assert made.note == "mug"
    assert made.parents == (f"event:{event.id}",)
    assert dict(made.labels) == {"hand": "left", "kind": "grasp"}
    assert made.intervals == ((T0, T0 + 2 * SECOND + 1),)


def test_one_is_cut_and_several_are_joined(fleet: Fleet, recorded: Tiers) -> None:
    """Pieces tile the interval; joined ones have both intervals, and a frame of both."""
    robot = recorded.robot
    fleet.new_episode(f"{robot}/c", robot, T0, T0 + 10 * SECOND, streams=["imu"])
    pieces = fleet.episodes(f"{robot}/c").cut(T0 + 4 * SECOND)
    assert [one.intervals for one in pieces] == [((T0, T0 + 4 * SECOND),), ((T0 + 4 * SECOND, T0 + 10 * SECOND),)]
    fleet.new_episode(f"{robot}/d", robot, T0 + 20 * SECOND, T0 + 22 * SECOND, streams=["imu"])
    both = fleet.episodes(f"{robot}/c/000000", f"{robot}/d").join(f"{robot}/j")
    assert len(both.intervals) == 2
    assert list(fleet.episodes(both.id).frames()["n"]) == [0, 1, 2, 3, 20, 21]


def held(tiers: Tiers) -> dict[str, int]:
    """Return the bytes of each class of the robot at the edge, but for `meta`."""

    async def ask() -> dict[str, int]:
        process = tiers.stores["edge"]
        async with Store(process.url, process.token, name="edge") as store:
            sizes = await store.bucket_sizes()
        return {
            name: size for name, size in sizes.items() if name.startswith(f"{tiers.robot}--") and "meta" not in name
        }

    return asyncio.run(ask())

"""A plan says of each stream what is recorded, kept and shipped, by which rule, and what would change."""

from __future__ import annotations

from pathlib import Path

from fleetbox.settings import load_fleet, parse_policy
from fleetbox_edge.linting import KnownStream
from fleetbox_edge.planning import BUILT_IN, glob_of, plan_rules, plan_streams
from fleetbox_edge.planning_tasks import plan_hops

OLD = parse_policy('[stream."log/**"]\nship = "always"\n')
NEW = parse_policy(
    '[stream."cam/*"]\nship = "small"\nthumbnail = { every = "10s" }\n'
    '[stream.imu]\nship = "always"\nat = "22:00-06:00"\nevery = "20ms"\n'
    '[stream.force]\nring = "ram 60 s"\nretention = "2d"\n[stream."debug/**"]\nship = "never"\n'
    '[hop.cloud]\nskip = ["lidar"]\n'
)
KNOWN = [
    KnownStream("cam/front", "media", "images", {}, 30.0, 600_000.0),
    KnownStream("cam/front/thumbnail", "small", "images", {}, 0.1, 200.0),
    KnownStream("debug/x", "log", "log"),
    KnownStream("force", "sensor", "time_series", {}, 100.0, 1_000.0),
    KnownStream("imu", "sensor", "time_series", {}, 100.0, 10_000.0),
    KnownStream("log/app", "log", "log", {}, 1.0, 100.0),
]


def test_each_stream_by_its_rule() -> None:
    """Small frames stand with their stream, bytes a day follow from the rate, and changes are named."""
    rows = {row.stream: row for row in plan_streams(NEW, OLD, KNOWN)}
    assert list(rows) == ["cam/front", "debug/x", "force", "imu", "log/app"]
    cam = rows["cam/front"]
    assert (cam.rule, cam.ships, cam.bytes_per_day) == ("cam/*", "small frames only", 2_000 * 0.1 * 86_400)
    assert cam.small == "thumbnail 120x68 each 10 s always to cloud"
    assert cam.was == {"ships": "with an event", "to": "cloud", "small": "-"}
    assert (rows["imu"].ships, rows["imu"].bytes_per_day) == ("always, 22:00-06:00", 5_000 * 86_400)
    assert rows["imu"].recorded == "one each 20 ms"
    assert rows["force"].recorded == "all; 60 s in memory only, to disk with an event"
    assert rows["force"].kept == "2.0 d, then deleted"
    assert (rows["debug/x"].ships, rows["debug/x"].bytes_per_day) == ("never", 0.0)
    assert (rows["log/app"].rule, rows["log/app"].was) == (BUILT_IN, {"ships": "always"})


def test_rules_where_no_robot_is_known() -> None:
    """Without a robot there is a row per rule, and one for every other stream."""
    assert [row.stream for row in plan_rules(NEW, NEW)] == ["cam/*", "imu", "force", "debug/**", "(any other)"]
    assert all(row.was == {} for row in plan_rules(NEW, NEW))


def test_which_rule_decides() -> None:
    """Small frames are decided by the rule of what they are made of."""
    assert glob_of(NEW, "cam/front/thumbnail") == "cam/*"
    assert glob_of(NEW, "somewhere/else") == BUILT_IN


def test_the_tasks_that_follow(tmp_path: Path) -> None:
    """Each hop's tasks are named with what they skip and which of them change."""
    (tmp_path / "fleet.toml").write_text(
        '[[robots]]\nmatch = "r1"\nsite = "edge"\nstore = "http://r1:1"\ntoken = { env = "T" }\n'
        '[site.edge]\nstore = "http://e:1"\ntoken = { env = "T" }\nnext = "cloud"\n'
        '[site.cloud]\nstore = "http://c:1"\ntoken = { env = "T" }\n'
    )
    hops = list(plan_hops(load_fleet(tmp_path / "fleet.toml"), NEW, OLD, "r1"))
    assert [(hop.from_place, hop.to_site) for hop in hops] == [("r1", "edge"), ("edge", "cloud")]
    assert hops[0].changed == ()
    assert "r1--sensor-to-cloud" in hops[1].changed
    assert "not lidar" in hops[1].line()

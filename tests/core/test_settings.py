"""Settings files: samples load, faults come all at once, secrets never show."""

import re
from pathlib import Path

import pytest

from fleetbox.errors import AccessDenied, InputError, SettingsError
from fleetbox.settings import find_fleet, load_fleet, load_policy, load_robot
from fleetbox.settings.policy import parse_policy

SAMPLES = Path(__file__).parents[2] / "core" / "fleetbox" / "samples"

BAD_FLEET = """
fleet = 3
unknown = 1
[[robots]]
match = "r1"
site = "nowhere"
[site.edge]
store = "foo"
token = "s3cret"
next = "gone"
quota = { sensor = "1 XB" }
"""


def test_the_samples_load(monkeypatch: pytest.MonkeyPatch) -> None:
    """The shipped samples are usable as they stand."""
    monkeypatch.setenv("FLEETBOX_CLOUD_TOKEN", "t")
    fleet = load_fleet(SAMPLES / "fleet.toml")
    robot = load_robot(SAMPLES / "robot.toml", {"hostname": "wh1-7"})

    assert robot.robot == "wh1-7"
    assert robot.policy.hash == fleet.policy.hash == load_policy(SAMPLES / "policy.toml").hash
    assert fleet.site_place("cloud").tier == "cloud"
    assert (robot.ring.sensor, robot.ring.ram) == (40_000_000_000, 64_000_000)


def test_what_the_sample_policy_shows_in_comments_is_usable() -> None:
    """Every line of the sample that waits behind a # can be switched on as it stands."""
    text = re.sub(r"(?m)^# (?=\[|[a-z_]+ *= )", "", (SAMPLES / "policy.toml").read_text(encoding="utf-8"))
    policy = parse_policy(text)

    assert set(policy.trigger) == {"hard_brake", "camera_gone", "left_the_yard"}
    assert policy.rule_for("cam/front").ring == 60_000_000
    assert policy.event_rule("low_battery").to == "edge"


def test_every_fault_is_reported_at_once_with_key_and_value(tmp_path: Path) -> None:
    """A file with several faults names them all, and never prints a token."""
    path = tmp_path / "fleet.toml"
    path.write_text(BAD_FLEET)
    with pytest.raises(SettingsError) as caught:
        load_fleet(path)

    shown = str(caught.value)
    keys = {fault.key for fault in caught.value.faults}
    assert {"fleet", "unknown", "site.edge.store", "site.edge.token", "site.edge.quota.sensor"} <= keys
    assert {"site.edge.next", "robots.0.site"} <= keys
    assert "'1 XB'" in shown
    assert "'nowhere'" in shown
    assert "s3cret" not in shown


def test_a_policy_fault_is_reported_with_its_own_file(tmp_path: Path) -> None:
    """Faults of the policy come along with those of the file that names it."""
    (tmp_path / "policy.toml").write_text('[stream.imu]\nship = "sometimes"\n')
    (tmp_path / "fleet.toml").write_text('policy = "policy.toml"\n[[robots]]\nmatch = "r1"\nsite = "x"\n')
    with pytest.raises(SettingsError) as caught:
        load_fleet(tmp_path / "fleet.toml")

    assert {Path(fault.file).name for fault in caught.value.faults} == {"policy.toml", "fleet.toml"}


def test_raw_streams_are_chosen_by_selectors(tmp_path: Path) -> None:
    """An InfluxDB gets the streams named row by row; a field cannot be chosen alone, and the fault says so."""
    text = """
fleet = "f"
[site.e]
store = "http://e:8383"
token = { env = "T" }
[site.e.influx]
url = "http://e:8086"
token = { env = "T" }
raw = ["r*/imu", %s]
"""
    path = tmp_path / "fleet.toml"
    path.write_text(text % '"r7/**"')
    influx = load_fleet(path).site_place("e").influx
    assert influx is not None
    assert [str(one) for one in influx.raw] == ["r*/imu", "r7/**"]
    path.write_text(text % '"r7/imu:ax"')
    with pytest.raises(SettingsError, match="all fields of a row"):
        load_fleet(path)


def test_one_bucket_has_one_retention(tmp_path: Path) -> None:
    """A retention is a duration of an hour or more, and sites that share a bucket say the same of it."""
    text = "".join(
        f'[site.{name}]\nstore = "http://{name}:8383"\ntoken = {{ env = "T" }}\n[site.{name}.influx]\n'
        f'url = "http://i:8086"\ntoken = {{ env = "T" }}\n%s\n'
        for name in ("a", "b")
    )
    path = tmp_path / "fleet.toml"
    path.write_text(text % ('retention = "30d"', 'retention = "720h"'))
    found = [load_fleet(path).site_place(name).influx for name in ("a", "b")]
    assert [one and one.retention_s for one in found] == [30 * 86_400] * 2
    path.write_text(text % ("", ""))
    assert getattr(load_fleet(path).site_place("a").influx, "retention_s", 0) is None
    for first, second, why in (
        ('retention = "30d"', "", "the same bucket"),
        ('retention = "59m"', "", "an hour at least"),
        ("retention = 30", "", "a duration like"),
    ):
        path.write_text(text % (first, second))
        with pytest.raises(SettingsError, match=why):
            load_fleet(path)


def test_hops_in_a_circle_are_refused(tmp_path: Path) -> None:
    """Two sites that pass records to one another are refused: label updates would circle for ever."""
    text = "".join(
        f'[site.{a}]\nstore = "http://h"\ntoken = {{ env = "T" }}\nnext = "{b}"\n' for a, b in (("a", "b"), ("b", "a"))
    )
    (tmp_path / "fleet.toml").write_text(text)
    with pytest.raises(SettingsError, match="leads back to itself"):
        load_fleet(tmp_path / "fleet.toml")


def test_not_toml_names_the_line(tmp_path: Path) -> None:
    """A syntax error names the file and the line."""
    (tmp_path / "fleet.toml").write_text("fleet = \n")
    with pytest.raises(SettingsError, match="line 1"):
        load_fleet(tmp_path / "fleet.toml")


def test_a_token_file_is_read_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A replaced token file takes effect without a restart; a missing one says where to put it."""
    monkeypatch.setenv("T", "cloud-token")
    (tmp_path / "fleet.toml").write_text('[site.edge]\nstore = "http://h"\ntoken = { file = "edge.token" }\n')
    (tmp_path / "edge.token").write_text("one\n")
    place = load_fleet(tmp_path / "fleet.toml").site_place("edge")

    assert place.current_token() == "one"
    (tmp_path / "edge.token").write_text("two\n")
    assert place.current_token() == "two"
    (tmp_path / "edge.token").unlink()
    with pytest.raises(AccessDenied, match=r"edge\.token"):
        place.current_token()


def test_a_hop_uses_its_own_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A site writes to the next one with `next_token`; the next site's own token need not be known there."""
    monkeypatch.setenv("HOP", "narrow")
    monkeypatch.delenv("CLOUD", raising=False)
    (tmp_path / "fleet.toml").write_text(
        '[site.edge]\nstore = "http://e"\ntoken = { env = "EDGE" }\nnext = "cloud"\nnext_token = { env = "HOP" }\n'
        '[site.cloud]\nstore = "http://c"\ntoken = { env = "CLOUD" }\n'
    )
    fleet = load_fleet(tmp_path / "fleet.toml")
    following = fleet.next_place("edge")

    assert following is not None
    assert (following.url, following.current_token()) == ("http://c", "narrow")
    assert fleet.next_place("cloud") is None
    with pytest.raises(AccessDenied, match="CLOUD"):
        fleet.site_place("cloud").current_token()


def test_the_first_matching_stream_rule_wins_and_previews_ship(tmp_path: Path) -> None:
    """Rules are tried in the order of the file; a preview stream ships whatever its parent does."""
    policy = load_policy(SAMPLES / "policy.toml")

    assert policy.rule_for("health").ship == "always"
    assert policy.rule_for("cam/front").ship == "event"
    assert policy.rule_for("cam/front/preview").ship == "always"
    assert policy.rule_for("debug/x").ship == "never"
    assert policy.rule_for("anything/else").ship == "event"
    assert policy.event_rule("hard_brake").pre == 10_000_000


def test_a_changed_policy_has_another_hash(tmp_path: Path) -> None:
    """The policy's hash names exactly this policy."""
    path = tmp_path / "policy.toml"
    path.write_text('[stream."**"]\nship = "event"\n')
    first = load_policy(path).hash
    path.write_text('[stream."**"]\nship = "always"\n')

    assert load_policy(path).hash != first


def test_where_am_i_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The path given wins over the environment, which wins over ./fleet.toml; nothing at all says how to start."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FLEETBOX_FLEET", raising=False)
    with pytest.raises(InputError, match="fleetbox up"):
        find_fleet(environ={})
    for name in ("here", "env", "given"):
        (tmp_path / f"{name}.toml").write_text(f'fleet = "{name}"\n')
    (tmp_path / "here.toml").rename(tmp_path / "fleet.toml")

    assert find_fleet(environ={}).fleet == "here"
    assert find_fleet(environ={"FLEETBOX_FLEET": str(tmp_path / "env.toml")}).fleet == "env"
    assert find_fleet(tmp_path / "given.toml", environ={"FLEETBOX_FLEET": "x"}).fleet == "given"


def test_a_robot_file_makes_a_fleet_of_that_robot(tmp_path: Path) -> None:
    """On a robot its own file says where its store and its site are."""
    for name in ("store", "site"):
        (tmp_path / f"{name}.token").write_text(name)
    (tmp_path / "robot.toml").write_text(
        'robot = "r1"\nstore_token = { file = "store.token" }\nsite = "http://edge:8383"\n'
        'site_token = { file = "site.token" }\n'
    )
    fleet = find_fleet(tmp_path / "robot.toml")

    assert [(place.name, place.tier, place.current_token()) for place in fleet.route("r1")] == [
        ("r1", "robot", "store"),
        ("edge", "edge", "site"),
    ]


def test_a_robot_on_its_own_has_a_route(tmp_path: Path) -> None:
    """Without a site in robot.toml the robot's own store is all of the route."""
    (tmp_path / "store.token").write_text("store")
    (tmp_path / "robot.toml").write_text('robot = "r1"\nstore_token = { file = "store.token" }\n')
    fleet = find_fleet(tmp_path / "robot.toml")

    assert [place.name for place in fleet.route("r1")] == ["r1"]
    assert fleet.robots_of("edge") == []


def test_a_site_without_a_token_is_a_fault(tmp_path: Path) -> None:
    """A robot that names a site and no token for it would queue records for a relay that never starts."""
    (tmp_path / "robot.toml").write_text(
        'robot = "r1"\nstore_token = { file = "store.token" }\nsite = "http://edge:8383"\n'
    )
    with pytest.raises(SettingsError, match="site_token"):
        load_robot(tmp_path / "robot.toml")

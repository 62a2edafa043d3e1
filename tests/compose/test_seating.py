"""Robots and ports of a local fleet are chosen so that nothing collides and a restart finds them again."""

from __future__ import annotations

from pathlib import Path

import pytest

from fleetbox.errors import InputError
from fleetbox.settings import load_fleet, load_robot
from fleetbox.signing import public_of
from fleetbox_local.fleet_files import write_settings
from fleetbox_local.seating import Ports, parse_robots, seat


def ports(before: dict[str, int], taken: set[int] = frozenset()) -> Ports:  # type: ignore[assignment]
    """Make a chooser that counts up from 100."""
    fresh = iter(range(100, 200))
    return Ports(before, lambda port: port not in taken, lambda: next(fresh))


@pytest.mark.parametrize(
    ("text", "names"), [("3", ("r1", "r2", "r3")), ("r7, forklift-2", ("r7", "forklift-2")), ("1", ("r1",))]
)
def test_robots(text: str, names: tuple[str, ...]) -> None:
    """A number counts robots, names name them."""
    assert parse_robots(text) == names


@pytest.mark.parametrize("text", ["0", "51", "", "r1,r1", "edge", "r1,secrets", "a--b", "a/b"])
def test_bad_robots(text: str) -> None:
    """Too few, too many, twice the same, one of the fleet's own folders, an illegal name: all are refused."""
    with pytest.raises(InputError):
        parse_robots(text)


def test_ports_are_remembered(tmp_path: Path) -> None:
    """A restart takes the ports of the last start, except those somebody else has taken meanwhile."""
    first = seat(tmp_path, ["r1"], True, ports({}))
    again = seat(tmp_path, ["r1"], True, ports(first.ports, taken={first.edge.store_port}))
    assert len(set(first.ports.values())) == len(first.ports) == 7
    changed = {name for name, port in again.ports.items() if first.ports[name] != port}
    assert changed == {"edge.store"}


def test_policies_can_be_signed(tmp_path: Path) -> None:
    """The fleet's key is made once, only its owner can read it, and every robot knows its public half."""
    seating = seat(tmp_path, ["r1", "r2"], False, ports({}))
    keys = []
    for _ in range(2):
        fleet = load_fleet(write_settings(seating, None))
        assert fleet.policy_key is not None
        keys.append(public_of(fleet.policy_key.read()))
    assert keys[0] == keys[1]
    assert fleet.policy_key.file.stat().st_mode & 0o077 == 0  # type: ignore[union-attr]
    for name in ("r1", "r2", "edge", "cloud", "r1-at-edge"):
        (tmp_path / "secrets" / f"{name}.token").write_text("x")
    assert [load_robot(tmp_path / name / "robot.toml").policy_keys for name in ("r1", "r2")] == [(keys[0],)] * 2


def test_settings_load(tmp_path: Path) -> None:
    """The files written are files the fleet itself can read, with every place and hop in them."""
    seating = seat(tmp_path / 'a "fleet"', ["r1", "r2"], True, ports({}))
    fleet = load_fleet(write_settings(seating, {"org": "o", "bucket": "b"}))
    secrets = seating.directory / "secrets"
    for name in ("r1", "edge", "cloud", "influx", "r1-at-edge"):
        (secrets / f"{name}.token").write_text(f"token of {name}")
    assert [(place.name, place.current_token()) for place in fleet.route("r1")] == [
        (name, f"token of {name}") for name in ("r1", "edge", "cloud")
    ]
    influx = fleet.site_place("edge").influx
    assert influx is not None
    assert (influx.url, influx.current_token(), influx.org, influx.bucket) == (
        f"http://127.0.0.1:{seating.influx_port}",
        "token of influx",
        "o",
        "b",
    )
    robot = load_robot(seating.robots[0].directory / "robot.toml", {})
    site = robot.site_place()
    assert site is not None
    assert (site.url, site.current_token()) == (seating.edge.store_url, "token of r1-at-edge")
    assert robot.place().relay == fleet.route("r1")[0].relay == seating.robots[0].relay_url
    assert robot.policy.hash == fleet.policy.hash


def test_policy_is_the_users(tmp_path: Path) -> None:
    """An edited policy.toml survives the next start."""
    seating = seat(tmp_path, ["r1"], False, ports({}))
    write_settings(seating, None)
    (tmp_path / "policy.toml").write_text('name = "mine"\n')
    assert load_fleet(write_settings(seating, None)).policy.name == "mine"
